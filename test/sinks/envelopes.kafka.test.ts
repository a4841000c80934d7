import {afterAll, beforeAll, expect, test} from 'vitest';
import {readTopic} from '../setup/kafka.ts';
import {SinkWorld} from './sink-world.ts';

let world: SinkWorld;
beforeAll(async () => {
  world = await SinkWorld.open();
});
afterAll(() => world[Symbol.asyncDispose]());

/** More than 8 kB that cannot be compressed: stored outside of the row. */
const TOASTED = `(SELECT string_agg(md5(n::text), '' ORDER BY n) FROM generate_series(1, 400) n)`;

test('upsert: one message for each key that a transaction has changed', async () => {
  await world.sql(
    `CREATE TABLE ups_t (id integer PRIMARY KEY, v text)`,
    `INSERT INTO ups_t VALUES (1, 'a'), (2, NULL)`,
  );
  const topic = await world.running({name: 'ups', key: '(id)'});
  const added = (...statements: string[]) => world.added('ups', topic, ...statements);
  const put = (id: number, v: string | null) => ({key: {id}, value: {id, v}});
  const gone = (id: number) => ({key: {id}, value: null});
  expect(await world.messages('ups', topic)).toEqual([put(1, 'a'), put(2, null)]);
  expect(await added(`INSERT INTO ups_t VALUES (3, 'c')`, `UPDATE ups_t SET v = 'b' WHERE id = 1`)).toEqual([
    put(3, 'c'),
    put(1, 'b'),
  ]);
  expect(await added(`UPDATE ups_t SET v = 'b' WHERE id = 1`)).toEqual([]);
  expect(await added(`BEGIN`, `INSERT INTO ups_t VALUES (9, 'x')`, `DELETE FROM ups_t WHERE id = 9`, `COMMIT`)).toEqual(
    [],
  );
  expect(
    await added(
      `BEGIN`,
      `UPDATE ups_t SET v = '1' WHERE id = 3`,
      `UPDATE ups_t SET v = '2' WHERE id = 3`,
      `UPDATE ups_t SET v = NULL WHERE id = 3`,
      `COMMIT`,
    ),
  ).toEqual([put(3, null)]);
  const keyChange = await added(`UPDATE ups_t SET id = 10 WHERE id = 1`);
  expect(keyChange).toHaveLength(2);
  expect(keyChange).toEqual(expect.arrayContaining([gone(1), put(10, 'b')]));
  expect(
    await added(`BEGIN`, `DELETE FROM ups_t WHERE id = 10`, `INSERT INTO ups_t VALUES (10, 'b')`, `COMMIT`),
  ).toEqual([]);
  expect(await added(`DELETE FROM ups_t WHERE id = 10`)).toEqual([gone(10)]);
});

test('debezium: before and after of each net change', async () => {
  await world.sql(`CREATE TABLE deb_t (id integer PRIMARY KEY, v text)`, `INSERT INTO deb_t VALUES (1, 'a')`);
  const topic = await world.running({name: 'deb', key: '(id)', envelope: 'DEBEZIUM'});
  const added = (...statements: string[]) => world.added('deb', topic, ...statements);
  const row = (id: number, v: string | null) => ({id, v});
  expect(await world.messages('deb', topic)).toEqual([{key: {id: 1}, value: {before: null, after: row(1, 'a')}}]);
  expect(await added(`UPDATE deb_t SET v = 'b'`)).toEqual([
    {key: {id: 1}, value: {before: row(1, 'a'), after: row(1, 'b')}},
  ]);
  expect(await added(`UPDATE deb_t SET v = 'b'`)).toEqual([]);
  expect(await added(`BEGIN`, `UPDATE deb_t SET v = 'c'`, `UPDATE deb_t SET v = NULL`, `COMMIT`)).toEqual([
    {key: {id: 1}, value: {before: row(1, 'b'), after: row(1, null)}},
  ]);
  const keyChange = await added(`UPDATE deb_t SET id = 2`);
  expect(keyChange).toHaveLength(2);
  expect(keyChange).toEqual(
    expect.arrayContaining([
      {key: {id: 1}, value: {before: row(1, null), after: null}},
      {key: {id: 2}, value: {before: null, after: row(2, null)}},
    ]),
  );
  expect(await added(`DELETE FROM deb_t`)).toEqual([{key: {id: 2}, value: {before: row(2, null), after: null}}]);
});

