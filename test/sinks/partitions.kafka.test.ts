import {afterAll, beforeAll, expect, test} from 'vitest';
import {SinkWorld} from './sink-world.ts';

let world: SinkWorld;
beforeAll(async () => {
  world = await SinkWorld.open();
});
afterAll(() => world[Symbol.asyncDispose]());

const row = (a: number, v: string) => ({key: {a}, value: {a, v}});
const FIRST = row(1, 'one');

/** A table that is partitioned by `a`, with a partition for 1 and one for the rest below 10, and a sink that has its row. */
async function sink(name: string): Promise<string> {
  await world.sql(
    `CREATE TABLE ${name}_t (a integer PRIMARY KEY, v text) PARTITION BY RANGE (a)`,
    `CREATE TABLE ${name}_1 PARTITION OF ${name}_t FOR VALUES FROM (1) TO (2)`,
    `CREATE TABLE ${name}_2 PARTITION OF ${name}_t FOR VALUES FROM (2) TO (10)`,
    `INSERT INTO ${name}_t VALUES (1, 'one')`,
  );
  const topic = await world.running({name, key: '(a)'});
  expect(await world.messages(name, topic)).toEqual([FIRST]);
  return topic;
}

test('rows of every partition, also of new and emptied ones, and those that move', async () => {
  const topic = await sink('parted');
  const added = (...statements: string[]) => world.added('parted', topic, ...statements);
  expect(await added(`INSERT INTO parted_2 VALUES (2, 'two')`)).toEqual([row(2, 'two')]);
  const moved = await added(`UPDATE parted_t SET a = 3 WHERE a = 1`);
  expect(moved).toHaveLength(2);
  expect(moved).toEqual(expect.arrayContaining([{key: {a: 1}, value: null}, row(3, 'one')]));
  const later = await added(
    `CREATE TABLE parted_3 PARTITION OF parted_t FOR VALUES FROM (10) TO (20)`,
    `INSERT INTO parted_t VALUES (10, 'ten')`,
    `UPDATE parted_t SET v = 'X' WHERE a = 10`,
    `CREATE TABLE parted_4 (LIKE parted_t INCLUDING ALL)`,
    `ALTER TABLE parted_t ATTACH PARTITION parted_4 FOR VALUES FROM (20) TO (30)`,
    `INSERT INTO parted_4 VALUES (20, 'twenty')`,
  );
  expect(later).toEqual([row(10, 'ten'), row(10, 'X'), row(20, 'twenty')]);
  // Emptied in the log before it goes: nothing is lost.
  await world.transaction('TRUNCATE parted_3', 'DROP TABLE parted_3');
  await world.transaction('DELETE FROM parted_4', 'ALTER TABLE parted_t DETACH PARTITION parted_4');
  expect((await world.messages('parted', topic)).slice(-2)).toEqual([
    {key: {a: 10}, value: null},
    {key: {a: 20}, value: null},
  ]);
});

interface Change {
  readonly statements: (t: string) => readonly string[];
  readonly error: RegExp;
  /** What the stream sends of the same transaction in any case. */
  readonly code?: string;
}

const CHANGES: Readonly<Record<string, Change>> = {
  attached: {
    statements: t => [
      `CREATE TABLE ${t}_3 (LIKE ${t}_t INCLUDING ALL)`,
      `INSERT INTO ${t}_3 VALUES (10, 'ten')`,
      `ALTER TABLE ${t}_t ATTACH PARTITION ${t}_3 FOR VALUES FROM (10) TO (20)`,
    ],
    error: /^a partition with rows was attached to ".*attached_t"$/,
  },
  detached: {
    statements: t => [`ALTER TABLE ${t}_t DETACH PARTITION ${t}_1`],
    error: /^a partition with rows was detached from ".*detached_t"$/,
  },
  gone: {
    statements: t => [`DROP TABLE ${t}_1`],
    error: /^a partition was dropped from ".*gone_t"$/,
  },
  rewritten: {
    statements: t => [`ALTER TABLE ${t}_t ALTER v TYPE text USING v || '!'`],
    error: /^ALTER TABLE has rewritten the values of column "v" of ".*rewritten_t"$/,
  },
  retyped: {
    statements: t => [`ALTER TABLE ${t}_t ALTER v TYPE char(9)`],
    error: /^column "v" of ".*retyped_t" has changed its type$/,
    code: 'SL002',
  },
  unlogged: {
    statements: t => [`ALTER TABLE ${t}_2 SET UNLOGGED`],
    error: /^changes of .*unlogged_(t|2).* are not in the log$/,
  },
};

test('what changes rows that the log does not send stalls the sink before anything that follows', async () => {
  const topics = new Map<string, string>();
  for (const name of Object.keys(CHANGES)) topics.set(name, await sink(name));
  for (const [name, {statements}] of Object.entries(CHANGES)) {
    await world.transaction(...statements(name), `INSERT INTO ${name}_2 VALUES (2, 'two')`);
  }
  for (const [name, {error, code = 'SL007'}] of Object.entries(CHANGES)) {
    const status = await world.stalled(name, code);
    expect(status.error).toMatch(error);
    expect(status.details?.retrying).toBe(false);
    expect(await world.topic(topics.get(name)!)).toEqual([FIRST]);
  }
});

test('DETACH CONCURRENTLY, which is no transaction', async () => {
  const topic = await sink('loose');
  await world.sql('ALTER TABLE loose_t DETACH PARTITION loose_1 CONCURRENTLY', `INSERT INTO loose_t VALUES (2, 'two')`);
  expect((await world.stalled('loose', 'SL007')).error).toContain('detached');
  expect(await world.topic(topic)).toEqual([FIRST]);
});

test('a child by inheritance, whose rows the log does not show as its parent’s', async () => {
  await world.sql(`CREATE TABLE father_t (a integer PRIMARY KEY)`);
  const topic = await world.running({name: 'father', key: '(a)'});
  await world.sql(`CREATE TABLE child () INHERITS (father_t)`);
  expect((await world.stalled('father', 'SL007')).error).toBe(
    'changes of "public.child" of "public.father_t" are not in the log',
  );
  expect(await world.topic(topic)).toEqual([]);
});
