import {afterAll, beforeAll, expect, test} from 'vitest';
import {poll} from '../../scripts/process/poll.ts';
import {SinkWorld} from './sink-world.ts';

let world: SinkWorld;
beforeAll(async () => {
  world = await SinkWorld.open();
});
afterAll(() => world[Symbol.asyncDispose]());

/** Nothing of it is left: no sink, no entry in a publication, no spool, nothing that a later sink would trip over. */
async function nothingLeft(name: string): Promise<void> {
  await poll(`the end of ${name}`, 30_000, async () => {
    const {rows} = await world.engine.query<{nothing: boolean}>(
      `SELECT (SELECT count(*) FROM mz_sluice.dropped_sink) + (SELECT count(*) FROM mz_sluice.sink_statistics)
         + (SELECT count(*) FROM mz_sluice.sink_state)
         + (SELECT count(*) FROM pg_publication_tables WHERE schemaname <> 'mz_sluice')
         + (SELECT count(*) FROM mz_sluice.identity_before) + (SELECT count(*) FROM mz_sluice.spool)
         + (SELECT count(*) FROM pg_replication_slots) = 0 AS nothing`,
    );
    return rows[0].nothing;
  });
  expect((await world.status(name)).status).toBe('gone');
}

const row = {key: {a: 1}, value: {a: 1}};

const WAYS = {
  table: ['DROP TABLE app.dropping_t CASCADE'],
  cluster: ['DROP CLUSTER own CASCADE'],
  schema: ['DROP SCHEMA app CASCADE'],
  connection: ['DROP CONNECTION kafka_of_app CASCADE'],
} as const;

test.each(Object.entries(WAYS))('DROP … CASCADE of its %s takes a running sink along', async (_, statements) => {
  await world.sql(
    `CREATE SCHEMA IF NOT EXISTS app`,
    `CREATE CLUSTER own (SIZE = '25cc')`,
    `CREATE CONNECTION kafka_of_app TO KAFKA (BROKER '${process.env['SLUICE_TEST_KAFKA']}', SECURITY PROTOCOL 'PLAINTEXT')`,
    `CREATE TABLE app.dropping_t (a integer PRIMARY KEY)`,
    `INSERT INTO app.dropping_t VALUES (1)`,
  );
  const topic = await world.running({
    name: 'dropping',
    from: 'app.dropping_t',
    key: '(a)',
    cluster: 'own',
    connection: 'kafka_of_app',
  });
  await world.sql(...statements);
  await nothingLeft('dropping');
  expect(await world.topic(topic)).toEqual([row]);
  await world.sql(
    'DROP TABLE IF EXISTS app.dropping_t',
    'DROP CONNECTION IF EXISTS kafka_of_app',
    'DROP CLUSTER IF EXISTS own',
    'DROP SCHEMA IF EXISTS app',
  );
});

test('DROP OWNED takes the sinks of a role along, and not those of others', async () => {
  await world.sql(
    `CREATE TABLE kept_t (a integer PRIMARY KEY)`,
    `INSERT INTO kept_t VALUES (1)`,
    `CREATE ROLE leaver`,
    `GRANT leaver TO materialize`,
    `GRANT CREATE ON SCHEMA public TO leaver`,
    `GRANT SELECT ON kept_t TO leaver`,
    `GRANT USAGE ON CONNECTION kafka TO leaver`,
    `GRANT CREATE ON CLUSTER quickstart TO leaver`,
  );
  const kept = await world.running({name: 'kept', key: '(a)'});
  await world.sql('SET ROLE leaver');
  await world.running({name: 'left_over', from: 'kept_t', key: '(a)'});
  await world.sql('RESET ROLE', 'DROP OWNED BY leaver', 'DROP ROLE leaver');
  expect((await world.status('left_over')).status).toBe('gone');
  await world.sql(`INSERT INTO kept_t VALUES (2)`);
  expect(await world.messages('kept', kept)).toEqual([row, {key: {a: 2}, value: {a: 2}}]);
  await world.sql('DROP SINK kept');
  await nothingLeft('kept');
});
