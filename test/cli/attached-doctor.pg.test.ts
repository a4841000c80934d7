import net from 'node:net';
import pg from 'pg';
import {afterAll, beforeAll, describe, expect, test} from 'vitest';
import {PostgresServer} from '../../scripts/postgres/server.ts';
import type {Config} from '../../src/base/options.ts';
import type {DOCTOR_OPTIONS} from '../../src/cli/command-options.ts';
import {examine} from '../../src/cli/doctor.ts';
import {checkAttached, type Finding} from '../../src/engine/attached.ts';
import {addressOf} from '../setup/postgres.ts';

interface Examined {
  readonly ok: boolean;
  readonly checks: readonly Finding[];
}

/** What `sluice doctor` prints about this URL. */
async function doctor(url: string, json: boolean): Promise<{healthy: boolean; printed: string}> {
  let printed = '';
  const config: Config<typeof DOCTOR_OPTIONS> = {postgres: url, json};
  const healthy = await examine({config, out: {write: text => (printed += text)}});
  return {healthy, printed};
}

/** Names of the checks that are not all right, with their status. */
async function troubles(url: string): Promise<Record<string, string>> {
  const {healthy, printed} = await doctor(url, true);
  const {ok, checks} = JSON.parse(printed) as Examined;
  expect(ok).toBe(healthy);
  return Object.fromEntries(checks.filter(({status}) => status !== 'ok').map(({check, status}) => [check, status]));
}

function at(
  server: PostgresServer,
  changes: Partial<Pick<URL, 'username' | 'password' | 'pathname' | 'search'>>,
): string {
  return Object.assign(new URL(server.url), changes).href;
}

async function run(server: PostgresServer, ...statements: readonly string[]): Promise<void> {
  const client = new pg.Client({connectionString: server.url});
  await client.connect();
  try {
    for (const statement of statements) await client.query(statement);
  } finally {
    await client.end();
  }
}

