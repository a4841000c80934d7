import {setTimeout as sleep} from 'node:timers/promises';
import {afterAll, beforeAll, expect, test} from 'vitest';
import {poll} from '../../scripts/process/poll.ts';
import {finalState, SinkWorld, type Message} from './sink-world.ts';

let world: SinkWorld;
beforeAll(async () => {
  world = await SinkWorld.open();
});
afterAll(() => world[Symbol.asyncDispose]());

const LIMIT_MS = 60_000;
/** Between two transactions of a writer: the load, not a wait. */
const PAUSE_MS = 5;

const row = (a: number, v: string) => ({key: {a}, value: {a, v}});

/** What the sink reads now; a relation that it will read does not count. */
async function reads(sink: string): Promise<string> {
  const {rows} = await world.engine.query<{name: string}>(
    `SELECT r.name FROM mz_internal.mz_materialization_dependencies d JOIN mz_catalog.mz_sinks s ON s.id = d.object_id
     JOIN mz_catalog.mz_objects r ON r.id = d.dependency_id WHERE s.name = $1`,
    [sink],
  );
  return rows[0]?.name;
}

async function goneOver(sink: string, relation: string): Promise<void> {
  await poll(`${sink} to read ${relation}`, LIMIT_MS, async () => (await reads(sink)) === relation, 50);
  await world.until(sink, ({status}) => status === 'running', LIMIT_MS);
}

/** Of a table: the replica identity, and whether a publication of ours has it. */
async function traces(table: string): Promise<{identity: string; published: boolean}> {
  const {rows} = await world.engine.query<{identity: string; published: boolean}>(
    `SELECT relreplident AS identity, EXISTS (SELECT FROM pg_publication_rel r WHERE r.prrelid = c.oid) AS published
     FROM pg_class c WHERE c.oid = $1::regclass`,
    [table],
  );
  return rows[0];
}

async function untouched(table: string): Promise<void> {
  await poll(`${table} to be as it was`, LIMIT_MS, async () => {
    const {identity, published} = await traces(table);
    return identity === 'd' && !published;
  });
}

async function tables(...names: readonly string[]): Promise<void> {
  for (const name of names) await world.sql(`CREATE TABLE ${name} (a integer PRIMARY KEY, v text)`);
}

test('a sink goes over: no snapshot, no difference, then what the other relation says', async () => {
  await tables('plain_t', 'plain_next');
  await world.sql(
    `INSERT INTO plain_t VALUES (1, 'old')`,
    `INSERT INTO plain_next VALUES (1, 'differs'), (2, 'never shown')`,
  );
  const topic = await world.running({name: 'plain', key: '(a)'});
  await world.sql('ALTER SINK plain SET FROM plain_next');
  const [{create_sql: text}] = await world.sql(`SHOW CREATE SINK plain`);
  expect(text).toContain('FROM "materialize"."public"."plain_next"');
  await goneOver('plain', 'plain_next');
  await world.sql(
    `UPDATE plain_t SET v = 'too late'`,
    `INSERT INTO plain_next VALUES (3, 'new')`,
    `DELETE FROM plain_next WHERE a = 1`,
  );
  expect(await world.messages('plain', topic)).toEqual([row(1, 'old'), row(3, 'new'), {key: {a: 1}, value: null}]);
  await untouched('plain_t');
  expect(await traces('plain_next')).toEqual({identity: 'f', published: true});
  // Now only the new relation keeps it.
  await poll(
    'DROP TABLE',
    LIMIT_MS,
    async () => (await world.sql('DROP TABLE IF EXISTS plain_t').catch(() => undefined)) !== undefined,
  );
  expect(await world.added('plain', topic, `UPDATE plain_next SET v = 'again' WHERE a = 2`)).toEqual([row(2, 'again')]);
  await world.sql('DROP SINK plain');
  await untouched('plain_next');
});

