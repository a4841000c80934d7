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
  expect(await world.history('renaming')).not.toContain('stalled');
});

test('the heap may be rewritten as long as the values stay', async () => {
  const topic = await sink('moved');
  await world.sql(
    `ALTER TABLE moved_t ADD COLUMN at timestamptz DEFAULT clock_timestamp()`,
    `ALTER TABLE moved_t ALTER at TYPE timestamp`,
    `VACUUM FULL moved_t`,
    `CLUSTER moved_t USING moved_t_pkey`,
    `INSERT INTO moved_t VALUES (2, 'two', 2)`,
  );
  expect(await world.messages('moved', topic)).toEqual([FIRST, row(2, 'two', 2)]);
});

interface ShapeChange {
  readonly change: (t: string) => readonly string[];
  /** A row that must not be in the topic. */
  readonly write: (t: string) => string;
  readonly code: string;
  readonly error: RegExp;
}

const CHANGES: Readonly<Record<string, ShapeChange>> = {
  dropped: {
    change: t => [`ALTER TABLE ${t} DROP COLUMN b`],
    write: t => `INSERT INTO ${t} VALUES (2, 2)`,
    code: 'SL001',
    error: /^column "b" of "public.dropped_[a-z]+_t" was dropped$/,
  },
  replaced: {
    change: t => [`ALTER TABLE ${t} DROP COLUMN b`, `ALTER TABLE ${t} ADD COLUMN b text`],
    write: t => `INSERT INTO ${t} VALUES (2, 2, 'two')`,
    code: 'SL001',
    error: /^column "b" of "public.replaced_[a-z]+_t" was dropped$/,
  },
  retyped: {
    change: t => [`ALTER TABLE ${t} ALTER c TYPE bigint`],
    write: t => `INSERT INTO ${t} VALUES (2, 'two', 2)`,
    code: 'SL002',
    error: /^column "c" of ".*public.retyped_[a-z]+_t" has changed its type$/,
  },
  rewritten: {
    change: t => [`ALTER TABLE ${t} ALTER c TYPE integer USING c + 1`],
    write: t => `INSERT INTO ${t} VALUES (2, 'two', 2)`,
    code: 'SL007',
    error: /^ALTER TABLE has rewritten the values of column "c" of ".*rewritten_[a-z]+_t"$/,
  },
  poor: {
    change: t => [`ALTER TABLE ${t} REPLICA IDENTITY DEFAULT`],
    write: t => `UPDATE ${t} SET c = 2`,
    code: 'SL004',
    error: /^"public.poor_[a-z]+_t" no longer has REPLICA IDENTITY FULL$/,
  },
};

test.each(Object.entries(CHANGES))(
  '%s: the sink stalls, whether rows follow in the same transaction, later, or never',
  async (kind, {change, write, code, error}) => {
    const ways = {
      within: (t: string) => world.transaction(...change(t), write(t)),
      after: (t: string) => world.sql(...change(t), write(t)),
      without: (t: string) => world.transaction(...change(t)),
    };
    const topics = new Map<string, string>();
    for (const way of Object.keys(ways)) topics.set(way, await sink(`${kind}_${way}`));
    for (const [way, act] of Object.entries(ways)) await act(`${kind}_${way}_t`);
    for (const [way, topic] of topics) {
      const name = `${kind}_${way}`;
      const status = await world.stalled(name, code);
      expect(status.error).toMatch(error);
      expect(status.details).toMatchObject({retrying: false, hints: [expect.stringContaining('create it again')]});
      expect(await world.topic(topic)).toEqual([FIRST]);
      await world.sql(`DROP SINK ${name}`);
    }
  },
);

test('a stored generated column whose expression changes', async () => {
  await world.sql(
    `CREATE TABLE computed_t (a integer PRIMARY KEY, g integer GENERATED ALWAYS AS (a * 2) STORED)`,
    `INSERT INTO computed_t VALUES (1)`,
  );
  const topic = await world.running({name: 'computed', key: '(a)'});
  await world.sql(`ALTER TABLE computed_t ADD COLUMN b float DEFAULT random()`, `INSERT INTO computed_t VALUES (2)`);
  const messages = [1, 2].map(a => ({key: {a}, value: {a, g: a * 2}}));
  expect(await world.messages('computed', topic)).toEqual(messages);
  await world.transaction(
    `INSERT INTO computed_t VALUES (3)`,
    `ALTER TABLE computed_t ALTER g SET EXPRESSION AS (a * 3)`,
  );
  expect((await world.stalled('computed', 'SL007')).error).toContain('values of column "g"');
  expect(await world.topic(topic)).toEqual(messages);
});