describe.each([15, 18] as const)('PostgreSQL %i', version => {
  let good: PostgresServer;
  let bad: PostgresServer;

  beforeAll(async () => {
    [good, bad] = await Promise.all([
      PostgresServer.start({version, settings: {max_wal_senders: '2', max_replication_slots: '1'}}),
      PostgresServer.start({
        version,
        settings: {
          wal_level: 'replica',
          max_wal_senders: '1',
          max_replication_slots: '1',
          wal_sender_timeout: '0',
          max_slot_wal_keep_size: '64MB',
          ...(version === 18 ? {idle_replication_slot_timeout: '1d', synchronized_standby_slots: 'standby_1'} : {}),
        },
      }),
    ]);
  }, 300_000);
  afterAll(async () => {
    await Promise.all([good, bad].map(server => server[Symbol.asyncDispose]()));
  });

  test('all is well, in text', async () => {
    const {healthy, printed} = await doctor(good.url, false);
    expect(healthy).toBe(true);
    expect(printed).toMatch(/^ok {7}version: PostgreSQL 1[58]\./);
    expect(printed).toMatch(/\n\n21 ok, 0 warnings, 0 failed\n$/);
  });

  test('settings that keep Sluice from running are told together by start, and one by one by doctor', async () => {
    await run(bad, `SELECT pg_create_physical_replication_slot('taken')`);
    expect(await troubles(bad.url)).toEqual({
      wal_level: 'failed',
      'replication slots': 'failed',
      wal_sender_timeout: 'warning',
      max_slot_wal_keep_size: 'warning',
      ...(version === 18 ? {idle_replication_slot_timeout: 'warning', synchronized_standby_slots: 'warning'} : {}),
    });
    await expect(checkAttached(addressOf(new URL(bad.url)))).rejects.toMatchObject({
      code: '55000',
      message: 'Sluice cannot run on this PostgreSQL, for 2 reasons',
      detail: '1. wal_level is "replica" and must be "logical"\n2. all 1 replication slots are in use',
      hint: expect.stringContaining('1. Run ALTER SYSTEM SET wal_level = logical'),
    });
  });

  test('a role without rights', async () => {
    await run(
      good,
      `CREATE ROLE poor LOGIN PASSWORD 'pw' CONNECTION LIMIT 3`,
      'CREATE DATABASE shop',
      'CREATE TABLE public.theirs (id int)',
    );
    const url = at(good, {username: 'poor', password: 'pw'});
    expect(await troubles(url)).toEqual({
      'replication privilege': 'failed',
      'create privilege': 'failed',
      connections: 'warning',
      'event triggers': 'warning',
      session_replication_role: 'warning',
      tables: 'warning',
    });
    const {printed} = await doctor(url, false);
    for (const remedy of [
      'Run ALTER ROLE "poor" REPLICATION as a superuser',
      'Run GRANT CREATE ON DATABASE "postgres" TO "poor" as its owner.',
      'Run ALTER ROLE "poor" CONNECTION LIMIT -1 as a superuser.',
      'Run GRANT SET ON PARAMETER session_replication_role TO "poor" as a superuser',
      'run GRANT sluice_test TO "poor".',
      'CREATE EVENT TRIGGER sluice_on_rewrite',
    ]) {
      expect(printed).toContain(remedy);
    }
    // What it says helps.
    await run(
      good,
      'ALTER ROLE poor REPLICATION',
      'GRANT CREATE ON DATABASE postgres TO poor',
      'ALTER ROLE poor CONNECTION LIMIT -1',
      'GRANT SET ON PARAMETER session_replication_role TO poor',
      'GRANT sluice_test TO poor',
    );
    expect(await troubles(url)).toEqual({'event triggers': 'warning'});
  });

  test('schemas of the same names that are not ours', async () => {
    await run(good, 'CREATE SCHEMA mz_catalog');
    expect(await troubles(good.url)).toEqual({schemas: 'failed'});
    await run(good, 'DROP SCHEMA mz_catalog');
  });

  test('databases in other encodings', async () => {
    for (const encoding of ['SQL_ASCII', 'LATIN1']) {
      const name = encoding.toLowerCase();
      await run(
        good,
        `CREATE DATABASE ${name} TEMPLATE template0 ENCODING '${encoding}' LOCALE 'C' ${version === 18 ? 'LOCALE_PROVIDER libc' : ''}`,
      );
      expect(await troubles(at(good, {pathname: name}))).toEqual({
        encoding: encoding === 'SQL_ASCII' ? 'failed' : 'warning',
      });
    }
  });

  test('what never gets as far as a question', async () => {
    await run(
      good,
      'CREATE DATABASE closed',
      'REVOKE CONNECT ON DATABASE closed FROM PUBLIC',
      'CREATE ROLE nobody NOLOGIN',
    );
    await run(good, `CREATE ROLE somebody LOGIN PASSWORD 'pw'`);
    const remedies = [
      [at(good, {password: 'wrong'}), /right password/],
      [at(good, {username: 'nobody', password: 'x'}), /password|LOGIN/],
      [at(good, {pathname: 'nowhere'}), /Create database "nowhere"/],
      [
        at(good, {pathname: 'closed', username: 'somebody', password: 'pw'}),
        /GRANT CONNECT ON DATABASE "closed" TO "somebody"/,
      ],
      [at(good, {search: 'sslmode=require'}), /sslmode/],
      ['postgres://u:p@127.0.0.1:1/d', /listen_addresses/],
    ] as const;
    for (const [url, remedy] of remedies) {
      const {healthy, printed} = await doctor(url, true);
      expect(healthy).toBe(false);
      expect(JSON.parse(printed)).toMatchObject({
        ok: false,
        checks: [{check: 'connection', status: 'failed', remedy: expect.stringMatching(remedy)}],
      });
      expect(printed).not.toContain(good.password);
    }
  });

  test('all WAL senders are in use by others', async () => {
    const clients = [1, 2].map(
      () => new pg.Client({connectionString: good.url, replication: 'database'} as pg.ClientConfig),
    );
    for (const client of clients) await client.connect();
    expect(await troubles(good.url)).toEqual({'wal senders': 'failed'});
    for (const client of clients) await client.end();
  });

  test('a pooler in between is found out', async () => {
    const port = Number(new URL(good.url).port);
    const pooler = net.createServer(client => {
      const server = net.connect(port, '127.0.0.1');
      let announced = false;
      client.pipe(server);
      server.on('data', chunk => {
        // BackendKeyData: poolers give a number of their own.
        const key = announced ? -1 : chunk.indexOf(Buffer.from([0x4b, 0, 0, 0, 12]));
        if (key >= 0) {
          announced = true;
          chunk.writeUInt32BE(chunk.readUInt32BE(key + 5) + 1, key + 5);
        }
        client.write(chunk);
      });
      for (const [one, other] of [
        [client, server],
        [server, client],
      ]) {
        one.on('error', () => other.destroy());
        one.on('close', () => other.destroy());
      }
    });
    await new Promise<void>(resolve => pooler.listen(0, '127.0.0.1', resolve));
    const address = pooler.address() as net.AddressInfo;
    const url = Object.assign(new URL(good.url), {port: String(address.port)});
    expect(await troubles(url.href)).toEqual({pooler: 'failed'});
    await new Promise(resolve => pooler.close(resolve));
  });
});
