import {randomBytes} from 'node:crypto';
import pg from 'pg';
import {poll} from '../../scripts/process/poll.ts';
import type {PostgresVersion} from '../../scripts/postgres/binaries.ts';
import type {EngineAddress} from '../../src/engine/address.ts';

export interface TestDatabase extends AsyncDisposable {
  /** postgres://… of a superuser. */
  readonly url: string;
  readonly address: EngineAddress;
  /** Ends every session in the database, drops its slots, its prepared transactions and itself. */
  drop(): Promise<void>;
}

/** A fresh, empty database of the run's PostgreSQL. Roles belong to the whole server: give those names of your own and drop them. */
export async function createTestDatabase(options: {version?: PostgresVersion} = {}): Promise<TestDatabase> {
  const server = serverUrl(options.version ?? 18);
  const name = `test_${randomBytes(6).toString('hex')}`;
  await asAdministrator(server, admin => admin.query(`CREATE DATABASE ${name} TEMPLATE template0`));

  const url = new URL(server);
  url.pathname = `/${name}`;
  const drop = () => dropDatabase(server, url, name);
  return {url: url.href, address: addressOf(url), drop, [Symbol.asyncDispose]: drop};
}

/** The run's server itself, its database "postgres". */
export function serverUrl(version: PostgresVersion = 18): URL {
  const variable = version === 18 ? 'SLUICE_TEST_POSTGRES' : `SLUICE_TEST_POSTGRES_${version}`;
  const url = process.env[variable];
  if (!url) throw new Error(`${variable} is not set: is this test file named *.pg.test.ts or *.kafka.test.ts?`);
  return new URL(url);
}

export function addressOf(url: URL): EngineAddress {
  return {
    host: url.hostname,
    port: Number(url.port || 5432),
    database: decodeURIComponent(url.pathname.slice(1)),
    user: decodeURIComponent(url.username),
    password: decodeURIComponent(url.password),
    sslmode: 'disable',
  };
}

async function dropDatabase(server: URL, url: URL, name: string): Promise<void> {
  await asAdministrator(server, async admin => {
    const {rowCount} = await admin.query('SELECT FROM pg_database WHERE datname = $1', [name]);
    if (rowCount === 0) return;
    await rollBackPrepared(admin, url, name);
    await poll(`the end of the sessions on the slots of ${name}`, 30_000, async () => {
      await admin.query(
        'SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE database = $1 AND active',
        [name],
      );
      await admin.query(
        'SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = $1 AND NOT active',
        [name],
      );
      const left = await admin.query('SELECT FROM pg_replication_slots WHERE database = $1', [name]);
      return left.rowCount === 0;
    });
    await admin.query(`DROP DATABASE ${name} WITH (FORCE)`);
  });
}

/** A prepared transaction ends only from inside its own database, and keeps that from being dropped. */
async function rollBackPrepared(admin: pg.Client, url: URL, name: string): Promise<void> {
  const prepared = await admin.query<{gid: string}>('SELECT gid FROM pg_prepared_xacts WHERE database = $1', [name]);
  if (prepared.rows.length === 0) return;
  await asAdministrator(url, async client => {
    for (const {gid} of prepared.rows) await client.query(`ROLLBACK PREPARED ${pg.escapeLiteral(gid)}`);
  });
}

async function asAdministrator<T>(url: URL, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({connectionString: url.href});
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}