test('ENVELOPE DEBEZIUM: before and after are of one side, whatever the other one has', async () => {
  await tables('bez_t', 'bez_next');
  await world.sql(`INSERT INTO bez_t VALUES (1, 'a')`, `INSERT INTO bez_next VALUES (1, 'b')`);
  const topic = await world.running({name: 'bez', key: '(a)', envelope: 'DEBEZIUM'});
  await world.sql('ALTER SINK bez SET FROM bez_next');
  await goneOver('bez', 'bez_next');
  await world.sql(`UPDATE bez_next SET v = 'c'`);
  const values = (await world.messages('bez', topic)).map(({value}) => value as {before: unknown; after: unknown});
  expect(values.map(({before, after}) => ({before, after}))).toEqual([
    {before: null, after: {a: 1, v: 'a'}},
    {before: {a: 1, v: 'b'}, after: {a: 1, v: 'c'}},
  ]);
});

test('columns are those of the new relation, the key has its names there; a new column of the same table is taken up', async () => {
  await tables('shape_t');
  await world.sql(`CREATE TABLE shape_next (v boolean, extra integer[], a bigint PRIMARY KEY)`);
  const topic = await world.running({name: 'shape', key: '(a)'});
  await world.sql(`INSERT INTO shape_t VALUES (1, 'x')`);
  await world.caughtUp('shape');
  await world.sql('ALTER SINK shape SET FROM shape_next');
  await goneOver('shape', 'shape_next');
  await world.sql(`INSERT INTO shape_next VALUES (true, '{1,2}', 7)`);
  expect(await world.messages('shape', topic)).toEqual([
    row(1, 'x'),
    {key: {a: 7}, value: {v: true, extra: [1, 2], a: 7}},
  ]);
  const version = async () =>
    (
      await world.engine.query<{v: string}>(
        `SELECT max(version) AS v FROM mz_sluice.sink s JOIN mz_sluice.item i USING (id) WHERE i.name = 'shape'`,
      )
    ).rows[0].v;
  await world.sql('ALTER SINK shape SET FROM shape_next');
  expect(await version()).toBe('1');
  await world.sql('ALTER TABLE shape_next ADD COLUMN later text', 'ALTER SINK shape SET FROM shape_next');
  await poll('the column', LIMIT_MS, async () => (await version()) === '2');
  await world.sql(`INSERT INTO shape_next VALUES (false, NULL, 8, 'here')`);
  expect((await world.messages('shape', topic)).at(-1)).toEqual({
    key: {a: 8},
    value: {v: false, extra: null, a: 8, later: 'here'},
  });
});

test('a transaction that is open on the new relation is waited for, named, and in the topic once', async () => {
  await tables('wait_t', 'wait_next');
  const topic = await world.running({name: 'wait', key: '(a)'});
  const other = await world.sluice.connect();
  await other.query('BEGIN');
  await other.query(`INSERT INTO wait_next VALUES (1, 'before'), (2, 'before')`);
  await world.sql('ALTER SINK wait SET FROM wait_next');
  const {details, status} = await world.until('wait', row => row.details?.waiting_for !== undefined);
  expect(details?.waiting_for).toMatch(/transaction of pid [0-9]+/);
  expect(status).toBe('running');
  // Meanwhile the sink goes on.
  expect(await world.added('wait', topic, `INSERT INTO wait_t VALUES (1, 'old')`)).toEqual([row(1, 'old')]);
  await other.query('COMMIT');
  await other.end();
  await goneOver('wait', 'wait_next');
  expect((await world.status('wait')).details).toBeNull();
  await world.sql(`UPDATE wait_next SET v = 'after' WHERE a = 2`);
  expect(await world.messages('wait', topic)).toEqual([row(1, 'old'), row(2, 'after')]);
});

