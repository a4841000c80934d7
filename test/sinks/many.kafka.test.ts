import {afterAll, beforeAll, expect, test} from 'vitest';
import {poll} from '../../scripts/process/poll.ts';
import {SinkWorld} from './sink-world.ts';

let world: SinkWorld;
beforeAll(async () => {
  world = await SinkWorld.open();
});
afterAll(() => world[Symbol.asyncDispose]());

const row = (a: number, v: string | null) => ({key: {a}, value: {a, v}});

test('two sinks on one table, in one cluster and in two', async () => {
  await world.sql(
    `CREATE CLUSTER second (SIZE = '25cc')`,
    `CREATE TABLE shared (a integer PRIMARY KEY, v text)`,
    `INSERT INTO shared VALUES (1, 'one')`,
  );
  const topics = {
    here: await world.running({name: 'here', from: 'shared', key: '(a)'}),
    beside: await world.running({name: 'beside', from: 'shared', key: '(a)'}),
    there: await world.running({name: 'there', from: 'shared', key: '(a)', cluster: 'second'}),
  };
  await world.sql(`INSERT INTO shared VALUES (2, 'two')`, `UPDATE shared SET v = NULL WHERE a = 1`);
  const all = [row(1, 'one'), row(2, 'two'), row(1, null)];
  for (const [name, topic] of Object.entries(topics)) expect(await world.messages(name, topic), name).toEqual(all);
  // What one of them needed the others still need.
  await world.sql('DROP SINK here', 'DROP SINK there');
  await poll('the end of what the sinks needed', 30_000, async () => {
    const {rows} = await world.engine.query<{n: number}>('SELECT count(*)::int AS n FROM mz_sluice.dropped_sink');
    return rows[0].n === 0;
  });
  await world.sql(`DELETE FROM shared WHERE a = 2`, 'TRUNCATE shared');
  expect(await world.messages('beside', topics.beside)).toEqual([
    ...all,
    {key: {a: 2}, value: null},
    {key: {a: 1}, value: null},
  ]);
  await world.sql('DROP SINK beside', 'DROP CLUSTER second');
});

test('a table that is empty, and one whose names need quotes, in another schema', async () => {
  await world.sql(
    `CREATE SCHEMA "Other ""Schema"""`,
    `CREATE TABLE "Other ""Schema"""."Table of ''Things''" ("The Id" integer PRIMARY KEY, "select" text, "ä.ö" text)`,
    `INSERT INTO "Other ""Schema"""."Table of ''Things''" VALUES (1, 'x', 'y')`,
    `CREATE TABLE bare (a integer PRIMARY KEY, v text)`,
  );
  const bare = await world.running({name: 'bare_sink', from: 'bare', key: '(a)'});
  const quoted = await world.running({
    name: 'quoted',
    from: `"Other ""Schema"""."Table of ''Things''"`,
    key: '("The Id")',
  });
  expect(await world.messages('bare_sink', bare)).toEqual([]);
  await world.sql(
    `INSERT INTO bare VALUES (1, 'one')`,
    `UPDATE "Other ""Schema"""."Table of ''Things''" SET "ä.ö" = NULL`,
    `TRUNCATE "Other ""Schema"""."Table of ''Things''"`,
  );
  expect(await world.messages('bare_sink', bare)).toEqual([row(1, 'one')]);
  const value = {'The Id': 1, select: 'x', 'ä.ö': 'y'};
  const key = {'The Id': 1};
  expect(await world.messages('quoted', quoted)).toEqual([
    {key, value},
    {key, value: {...value, 'ä.ö': null}},
    {key, value: null},
  ]);
});

test('a table and its schema that are renamed, and a table that moves to another schema', async () => {
  await world.sql(
    'CREATE SCHEMA one',
    'CREATE SCHEMA two',
    `CREATE TABLE one.moving (a integer PRIMARY KEY, v text)`,
    `INSERT INTO one.moving VALUES (1, 'one')`,
  );
  const topic = await world.running({name: 'moving', from: 'one.moving', key: '(a)'});
  await world.transaction('ALTER TABLE one.moving SET SCHEMA two', `INSERT INTO two.moving VALUES (2, 'two')`);
  await world.sql('ALTER SCHEMA two RENAME TO three', 'ALTER TABLE three.moving RENAME TO moved');
  await world.sluice.killWorkers();
  await world.sql(`INSERT INTO three.moved VALUES (3, 'three')`);
  expect(await world.messages('moving', topic)).toEqual([row(1, 'one'), row(2, 'two'), row(3, 'three')]);
});

test('counters and lag over a restart of the worker, and the history', async () => {
  await world.sql(`CREATE TABLE counted_t (a integer PRIMARY KEY, v text)`, `INSERT INTO counted_t VALUES (1, 'one')`);
  const topic = await world.running({name: 'counted', key: '(a)'});
  await world.messages('counted', topic);
  const counters = async () => {
    const {rows} = await world.engine.query<{staged: number; committed: number; bytes: number}>(
      `SELECT messages_staged::int AS staged, messages_committed::int AS committed, bytes_committed::int AS bytes
       FROM mz_internal.mz_sink_statistics t JOIN mz_catalog.mz_sinks s USING (id) WHERE s.name = 'counted'`,
    );
    return rows[0];
  };
  const reached = (wanted: number) =>
    poll(`${wanted} messages`, 30_000, async () => {
      const now = await counters();
      return now.committed === wanted && now.staged === wanted && now;
    });
  const first = await reached(1);
  expect(first.bytes).toBeGreaterThan(10);
  await world.sluice.killWorkers();
  await world.sql(`INSERT INTO counted_t VALUES (2, 'two'), (3, 'three')`, `UPDATE counted_t SET v = 'X' WHERE a = 1`);
  await world.caughtUp('counted');
  const second = await reached(4);
  expect(second.bytes).toBeGreaterThan(first.bytes);
  const history = await world.history('counted');
  expect(history.slice(0, 2)).toEqual(['starting', 'running']);
  expect(history.slice(2)).toContain('starting');
  expect(history.at(-1)).toBe('running');
  await poll('a lag of less than a minute and a megabyte', 30_000, async () => {
    const {rows} = await world.engine.query<{small: boolean}>(
      `SELECT lag_bytes < 1048576 AND lag_seconds < 60 AND f.write_frontier::text::numeric BETWEEN m - 60000 AND m AS small
       FROM mz_internal.mz_sluice_lag l JOIN mz_internal.mz_frontiers f ON f.object_id = l.sink_id,
         (SELECT extract(epoch FROM clock_timestamp()) * 1000 AS m) AS now
       WHERE l.name = 'counted'`,
    );
    return rows[0].small;
  });
});
