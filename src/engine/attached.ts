import pg from 'pg';
import {SqlError} from '../base/sql-error.ts';
import type {EngineAddress} from './address.ts';
import {CHECKS, type Verdict} from './attached-checks.ts';
import {readServerFacts, type OldServer, type ServerFacts} from './attached-facts.ts';
import {OLDEST_VERSION} from './attached-versions.ts';
import {errorCode, isConnectionError} from './connection-errors.ts';

const SSL_MODES: Readonly<Record<string, EngineAddress['sslmode']>> = {
  disable: 'disable',
  // What libpq does for it (plain first, TLS if refused) protects nothing more than `prefer`.
  allow: 'prefer',
  prefer: 'prefer',
  require: 'require',
  'verify-ca': 'verify-ca',
  'verify-full': 'verify-full',
};

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

/** One check and what it has found. */
export interface Finding extends Verdict {
  readonly check: string;
}

/** Every check, in order. What cannot even be reached or is too old is the only finding. Never throws. */
export async function examineServer(address: EngineAddress): Promise<readonly Finding[]> {
  let facts: ServerFacts | OldServer;
  try {
    facts = await readServerFacts(address);
  } catch (error) {
    return [{check: 'connection', ...judgeConnectionFailure(error, address)}];
  }
  return judgeServer(facts);
}

/** Exported for its test: no server at hand fails all the checks. */
export function judgeServer(facts: ServerFacts | OldServer): readonly Finding[] {
  if (!('settings' in facts)) {
    return [
      {
        check: 'version',
        status: 'failed',
        code: '0A000',
        text: `PostgreSQL ${Math.floor(facts.version / 10_000)} is too old; Sluice needs ${OLDEST_VERSION} or newer`,
        remedy: 'Upgrade the server, or leave out --postgres to use the embedded one.',
      },
    ];
  }
  return CHECKS.map(({name, judge}) => ({check: name, ...judge(facts)}));
}

/**
 * Throws one `SqlError` with everything that keeps Sluice from running on this PostgreSQL, each with its remedy. Returns the
 * warnings as whole sentences.
 */
export async function checkAttached(address: EngineAddress): Promise<readonly string[]> {
  const findings = await examineServer(address);
  const failures = findings.filter(({status}) => status === 'failed');
  if (failures.length > 0) throw refusal(failures);
  return findings.filter(({status}) => status === 'warning').map(({text, remedy = ''}) => `${text}. ${remedy}`);
}

/** Exported for its test. */
export function refusal(failures: readonly Finding[]): SqlError {
  const [first] = failures;
  const code = first.code ?? '55000';
  if (failures.length === 1) return new SqlError(code, first.text, {hint: first.remedy});
  return new SqlError(code, `Sluice cannot run on this PostgreSQL, for ${failures.length} reasons`, {
    detail: failures.map(({text}, i) => `${i + 1}. ${text}`).join('\n'),
    hint: failures.map(({remedy}, i) => `${i + 1}. ${remedy}`).join('\n'),
  });
}

/** By SQLSTATE, or by errno of Node's sockets. */
function judgeConnectionFailure(error: unknown, {user, database}: EngineAddress): Verdict {
  const text = error instanceof Error ? error.message : String(error);
  const cause = error instanceof SqlError ? error.cause : undefined;
  const code = errorCode(error) ?? '08001';
  const remedies: Readonly<Record<string, string>> = {
    '28P01': `Put the right password of role "${user}" into the URL or into PGPASSWORD.`,
    '28000': 'Let the role connect: a line in pg_hba.conf of PostgreSQL, and LOGIN of the role.',
    '3D000': `Create database "${database}", or name another one in the URL.`,
    '42501': `Run GRANT CONNECT ON DATABASE ${pg.escapeIdentifier(database)} TO ${pg.escapeIdentifier(user)}.`,
    '53300': 'Raise max_connections of PostgreSQL, or the CONNECTION LIMIT of the role or the database.',
    '57P03': 'Wait until PostgreSQL has started, or give the URL of the primary.',
    '08P01': 'Give the address of PostgreSQL itself, not of a connection pooler.',
    '0A000': 'Give the address of PostgreSQL itself, not of a connection pooler.',
  };
  const remedy =
    remedies[code] ??
    (cause instanceof Error && !isConnectionError(cause)
      ? 'Look at sslmode and sslrootcert in the URL: what they ask for, the server has to offer.'
      : 'Look whether PostgreSQL runs, listens at this address (listen_addresses) and can be reached from here.');
  return {status: 'failed', code, text, remedy};
}