test('back before it has begun: nothing has happened, and nothing is left of it', async () => {
  await tables('back_t', 'back_next', 'back_third');
  const topic = await world.running({name: 'back', key: '(a)'});
  const other = await world.sluice.connect();
  await other.query('BEGIN');
  await other.query(`INSERT INTO back_next VALUES (1, 'x')`);
  await world.sql('ALTER SINK back SET FROM back_next');
  await world.until('back', ({details}) => details?.waiting_for !== undefined);
  expect(await world.refused('DROP TABLE back_t')).toMatch(/^2BP01/);
  await world.sql('ALTER SINK back SET FROM back_t');
  await world.until('back', ({details}) => details === null);
  expect(await world.added('back', topic, `INSERT INTO back_t VALUES (1, 'y')`)).toEqual([row(1, 'y')]);

  // Another one in its place goes ahead at once.
  await world.sql('ALTER SINK back SET FROM back_next', 'ALTER SINK back SET FROM back_third');
  await goneOver('back', 'back_third');
  expect(await world.added('back', topic, `INSERT INTO back_third VALUES (2, 'z')`)).toEqual([row(2, 'z')]);
  await other.query('COMMIT');
  await other.end();
  await untouched('back_next');
  await untouched('back_t');
});

test('rolled back; created and altered in one transaction; dropped while it waits', async () => {
  await tables('odd_t', 'odd_next');
  await world.sql(`INSERT INTO odd_t VALUES (1, 'first')`);
  await world.sql('BEGIN');
  const topic = await world.create({name: 'odd', key: '(a)'});
  await world.sql('ALTER SINK odd SET FROM odd_next', 'COMMIT');
  await goneOver('odd', 'odd_next');
  await world.sql(`INSERT INTO odd_next VALUES (2, 'second')`);
  expect(await world.messages('odd', topic)).toEqual([row(1, 'first'), row(2, 'second')]);
  await world.sql('BEGIN', 'ALTER SINK odd SET FROM odd_t', 'ROLLBACK');
  expect(await world.added('odd', topic, `INSERT INTO odd_next VALUES (3, 'third')`)).toEqual([row(3, 'third')]);
  expect(await reads('odd')).toBe('odd_next');

  const other = await world.sluice.connect();
  await other.query('BEGIN');
  await other.query(`INSERT INTO odd_t VALUES (9, 'open')`);
  await world.sql('ALTER SINK odd SET FROM odd_t');
  await world.until('odd', ({details}) => details?.waiting_for !== undefined);
  await world.sql('DROP SINK odd');
  await other.query('COMMIT');
  await other.end();
  await untouched('odd_t');
  await untouched('odd_next');
});

test('a relation that has changed meanwhile is not taken: the sink goes on and says why', async () => {
  await tables('gone_t', 'gone_next');
  const topic = await world.running({name: 'gone', key: '(a)'});
  const other = await world.sluice.connect();
  await other.query('BEGIN');
  await other.query(`INSERT INTO gone_next VALUES (1, 'x')`);
  await world.sql('ALTER SINK gone SET FROM gone_next');
  await world.until('gone', ({details}) => details?.waiting_for !== undefined);
  await other.query('ALTER TABLE gone_next DROP COLUMN v');
  await other.query('COMMIT');
  await other.end();
  const {status, error} = await world.until('gone', row => row.error !== null);
  expect(status).toBe('running');
  expect(error).toMatch(/cannot go over to materialize.public.gone_next: column "v" of "public.gone_next" was dropped/);
  expect(await world.added('gone', topic, `INSERT INTO gone_t VALUES (1, 'on')`)).toEqual([row(1, 'on')]);
  await world.sql('ALTER SINK gone SET FROM gone_next');
  await goneOver('gone', 'gone_next');
  expect(await world.added('gone', topic, 'INSERT INTO gone_next VALUES (2)')).toEqual([{key: {a: 2}, value: {a: 2}}]);
});