test('a type that changes under its values', async () => {
  await world.sql(
    `CREATE TYPE mood AS ENUM ('sad', 'fine')`,
    `CREATE TYPE pair AS (x integer, y text)`,
    `CREATE TABLE moody_t (a integer PRIMARY KEY, m mood[])`,
    `CREATE TABLE paired_t (a integer PRIMARY KEY, p pair)`,
    `INSERT INTO moody_t VALUES (1, '{sad}')`,
    `INSERT INTO paired_t VALUES (1, '(1,one)')`,
  );
  const moody = await world.running({name: 'moody', key: '(a)'});
  const paired = await world.running({name: 'paired', key: '(a)'});
  await world.sql(`ALTER TYPE mood ADD VALUE 'glad' BEFORE 'fine'`, `INSERT INTO moody_t VALUES (2, '{glad,fine}')`);
  const rows = [
    {key: {a: 1}, value: {a: 1, m: ['sad']}},
    {key: {a: 2}, value: {a: 2, m: ['glad', 'fine']}},
  ];
  expect(await world.messages('moody', moody)).toEqual(rows);
  await world.sql(`ALTER TYPE mood RENAME VALUE 'sad' TO 'blue'`, `ALTER TYPE pair ADD ATTRIBUTE z integer`);
  expect((await world.stalled('moody', 'SL002')).error).toBe(
    'type "_mood" of column "m" of "public.moody_t" has changed',
  );
  expect((await world.stalled('paired', 'SL002')).error).toBe(
    'type "pair" of column "p" of "public.paired_t" has changed',
  );
  expect(await world.topic(moody)).toEqual(rows);
  expect(await world.topic(paired)).toHaveLength(1);
});

test('a last column that was dropped and added again looks the same in the log, and is noticed all the same', async () => {
  const topic = await sink('last');
  await world.transaction(`ALTER TABLE last_t DROP COLUMN c`, `ALTER TABLE last_t ADD COLUMN c integer`);
  expect((await world.stalled('last', 'SL001')).error).toBe('column "c" of "public.last_t" was dropped');
  expect(await world.topic(topic)).toEqual([FIRST]);
});

test.each(['while the worker runs', 'while nobody looks'])(
  'a table that is taken out of the publication and put back %s',
  async when => {
    const name = when.endsWith('runs') ? 'unpublished' : 'unwatched';
    const topic = await sink(name);
    const {rows} = await world.engine.query<{name: string}>(
      `SELECT pubname AS name FROM pg_publication_tables WHERE tablename = $1`,
      [`${name}_t`],
    );
    const publication = rows[0].name;
    // A worker that is stopped looks at nothing; the next one has only what its predecessor has written down.
    const workers = name === 'unwatched' ? await world.sluice.killWorkers('SIGSTOP') : [];
    await world.engine.query(`ALTER PUBLICATION ${publication} DROP TABLE ${name}_t`);
    await world.sql(`INSERT INTO ${name}_t VALUES (2, 'lost', 2)`);
    await world.engine.query(`ALTER PUBLICATION ${publication} ADD TABLE ${name}_t`);
    if (workers.length > 0) await world.sluice.killWorkers('SIGKILL');
    const {error, details} = await world.stalled(name, 'SL006');
    expect(error).toBe(`"public.${name}_t" was taken out of publication "${publication}"`);
    expect(details?.hints).toEqual([expect.stringContaining('Drop the sink, empty the target')]);
    expect(await world.topic(topic)).toEqual([FIRST]);
  },
);

test('a publication that somebody has narrowed', async () => {
  const topic = await sink('narrowed');
  const {rows} = await world.engine.query<{name: string}>(
    `SELECT pubname AS name FROM pg_publication_tables WHERE tablename = 'narrowed_t'`,
  );
  const others = await world.engine.query<{list: string}>(
    `SELECT string_agg(format('%I.%I %s', schemaname, tablename, 'WHERE ' || rowfilter), ', ') AS list
     FROM pg_publication_tables WHERE pubname = $1 AND tablename <> 'narrowed_t'`,
    [rows[0].name],
  );
  await world.engine.query(
    `ALTER PUBLICATION ${rows[0].name} SET TABLE ${others.rows[0].list}, narrowed_t WHERE (a > 5)`,
  );
  await world.sql(`INSERT INTO narrowed_t VALUES (2, 'lost', 2)`);
  await world.stalled('narrowed', 'SL006');
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
