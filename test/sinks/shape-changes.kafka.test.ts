import {afterAll, beforeAll, expect, test} from 'vitest';
import {SinkWorld} from './sink-world.ts';

let world: SinkWorld;
beforeAll(async () => {
  world = await SinkWorld.open();
});
afterAll(() => world[Symbol.asyncDispose]());

/** A table (a, b, c) with one row, and a sink that has it. */
async function sink(name: string): Promise<string> {
  await world.sql(
    `CREATE TABLE ${name}_t (a integer PRIMARY KEY, b text, c integer)`,
    `INSERT INTO ${name}_t VALUES (1, 'one', 1)`,
  );
  const topic = await world.running({name, key: '(a)'});
  expect(await world.messages(name, topic)).toEqual([FIRST]);
  return topic;
}

const row = (a: number, b: string | null, c: number | null) => ({key: {a}, value: {a, b, c}});
const FIRST = row(1, 'one', 1);

test('an added column is ignored', async () => {
  const topic = await sink('adding');
  await world.sql(
    `ALTER TABLE adding_t ADD COLUMN d integer DEFAULT 7`,
    `INSERT INTO adding_t VALUES (2, 'two', 2, 2)`,
  );
  await world.transaction(`ALTER TABLE adding_t ADD COLUMN e integer`, `UPDATE adding_t SET e = 1, c = 3 WHERE a = 2`);
  expect(await world.messages('adding', topic)).toEqual([FIRST, row(2, 'two', 2), row(2, 'two', 3)]);
});

test('a renamed column keeps its field, within a transaction and after a restart of the worker', async () => {
  const topic = await sink('renaming');
  await world.transaction(`ALTER TABLE renaming_t RENAME b TO x`, `INSERT INTO renaming_t VALUES (2, 'two', 2)`);
  await world.sql(`ALTER TABLE renaming_t RENAME TO renamed_t`, `INSERT INTO renamed_t VALUES (3, 'three', 3)`);
  expect(await world.messages('renaming', topic)).toEqual([FIRST, row(2, 'two', 2), row(3, 'three', 3)]);
  await world.sluice.killWorkers();
  await world.sql(`UPDATE renamed_t SET x = 'drei' WHERE a = 3`);
  expect((await world.messages('renaming', topic)).slice(3)).toEqual([row(3, 'drei', 3)]);
  const {rows} = await world.engine.query(
    `SELECT error FROM mz_internal.mz_sink_status_history h JOIN mz_sinks s ON s.id = h.sink_id WHERE s.name = 'renaming' AND h.status = 'stalled'`,
  );
  expect(rows).toEqual([]);
});

/** What happens to the table, and the code and message of the stall. `write`: a row that must not be in the topic. */
const STALLS = {
  dropped: {
    change: (t: string) => [`ALTER TABLE ${t} DROP COLUMN b`],
    write: (t: string) => `INSERT INTO ${t} VALUES (2, 2)`,
    code: 'SL001',
    error: /column "b" of .*dropped.* is gone/,
  },
  replaced: {
    change: (t: string) => [`ALTER TABLE ${t} DROP COLUMN b`, `ALTER TABLE ${t} ADD COLUMN b text`],
    write: (t: string) => `INSERT INTO ${t} VALUES (2, 2, 'two')`,
    code: 'SL001',
    error: /column "[bc]" of .*replaced.* (is gone|was dropped and added again)/,
  },
  retyped: {
    change: (t: string) => [`ALTER TABLE ${t} ALTER c TYPE bigint`],
    write: (t: string) => `INSERT INTO ${t} VALUES (2, 'two', 2)`,
    code: 'SL002',
    error: /column "c" of .*retyped.* has changed its type/,
  },
  poor: {
    change: (t: string) => [`ALTER TABLE ${t} REPLICA IDENTITY DEFAULT`],
    write: (t: string) => `UPDATE ${t} SET c = 2`,
    code: 'SL004',
    error: /poor.*REPLICA IDENTITY FULL/,
  },
} as const;

test.each(Object.entries(STALLS))(
  '%s: the sink stalls, whether rows follow in the same transaction, later, or never',
  async (kind, stall) => {
    const ways = {
      within: (t: string) => world.transaction(...stall.change(t), stall.write(t)),
      after: (t: string) => world.sql(...stall.change(t), stall.write(t)),
      without: (t: string) => world.transaction(...stall.change(t)),
    };
    for (const [way, act] of Object.entries(ways)) {
      const name = `${kind}_${way}`;
      const topic = await sink(name);
      await act(`${name}_t`);
      const {error, details} = await world.stalled(name, stall.code);
      expect(error).toMatch(stall.error);
      expect(details).toMatchObject({retrying: false, hints: [expect.stringContaining('create it again')]});
      expect(await world.topic(topic)).toEqual([FIRST]);
      await world.sql(`DROP SINK ${name}`);
    }
  },
);

test('a last column that was dropped and added again looks the same in the log, and is noticed all the same', async () => {
  const topic = await sink('last');
  await world.transaction(`ALTER TABLE last_t DROP COLUMN c`, `ALTER TABLE last_t ADD COLUMN c integer`);
  expect((await world.stalled('last', 'SL001')).error).toContain('column "c" of public.last_t is gone');
  expect(await world.topic(topic)).toEqual([FIRST]);
});

test('a table that is taken out of the publication and put back', async () => {
  const topic = await sink('unpublished');
  const {rows} = await world.engine.query<{name: string}>(
    `SELECT pubname AS name FROM pg_publication_tables WHERE tablename = 'unpublished_t'`,
  );
  await world.engine.query(`ALTER PUBLICATION ${rows[0].name} DROP TABLE unpublished_t`);
  await world.sql(`INSERT INTO unpublished_t VALUES (2, 'lost', 2)`);
  await world.engine.query(`ALTER PUBLICATION ${rows[0].name} ADD TABLE unpublished_t`);
  const {error, details} = await world.stalled('unpublished', 'SL006');
  expect(error).toBe(`public.unpublished_t was taken out of publication "${rows[0].name}"`);
  expect(details?.hints).toEqual([expect.stringContaining('Drop the sink, empty the target')]);
  expect(await world.topic(topic)).toEqual([FIRST]);
});

test('TRUNCATE: rows become deletions and the user hears of it', async () => {
  const topic = await sink('truncating');
  world.notices.length = 0;
  await world.transaction(
    `INSERT INTO truncating_t VALUES (2, 'two', 2)`,
    `TRUNCATE truncating_t`,
    `INSERT INTO truncating_t VALUES (3, 'three', 3)`,
  );
  expect(world.notices).toEqual([`TRUNCATE of "public.truncating_t" deletes its rows one by one`]);
  const messages = await world.messages('truncating', topic);
  expect(messages[0]).toEqual(FIRST);
  expect(messages).toHaveLength(3);
  expect(messages.slice(1)).toEqual(expect.arrayContaining([{key: {a: 1}, value: null}, row(3, 'three', 3)]));
});

test('TRUNCATE past the trigger stalls', async () => {
  const topic = await sink('bypassed');
  await world.transaction(
    `ALTER TABLE bypassed_t DISABLE TRIGGER zzz_sluice_truncate`,
    `TRUNCATE bypassed_t`,
    `INSERT INTO bypassed_t VALUES (2, 'two', 2)`,
  );
  const {error} = await world.stalled('bypassed', 'SL005');
  expect(error).toBe('"public.bypassed_t" was truncated and the log does not say which rows that were');
  expect(await world.topic(topic)).toEqual([FIRST]);
});
