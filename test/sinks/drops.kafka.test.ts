import {afterAll, beforeAll, expect, test} from 'vitest';
import {connectionSql} from '../setup/kafka.ts';
import {nothingLeft} from './nothing-left.ts';
import {SinkWorld} from './sink-world.ts';

let world: SinkWorld;
beforeAll(async () => {
  world = await SinkWorld.open();
});
afterAll(() => world[Symbol.asyncDispose]());

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
    connectionSql('kafka_of_app'),
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
  await nothingLeft(world);
  expect((await world.status('dropping')).status).toBe('gone');
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
  await nothingLeft(world);
});

/** Runs `work` while a transaction that has written to the table is open. */
async function besideWriterOf(table: string, work: () => Promise<void>): Promise<void> {
  const writer = await world.sluice.connect();
  try {
    await writer.query(`BEGIN; INSERT INTO ${table} VALUES (2)`);
    await work();
    await writer.query('COMMIT');
  } finally {
    await writer.end();
  }
}

test('sinks whose table is in use can be dropped, and hold up no other one', async () => {
  await world.sql(
    ...['staying', 'waiting', 'used', 'going'].map(name => `CREATE TABLE ${name}_t (a integer PRIMARY KEY)`),
    ...['staying', 'waiting', 'used', 'going'].map(name => `INSERT INTO ${name}_t VALUES (1)`),
  );
  // Without any sink the slot would go, and a new one waits for all transactions.
  await world.running({name: 'staying', key: '(a)'});
  await world.running({name: 'used', key: '(a)'});
  await besideWriterOf('used_t', () =>
    besideWriterOf('waiting_t', async () => {
      await world.create({name: 'waiting', key: '(a)'});
      await world.until('waiting', ({details}) => details?.waiting_for !== undefined);
      await world.sql('DROP SINK waiting', 'DROP SINK used');
      const topic = await world.running({name: 'going', key: '(a)'});
      expect(await world.messages('going', topic)).toEqual([row]);
    }),
  );
  await world.sql('DROP SINK going', 'DROP SINK staying');
  await nothingLeft(world);
});
