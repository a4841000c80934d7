import {afterAll, beforeAll, expect, test} from 'vitest';
import {poll} from '../../scripts/process/poll.ts';
import {finalState, SinkWorld, type Message} from './sink-world.ts';

/** So little memory that a hundred rows have to go through files, in the walsender, in the stream and in the sink. */
let world: SinkWorld;
beforeAll(async () => {
  world = await SinkWorld.open({sliceBytes: 16_384});
  await world.engine.query(`ALTER SYSTEM SET logical_decoding_work_mem = '64kB'`);
  await world.engine.query('SELECT pg_reload_conf()');
});
afterAll(() => world[Symbol.asyncDispose]());

async function sink(name: string): Promise<string> {
  await world.sql(`CREATE TABLE ${name}_t (a integer PRIMARY KEY, v text)`);
  return world.running({name, key: '(a)'});
}

const row = (a: number, v: string) => ({key: {a}, value: {a, v}});
const byKey = (messages: readonly Message[]) =>
  messages.map(({key}) => (key as {a: number}).a).sort((one, other) => one - other);

test('a transaction that fits neither into the memory of the walsender nor into that of the sink', async () => {
  const topic = await sink('large');
  await world.transaction(
    `INSERT INTO large_t SELECT n, repeat(md5(n::text), 4) FROM generate_series(1, 5000) n`,
    `UPDATE large_t SET v = 'changed' WHERE a % 2 = 0`,
    `DELETE FROM large_t WHERE a % 5 = 0`,
  );
  const messages = await world.messages('large', topic);
  // One net message for each row that is left, none for those that came and went.
  const left = Array.from({length: 5000}, (_, i) => i + 1).filter(a => a % 5 !== 0);
  expect(byKey(messages)).toEqual(left);
  const wrong = messages.filter(({key, value}) => {
    const {a} = key as {a: number};
    const {v} = value as {v: string};
    return a % 2 === 0 ? v !== 'changed' : v.length !== 128;
  });
  expect(wrong).toEqual([]);
  await poll('the statistics of a streamed transaction', 30_000, async () => {
    const {rows} = await world.engine.query<{streamed: boolean}>(
      'SELECT sum(stream_txns) > 0 AS streamed FROM pg_stat_replication_slots',
    );
    return rows[0].streamed;
  });
});

test('two large transactions at once, one of which is rolled back', async () => {
  const topic = await sink('woven');
  const [one, other] = [await world.sluice.connect(), await world.sluice.connect()];
  await one.query('BEGIN');
  await other.query('BEGIN');
  for (let from = 1; from <= 3001; from += 1000) {
    const rows = (first: number) =>
      `SELECT n, repeat(md5(n::text), 4) FROM generate_series(${first}, ${first + 999}) n`;
    await one.query(`INSERT INTO woven_t ${rows(from)}`);
    await other.query(`INSERT INTO woven_t ${rows(from + 10_000)}`);
  }
  await one.query('ROLLBACK');
  await other.query('COMMIT');
  await one.end();
  await other.end();
  expect(byKey(await world.messages('woven', topic))).toEqual(Array.from({length: 4000}, (_, i) => 10_001 + i));
});

test('what was rolled back to a savepoint never was, in small and in large transactions', async () => {
  const topic = await sink('undone');
  const filler = (from: number) =>
    `INSERT INTO undone_t SELECT n, repeat(md5(n::text), 4) FROM generate_series(${from}, ${from + 999}) n`;
  await world.transaction(
    `INSERT INTO undone_t VALUES (1, 'one')`,
    'SAVEPOINT s',
    `INSERT INTO undone_t VALUES (2, 'never')`,
    `UPDATE undone_t SET v = 'never' WHERE a = 1`,
    'ROLLBACK TO s',
    `INSERT INTO undone_t VALUES (2, 'two')`,
    'RELEASE s',
  );
  expect(await world.messages('undone', topic)).toEqual([row(1, 'one'), row(2, 'two')]);
  await world.transaction(
    filler(1000),
    'SAVEPOINT s',
    filler(2000),
    `DELETE FROM undone_t WHERE a < 1000`,
    'ROLLBACK TO s',
    'SAVEPOINT t',
    `UPDATE undone_t SET v = 'kept' WHERE a = 2`,
    'RELEASE t',
    filler(3000),
  );
  const messages = (await world.messages('undone', topic)).slice(2);
  const range = (from: number) => Array.from({length: 1000}, (_, i) => from + i);
  expect(byKey(messages)).toEqual([2, ...range(1000), ...range(3000)]);
  expect(messages).toContainEqual(row(2, 'kept'));
});

