import {randomBytes} from 'node:crypto';
import {once} from 'node:events';
import net from 'node:net';
import type pg from 'pg';
import {afterAll, beforeAll, describe, expect, test} from 'vitest';
import type {EngineAddress} from '../../src/engine/address.ts';
import {connectReplication} from '../../src/engine/connect-replication.ts';
import {connect} from '../../src/engine/connect.ts';
import {isConnectionError} from '../../src/engine/connection-errors.ts';
import {Connections} from '../../src/engine/connections.ts';
import {LinkProxy} from '../faults/link-proxy.ts';
import {createTestDatabase} from '../setup/postgres.ts';
import type {TestDatabase} from '../setup/postgres.ts';

describe.each([15, 18] as const)('PostgreSQL %i', version => {
  let database: TestDatabase;
  let admin: pg.Client;
  beforeAll(async () => {
    database = await createTestDatabase({version});
    admin = await connect(database.address, {applicationName: 'admin'});
  });
  afterAll(async () => {
    await admin.end();
    await database.drop();
  });

  const open = () => connect(database.address, {applicationName: 'test'});
  /** Not `once` of node:events: that fails with the `error` that comes first. */
  const endOf = (client: pg.Client) => new Promise<void>(resolve => client.once('end', resolve));
  const pidOf = async (client: pg.Client) =>
    (await client.query<{pid: number}>('SELECT pg_backend_pid() AS pid')).rows[0].pid;

  test('our settings win over those of the role and of the database', async () => {
    const role = `r${randomBytes(4).toString('hex')}`;
    const hostile = {
      search_path: 'public',
      DateStyle: "'German'",
      TimeZone: "'Asia/Tokyo'",
      statement_timeout: '1',
      default_transaction_read_only: 'on',
      default_transaction_isolation: 'serializable',
      bytea_output: 'escape',
      synchronous_commit: 'off',
      ...(version >= 17 ? {transaction_timeout: '1000'} : {}),
    };
    await admin.query(`CREATE ROLE ${role} LOGIN PASSWORD 'x'`);
    for (const [name, value] of Object.entries(hostile)) await admin.query(`ALTER ROLE ${role} SET ${name} = ${value}`);
    const client = await connect({...database.address, user: role, password: 'x'}, {applicationName: 'a "b" \\ c'});
    try {
      const names = [...Object.keys(hostile), 'application_name', 'client_encoding', 'extra_float_digits'];
      const {rows} = await client.query<{name: string; value: string}>(
        'SELECT name, current_setting(name) AS value FROM unnest($1::text[]) AS name',
        [names],
      );
      expect(Object.fromEntries(rows.map(row => [row.name, row.value]))).toEqual({
        search_path: 'pg_catalog',
        DateStyle: 'ISO, MDY',
        TimeZone: 'UTC',
        statement_timeout: '0',
        default_transaction_read_only: 'off',
        default_transaction_isolation: 'read committed',
        bytea_output: 'hex',
        synchronous_commit: 'on',
        application_name: 'a "b" \\ c',
        client_encoding: 'UTF8',
        extra_float_digits: '3',
        ...(version >= 17 ? {transaction_timeout: '0'} : {}),
      });
    } finally {
      await client.end();
      await admin.query(`DROP ROLE ${role}`);
    }
  });

  test('settings of one connection', async () => {
    const client = await connect(database.address, {applicationName: 'test', settings: {search_path: '"a b", public'}});
    expect((await client.query('SHOW search_path')).rows).toEqual([{search_path: '"a b", public'}]);
    await client.end();
  });

  test('a connection that is cut fails its running and its later queries with codes, and does not end the process', async () => {
    const client = await open();
    const ended = endOf(client);
    const running = client.query('SELECT pg_sleep(60)').catch((error: unknown) => error);
    const queued = client.query('SELECT 1').catch((error: unknown) => error);
    // Cut below PostgreSQL, which then cannot say 57P01.
    client.connection.stream.destroy();
    await ended;
    const later = await client.query('SELECT 1').catch((error: unknown) => error);
    for (const error of [await running, await queued, later])
      expect(isConnectionError(error), String(error)).toBe(true);
    expect(later).toMatchObject({code: '08003'});
  });

  test('a connection that the server ends', async () => {
    const client = await open();
    const ended = endOf(client);
    const pid = await pidOf(client);
    const running = client.query('SELECT pg_sleep(60)').catch((error: unknown) => error);
    await expect
      .poll(
        async () =>
          (await admin.query<{query: string}>('SELECT query FROM pg_stat_activity WHERE pid = $1', [pid])).rows[0],
      )
      .toEqual({query: 'SELECT pg_sleep(60)'});
    await admin.query('SELECT pg_terminate_backend($1)', [pid]);
    expect(await running).toMatchObject({code: '57P01'});
    await ended;
  });

  test('closing on purpose is no error', async () => {
    const client = await open();
    const errors: unknown[] = [];
    client.on('error', error => errors.push(error));
    await client.end();
    expect(errors).toEqual([]);
  });

  test('why no connection came about', async () => {
    const address = database.address;
    const attempt = (other: Partial<EngineAddress>) => connect({...address, ...other}, {applicationName: 'test'});
    await expect(attempt({port: 1})).rejects.toMatchObject({code: '08001', cause: {code: 'ECONNREFUSED'}});
    await expect(attempt({host: '/no/such/folder'})).rejects.toMatchObject({code: '08001', cause: {code: 'ENOENT'}});
    await expect(attempt({password: 'wrong'})).rejects.toMatchObject({code: '28P01'});
    await expect(attempt({password: undefined})).rejects.toMatchObject({
      code: '28P01',
      message: expect.stringContaining('none was given'),
    });
    await expect(attempt({database: 'no_such'})).rejects.toMatchObject({code: '3D000'});
  });

  test('a server that accepts and then says nothing', async () => {
    const silent = net.createServer().listen(0, '127.0.0.1');
    await once(silent, 'listening');
    const address = {...database.address, port: (silent.address() as net.AddressInfo).port};
    for (const sslmode of ['disable', 'prefer'] as const) {
      const attempt = connect({...address, sslmode}, {applicationName: 'test', connectTimeoutMs: 100});
      await expect(attempt).rejects.toMatchObject({code: '08001'});
    }
    silent.close();
  });

  describe('replication', () => {
    const query = (text: string) => {
      const bytes = Buffer.from(`Q\0\0\0\0${text}\0`);
      bytes.writeInt32BE(bytes.length - 1, 1);
      return bytes;
    };

    test('the bare socket speaks the protocol, and close releases the walsender', async () => {
      const connection = await connectReplication(database.address, {applicationName: 'test'});
      const {socket, processId} = connection;
      const {rows} = await admin.query('SELECT backend_type FROM pg_stat_activity WHERE pid = $1', [processId]);
      expect(rows).toEqual([{backend_type: 'walsender'}]);
      expect(socket.isPaused()).toBe(true);
      socket.write(query('IDENTIFY_SYSTEM'));
      socket.resume();
      const [answer] = (await once(socket, 'data')) as [Buffer];
      expect(String.fromCharCode(answer[0])).toBe('T');
      connection.close();
      connection.close();
      await expect
        .poll(async () => (await admin.query('SELECT FROM pg_stat_activity WHERE pid = $1', [processId])).rowCount)
        .toBe(0);
    });

    test('bytes that arrive together with the end of the log-in are not lost', async () => {
      // What a server under load does by chance, a proxy before the real one does on purpose.
      const late = Buffer.from('N\0\0\0\u0006ab');
      const cut = 4;
      const proxy = net.createServer(client => {
        const server = net.connect(database.address.port, database.address.host);
        client.pipe(server);
        server.on('data', chunk => {
          const isReady = chunk.length >= 6 && chunk.at(-6) === 0x5a && chunk.at(-1) === 0x49;
          client.write(isReady ? Buffer.concat([chunk, late.subarray(0, cut)]) : chunk);
          if (isReady) client.write(late.subarray(cut));
        });
        client.on('close', () => server.destroy());
      });
      proxy.listen(0, '127.0.0.1');
      await once(proxy, 'listening');
      const port = (proxy.address() as net.AddressInfo).port;
      const connection = await connectReplication({...database.address, port}, {applicationName: 'test'});
      const {socket} = connection;
      const received: Buffer[] = [];
      socket.on('data', (chunk: Buffer) => received.push(chunk));
      socket.resume();
      await expect.poll(() => Buffer.concat(received).toString('latin1')).toBe(late.toString('latin1'));
      connection.close();
      proxy.close();
    });

    test('errors as for any connection', async () => {
      await expect(
        connectReplication({...database.address, password: 'wrong'}, {applicationName: 'test'}),
      ).rejects.toMatchObject({code: '28P01'});
    });
  });

  describe('Connections', () => {
    test('no more than the limit, each used again', async () => {
      const connections = new Connections(database.address, {applicationName: 'pool'}, 2);
      let running = 0;
      let meet: () => void = () => undefined;
      const met = new Promise<void>(resolve => (meet = resolve));
      const pids = await Promise.all(
        Array.from({length: 6}, () =>
          connections.run(async client => {
            expect(++running).toBeLessThanOrEqual(2);
            if (running === 2) meet();
            await met;
            const pid = await pidOf(client);
            running--;
            return pid;
          }),
        ),
      );
      expect(new Set(pids).size).toBe(2);
      await connections.close();
    });

    test('a dead or half-finished connection is replaced', async () => {
      const connections = new Connections(database.address, {applicationName: 'pool'}, 1);
      const pid = await connections.run(pidOf);
      await admin.query('SELECT pg_terminate_backend($1, 10000)', [pid]);
      await expect.poll(() => connections.run(pidOf).catch(() => pid)).not.toBe(pid);
      await connections.run(client => client.query('BEGIN'));
      const {rows} = await connections.run(client => client.query('SELECT now() = statement_timestamp() AS alone'));
      expect(rows).toEqual([{alone: true}]);
      await connections.close();
    });

    test('one that is dead without a word is replaced, and closing does not wait for it', async () => {
      await using proxy = await LinkProxy.start(`${database.address.host}:${database.address.port}`);
      const address = {...database.address, port: Number(proxy.port)};
      const connections = new Connections(address, {applicationName: 'pool'}, 1, 5_000);
      const pid = await connections.run(pidOf);
      proxy.forget();
      expect(await connections.run(pidOf)).not.toBe(pid);
      proxy.forget();
      await connections.close();
    });

    test('who waits when it closes is told so', async () => {
      const connections = new Connections(database.address, {applicationName: 'pool'}, 1);
      await connections.run(async () => {
        const waiting = connections.run(() => Promise.resolve());
        await connections.close();
        await expect(waiting).rejects.toMatchObject({code: '57P01'});
      });
      await expect(connections.run(() => Promise.resolve())).rejects.toMatchObject({code: '57P01'});
    });
  });
});
