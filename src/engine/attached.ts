import {SqlError} from '../base/sql-error.ts';
import type {EngineAddress} from './address.ts';
import {connect} from './connect.ts';

const SSL_MODES: Readonly<Record<string, EngineAddress['sslmode']>> = {
  disable: 'disable',
  // What libpq does for it (plain first, TLS if refused) protects nothing more than `prefer`.
  allow: 'prefer',
  prefer: 'prefer',
  require: 'require',
  'verify-ca': 'verify-ca',
  'verify-full': 'verify-full',
};

const OLDEST_VERSION = 15;

/** From here on, adding a table to a publication beside an open writer loses nothing (15.12 was seen to fail, 15.18 and 18.4 to work). */
const SAFE_MINORS: Readonly<Record<number, number>> = {15: 13, 16: 9, 17: 5};

function invalid(detail: string): SqlError {
  return new SqlError('22023', 'invalid URL of PostgreSQL', {
    detail,
    hint: 'Write postgres://user:password@host:5432/database?sslmode=require; the password may also be in PGPASSWORD.',
  });
}

/**
 * libpq's connection URI, as far as Sluice needs it: one host (percent-encoded or `?host=` for the directory of a Unix socket), port,
 * user, password, database, `sslmode`, `sslrootcert`. Defaults are libpq's. Messages never repeat the URL, which holds a password.
 */
export function parseEngineUrl(text: string, environment: Readonly<Record<string, string | undefined>>): EngineAddress {
  // libpq takes a user without a host; WHATWG's URL does not.
  const whole = text.replace(/^(postgres(?:ql)?:\/\/[^/?#@]*@)(?=[/?#]|$)/, '$1localhost');
  if (!URL.canParse(whole)) throw invalid('It is not a URL.');
  const url = new URL(whole);
  if (url.protocol !== 'postgres:' && url.protocol !== 'postgresql:') {
    throw invalid(`It begins with "${url.protocol}" instead of "postgres:".`);
  }
  const decode = (part: string) => {
    try {
      return decodeURIComponent(part);
    } catch {
      throw invalid('A percent sign in it is not followed by two hexadecimal digits.');
    }
  };
  const parameters = new Map(url.searchParams);
  const take = (name: string) => {
    const value = parameters.get(name);
    parameters.delete(name);
    return value;
  };
  const host = take('host') ?? (decode(url.hostname).replace(/^\[(.*)\]$/, '$1') || 'localhost');
  const mode = take('sslmode');
  const sslrootcert = take('sslrootcert');
  const [unknown] = parameters.keys();
  if (unknown !== undefined) throw invalid(`The parameter "${unknown}" is not known.`);
  const sslmode = mode === undefined ? 'prefer' : SSL_MODES[mode];
  if (sslmode === undefined) throw invalid(`sslmode can be ${Object.keys(SSL_MODES).join(', ')}.`);
  const user = decode(url.username);
  if (user === '') throw invalid('It names no user.');
  const database = decode(url.pathname.slice(1)) || user;
  const password = decode(url.password) || environment['PGPASSWORD'];
  const isSocket = host.startsWith('/');
  return {
    host,
    port: Number(url.port || '5432'),
    database,
    user,
    ...(password === undefined ? {} : {password}),
    sslmode: isSocket ? 'disable' : sslmode,
    ...(sslrootcert === undefined ? {} : {sslrootcert}),
  };
}

interface ServerFacts {
  readonly version: number;
  readonly wal_level: string;
  readonly standby: boolean;
  readonly may_replicate: boolean;
}

/**
 * Whether Sluice can run on this PostgreSQL: throws `SqlError` with the exact remedy where it cannot, and returns warnings as whole
 * sentences.
 */
export async function checkAttached(address: EngineAddress): Promise<readonly string[]> {
  const client = await connect(address, {applicationName: 'sluice check'});
  try {
    const {rows} = await client.query<ServerFacts>(
      `SELECT current_setting('server_version_num')::int AS version, current_setting('wal_level') AS wal_level,
        pg_is_in_recovery() AS standby,
        EXISTS (
          SELECT FROM pg_roles r
          WHERE pg_has_role(r.oid, 'USAGE') AND r.rolname IN ('rds_replication', 'rds_superuser')
        ) OR (SELECT rolreplication OR rolsuper FROM pg_roles WHERE rolname = current_user) AS may_replicate`,
    );
    return judge(rows[0], address.user);
  } finally {
    await client.end();
  }
}

/** Exported for its test: no server at hand fails all the checks. */
export function judge(server: ServerFacts, user: string): readonly string[] {
  const major = Math.floor(server.version / 10_000);
  const minor = server.version % 10_000;
  if (major < OLDEST_VERSION) {
    throw new SqlError('0A000', `PostgreSQL ${major} is too old`, {
      detail: `Sluice needs PostgreSQL ${OLDEST_VERSION} or newer.`,
      hint: 'Upgrade the server, or leave out --postgres to use the embedded one.',
    });
  }
  if (server.standby) {
    throw new SqlError('55000', 'this PostgreSQL is a standby', {hint: 'Give the URL of the primary.'});
  }
  if (server.wal_level !== 'logical') {
    throw new SqlError('55000', `wal_level is "${server.wal_level}" and must be "logical"`, {
      detail: 'Changes of tables are read from the write-ahead log.',
      hint: 'Run ALTER SYSTEM SET wal_level = logical as a superuser, then restart PostgreSQL.',
    });
  }
  if (!server.may_replicate) {
    throw new SqlError('42501', `role "${user}" may not replicate`, {
      hint: `Run ALTER ROLE "${user.replaceAll('"', '""')}" REPLICATION as a superuser.`,
    });
  }
  const safe = SAFE_MINORS[major];
  if (safe === undefined || minor >= safe) return [];
  return [
    `PostgreSQL ${major}.${minor} can lose changes of a table that is added to a publication; upgrade to ${major}.${safe} or newer.`,
  ];
}