test('two-phase commit: prepared before and after the snapshot, committed and rolled back, over a restart of the worker', async () => {
  await world.sql(`CREATE TABLE phased_t (a integer PRIMARY KEY, v text)`);
  await world.sql(`INSERT INTO phased_t VALUES (1, 'before')`);
  await world.sql('BEGIN', `INSERT INTO phased_t VALUES (2, 'prepared before')`, `PREPARE TRANSACTION 'early'`);
  const topic = await world.create({name: 'phased', key: '(a)'});
  const {details} = await world.until('phased', status => status.details?.waiting_for !== undefined);
  expect(details?.waiting_for).toMatch(/early|prepared/);
  await world.sql(`COMMIT PREPARED 'early'`);
  await world.until('phased', ({status}) => status === 'running');
  expect(await world.messages('phased', topic)).toEqual([row(1, 'before'), row(2, 'prepared before')]);

  await world.sql('BEGIN', `INSERT INTO phased_t VALUES (3, 'late')`, `PREPARE TRANSACTION 'late'`);
  await world.sql('BEGIN', `INSERT INTO phased_t VALUES (4, 'never')`, `PREPARE TRANSACTION 'never'`);
  await world.sql(`INSERT INTO phased_t VALUES (5, 'between')`);
  expect((await world.messages('phased', topic)).slice(2)).toEqual([row(5, 'between')]);
  const [killed] = await world.sluice.killWorkers();
  await poll('another worker', 40_000, async () => {
    const pids = await world.sluice.workerPids();
    return pids.length > 0 && !pids.includes(killed);
  });
  await world.sql(`COMMIT PREPARED 'late'`, `ROLLBACK PREPARED 'never'`, `UPDATE phased_t SET v = 'last' WHERE a = 1`);
  expect((await world.messages('phased', topic)).slice(3)).toEqual([row(3, 'late'), row(1, 'last')]);
});

test('a snapshot larger than one commit, while the table changes', async () => {
  const small = await SinkWorld.open({spoolBytes: 0, blocksPerCommit: 4});
  try {
    await small.sql(
      `CREATE TABLE spooled_t (a integer PRIMARY KEY, v text)`,
      `INSERT INTO spooled_t SELECT n, repeat(md5(n::text), 4) FROM generate_series(1, 3000) n`,
    );
    const topic = await small.create({name: 'spooled', key: '(a)'});
    const expected = new Map<string, unknown>();
    await small.sql(`UPDATE spooled_t SET v = 'changed' WHERE a % 3 = 0`, `DELETE FROM spooled_t WHERE a % 7 = 0`);
    for (const {a, v} of await small.sql('SELECT a, v FROM spooled_t')) expected.set(JSON.stringify({a}), {a, v});
    await small.until('spooled', ({status}) => status === 'running');
    expect(finalState(await small.messages('spooled', topic))).toEqual(expected);
  } finally {
    await small[Symbol.asyncDispose]();
  }
});

test('a snapshot in one long transaction, and what changes meanwhile and later', async () => {
  const large = await SinkWorld.open({longBytes: 0});
  try {
    await large.sql(
      `CREATE TABLE long_t (a integer PRIMARY KEY, v text)`,
      `INSERT INTO long_t SELECT n, repeat(md5(n::text), 4) FROM generate_series(1, 3000) n`,
    );
    const topic = await large.create({name: 'long', key: '(a)'});
    await large.sql(`UPDATE long_t SET v = 'changed' WHERE a % 3 = 0`, `DELETE FROM long_t WHERE a % 7 = 0`);
    await large.until('long', ({status}) => status === 'running');
    await large.sql(`INSERT INTO long_t VALUES (0, 'later')`);
    const expected = new Map<string, unknown>();
    for (const {a, v} of await large.sql('SELECT a, v FROM long_t')) expected.set(JSON.stringify({a}), {a, v});
    expect(finalState(await large.messages('long', topic))).toEqual(expected);
    expect((await large.history('long')).filter(status => status === 'stalled')).toEqual([]);
  } finally {
    await large[Symbol.asyncDispose]();
  }
});