test('a paused cluster goes over when it runs again; a partitioned table can be the next one', async () => {
  await tables('rest_t');
  await world.sql(
    `CREATE CLUSTER resting (SIZE = '25cc')`,
    `CREATE TABLE rest_next (a integer, v text, PRIMARY KEY (a)) PARTITION BY RANGE (a)`,
    `CREATE TABLE rest_low PARTITION OF rest_next FOR VALUES FROM (0) TO (10)`,
    `CREATE TABLE rest_high PARTITION OF rest_next FOR VALUES FROM (10) TO (20)`,
  );
  const topic = await world.running({name: 'rest', key: '(a)', cluster: 'resting'});
  await world.sql(`ALTER CLUSTER resting SET (REPLICATION FACTOR = 0)`);
  await world.until('rest', ({status}) => status === 'paused');
  await world.sql(`INSERT INTO rest_t VALUES (1, 'while paused')`, 'ALTER SINK rest SET FROM rest_next');
  await world.sql(`INSERT INTO rest_next VALUES (2, 'before')`, `ALTER CLUSTER resting SET (REPLICATION FACTOR = 1)`);
  await goneOver('rest', 'rest_next');
  await world.sql(`INSERT INTO rest_next VALUES (3, 'low'), (13, 'high')`, `UPDATE rest_next SET a = 14 WHERE a = 3`);
  const messages = await world.messages('rest', topic);
  expect(messages[0]).toEqual(row(1, 'while paused'));
  expect(finalState(messages.slice(1))).toEqual(
    new Map<string, unknown>([
      ['{"a":13}', {a: 13, v: 'high'}],
      ['{"a":14}', {a: 14, v: 'low'}],
    ]),
  );
});

test('under writers of both relations, with workers that are killed: each transaction is in the topic once, up to one point of the log from the one and then from the other', async () => {
  await world.sql(
    `CREATE TABLE left_t (a bigint PRIMARY KEY, v text)`,
    `CREATE TABLE right_t (a bigint PRIMARY KEY, v text)`,
  );
  const topic = await world.running({name: 'sides', from: 'left_t', key: '(a)'});
  const stopping = new AbortController();
  let next = 0;
  // The same row on both sides in one transaction: one of them is in the topic.
  const write = async (rollsBack: boolean) => {
    const client = await world.sluice.connect();
    let written = 0;
    while (!stopping.signal.aborted) {
      const a = next++;
      await client.query('BEGIN');
      await client.query(`INSERT INTO left_t VALUES ($1, 'left')`, [a]);
      await client.query(`INSERT INTO right_t VALUES ($1, 'right')`, [a]);
      const kept = !rollsBack || a % 3 > 0;
      await client.query(kept ? 'COMMIT' : 'ROLLBACK');
      if (kept) written++;
      await sleep(PAUSE_MS);
    }
    await client.end();
    return written;
  };
  const writers = [write(false), write(true), write(false)];
  try {
    for (let turn = 1; turn <= 6; turn++) {
      const to = turn % 2 === 1 ? 'right_t' : 'left_t';
      await world.sql(`ALTER SINK sides SET FROM ${to}`);
      if (turn % 2 === 0) await world.sluice.killWorkers();
      await goneOver('sides', to);
      const before = next;
      await poll('the writers', LIMIT_MS, () => Promise.resolve(next > before + 9));
    }
  } finally {
    stopping.abort();
  }
  const written = (await Promise.all(writers)).reduce((one, other) => one + other);
  const messages = await world.messages('sides', topic);
  expect(new Set(messages.map(keyOf)).size).toBe(messages.length);
  expect(messages).toHaveLength(written);
  // In the order of the log, sides change as often as the sink has gone over.
  const {rows} = await world.engine.query<{a: string}>('SELECT a FROM left_t');
  expect(new Set(messages.map(keyOf))).toEqual(new Set(rows.map(({a}) => Number(a))));
  const sides = messages.map(({value}) => (value as {v: string}).v);
  expect(sides.filter((side, i) => side !== sides[i - 1])).toEqual([
    'left',
    'right',
    'left',
    'right',
    'left',
    'right',
    'left',
  ]);
}, 240_000);

const keyOf = ({key}: Message): number => (key as {a: number}).a;