test('debezium without a key: null keys, all in partition 0, equal rows are counted', async () => {
  await world.sql(`CREATE TABLE bare_t (v integer)`, `INSERT INTO bare_t VALUES (1), (1), (2)`);
  const topic = await world.running({name: 'bare', envelope: 'DEBEZIUM', partitions: 3});
  await world.sql(`UPDATE bare_t SET v = 3 WHERE v = 2`, `DELETE FROM bare_t WHERE v = 1`);
  const messages = await world.messages('bare', topic);
  expect((await readTopic(topic)).every(({partition, key}) => partition === 0 && key === null)).toBe(true);
  const count = (which: 'before' | 'after', v: number) =>
    messages.filter(({value}) => (value as Record<string, {v: number} | null>)[which]?.v === v).length;
  expect([1, 2, 3].map(v => [count('after', v), count('before', v)])).toEqual([
    [2, 2],
    [1, 1],
    [1, 0],
  ]);
});

test.each(['UPSERT', 'DEBEZIUM'] as const)(
  '%s: a value outside of the row is whole after an update of another column',
  async envelope => {
    const name = `toast_${envelope.toLowerCase()}`;
    await world.sql(
      `CREATE TABLE ${name}_t (id integer PRIMARY KEY, n integer, big text)`,
      `ALTER TABLE ${name}_t ALTER big SET STORAGE EXTERNAL`,
      `INSERT INTO ${name}_t VALUES (1, 1, ${TOASTED})`,
    );
    const [{big}] = await world.sql(`SELECT big FROM ${name}_t`);
    expect(String(big)).toHaveLength(12_800);
    const topic = await world.running({name, key: '(id)', envelope});
    const added = await world.added(name, topic, `UPDATE ${name}_t SET n = 2`);
    const after = {id: 1, n: 2, big};
    const value = envelope === 'UPSERT' ? after : {before: {id: 1, n: 1, big}, after};
    expect(added).toEqual([{key: {id: 1}, value}]);
    // Twice in one transaction, so that the row to complete from is itself incomplete.
    const twice = await world.added(
      name,
      topic,
      'BEGIN',
      `UPDATE ${name}_t SET n = 3`,
      `UPDATE ${name}_t SET n = 4, id = 5`,
      'COMMIT',
    );
    expect(twice.find(({key}) => (key as {id: number}).id === 5)?.value).toEqual(
      envelope === 'UPSERT' ? {id: 5, n: 4, big} : {before: null, after: {id: 5, n: 4, big}},
    );
    expect(twice).toHaveLength(2);
  },
);

test('a key of several columns has the order of the KEY clause', async () => {
  await world.sql(`CREATE TABLE comp_t (a integer, v text, b text, PRIMARY KEY (a, b))`);
  const topic = await world.running({name: 'comp', key: '(b, a)'});
  await world.sql(`INSERT INTO comp_t VALUES (1, 'v', 'x')`, `DELETE FROM comp_t`);
  await world.caughtUp('comp');
  expect((await readTopic(topic)).map(({key, value}) => [String(key), value === null ? null : String(value)])).toEqual([
    ['{"b":"x","a":1}', '{"a":1,"v":"v","b":"x"}'],
    ['{"b":"x","a":1}', null],
  ]);
});

test('a key that is not enforced: every change of a key has messages, and the last one is of a row that exists', async () => {
  await world.sql(`CREATE TABLE loose_t (k integer, v text)`);
  const topic = await world.running({name: 'loose', key: '(k) NOT ENFORCED'});
  await world.sql(`INSERT INTO loose_t VALUES (1, 'a')`, `INSERT INTO loose_t VALUES (1, 'b')`);
  expect(await world.messages('loose', topic)).toEqual([
    {key: {k: 1}, value: {k: 1, v: 'a'}},
    {key: {k: 1}, value: {k: 1, v: 'b'}},
  ]);
  expect(await world.added('loose', topic, `DELETE FROM loose_t WHERE v = 'b'`)).toEqual([{key: {k: 1}, value: null}]);
});
