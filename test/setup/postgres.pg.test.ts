import pg from 'pg';
import {expect, test} from 'vitest';
import {PostgresServer} from '../../scripts/postgres/server.ts';
import {createTestDatabase, serverUrl} from './postgres.ts';

test.each([15, 18] as const)(
  'PostgreSQL %i: a fresh database that decodes, and nothing of it left after drop',
  async version => {
    const database = await createTestDatabase({version});
    const client = await connect(database.url);
    const {rows} = await client.query(
      "SELECT current_setting('server_version_num')::int / 10000 AS version, current_database() AS name",
    );
    expect(rows).toEqual([{version, name: database.address.database}]);

    const slot = `${database.address.database}_slot`;
    await client.query('SELECT pg_create_logical_replication_slot($1, $2)', [slot, 'pgoutput']);
    await client.query('CREATE TABLE t (a int)');
    await client.query('BEGIN');
    await client.query('INSERT INTO t VALUES (1)');
    await client.query(`PREPARE TRANSACTION '${slot}'`);
    client.on('error', () => undefined);
    await database.drop();

    const admin = await connect(serverUrl(version).href);
    const left = await admin.query(
      `SELECT datname FROM pg_database WHERE datname = $1
     UNION ALL SELECT slot_name FROM pg_replication_slots WHERE slot_name = $2
     UNION ALL SELECT gid FROM pg_prepared_xacts WHERE gid = $2`,
      [database.address.database, slot],
    );
    expect(left.rows).toEqual([]);
    await admin.end();
  },
);

test('a server keeps what was committed when it is killed', async () => {
  await using server = await PostgresServer.start({settings: {fsync: 'on'}});
  const client = await connect(server.url);
  client.on('error', () => undefined);
  await client.query('CREATE TABLE kept (a int)');
  await client.query('INSERT INTO kept VALUES (42)');
  await server.kill();
  await expect(connect(server.url)).rejects.toThrow();
  await server.start();
  const again = await connect(server.url);
  expect((await again.query('SELECT a FROM kept')).rows).toEqual([{a: 42}]);
  await again.end();
});

async function connect(connectionString: string): Promise<pg.Client> {
  const client = new pg.Client({connectionString});
  await client.connect();
  return client;
}
