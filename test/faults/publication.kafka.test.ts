import {afterAll, beforeAll, expect, test} from 'vitest';
import {poll} from '../../scripts/process/poll.ts';
import {SinkWorld} from '../sinks/sink-world.ts';

const LIMIT_MS = 150_000;

let world: SinkWorld;
beforeAll(async () => {
  world = await SinkWorld.open({stallCheckMs: 500});
}, LIMIT_MS);
afterAll(() => world[Symbol.asyncDispose]());

const row = (b: string) => ({key: {a: 1}, value: {a: 1, b}});
const FIRST = row('one');

interface Deed {
  readonly act: (table: string, publication: string) => readonly string[];
  readonly code: string;
  /** Whether an update of the row is still in the log as it should be. */
  readonly updateIsSent?: boolean;
}

/** What somebody does behind Sluice's back, to the table `t` or to the publication `p`. */
const DEEDS: Readonly<Record<string, Deed>> = {
  'only inserts are published': {act: (_, p) => [`ALTER PUBLICATION ${p} SET (publish = 'insert')`], code: 'SL006'},
  'partitions are published by themselves': {
    act: (_, p) => [`ALTER PUBLICATION ${p} SET (publish_via_partition_root = false)`],
    code: 'SL006',
    updateIsSent: true,
  },
  'the table is published with a column list': {
    act: (t, p) => [`ALTER PUBLICATION ${p} DROP TABLE ${t}`, `ALTER PUBLICATION ${p} ADD TABLE ${t} (a)`],
    code: 'SL006',
  },
  'a table of ours is taken out': {
    act: (_, p) => [`ALTER PUBLICATION ${p} DROP TABLE mz_sluice.announcement`],
    code: 'SL006',
    updateIsSent: true,
  },
  'only inserts are published for a moment': {
    act: (t, p) => [
      `ALTER PUBLICATION ${p} SET (publish = 'insert')`,
      `UPDATE ${t} SET b = 'lost'`,
      `ALTER PUBLICATION ${p} SET (publish = 'insert, update, delete, truncate')`,
    ],
    code: 'SL006',
    updateIsSent: true,
  },
  'a table of ours is taken out and put back': {
    act: (_, p) => ['DROP', 'ADD'].map(what => `ALTER PUBLICATION ${p} ${what} TABLE mz_sluice.announcement`),
    code: 'SL006',
    updateIsSent: true,
  },
  'the identity of rows is the key for a moment': {
    act: t => [
      `ALTER TABLE ${t} REPLICA IDENTITY DEFAULT`,
      `UPDATE ${t} SET b = 'lost'`,
      `ALTER TABLE ${t} REPLICA IDENTITY FULL`,
    ],
    code: 'SL004',
  },
  'the identity of rows is nothing': {act: t => [`ALTER TABLE ${t} REPLICA IDENTITY NOTHING`], code: 'SL004'},
};

test.each(Object.entries(DEEDS))(
  '%s: the sink stalls, nothing wrong is written, and it can be created again',
  async (what, {act, code, updateIsSent = false}) => {
    const name = what.replaceAll(' ', '_').slice(-20);
    const table = `${name}_t`;
    const cluster = `${name}_cluster`;
    await world.sql(
      `CREATE CLUSTER ${cluster} (SIZE = '25cc')`,
      `CREATE TABLE ${table} (a integer PRIMARY KEY, b text)`,
      `INSERT INTO ${table} VALUES (1, 'one')`,
    );
    const topic = await world.running({name, key: '(a)', cluster});
    expect(await world.messages(name, topic)).toEqual([FIRST]);
    const {rows} = await world.engine.query<{publication: string}>(
      `SELECT slot_name AS publication FROM mz_internal.mz_sluice_slots WHERE name = $1`,
      [cluster],
    );
    const {publication} = rows[0];
    // What is written meanwhile may lack in the log.
    for (const statement of act(table, publication)) await world.engine.query(statement);
    await world.engine.query(`UPDATE ${table} SET b = 'two'`).catch(() => undefined);
    const stalled = () =>
      world.until(name, ({status, details}) => status === 'stalled' && details?.code === code, LIMIT_MS);
    const {details} = await stalled();
    expect(details).toMatchObject({retrying: false, hints: [expect.stringMatching(/create (it|the sinks?) again/)]});
    // What was sent until then is right.
    const messages = await world.topic(topic);
    expect(messages).toEqual([FIRST, row('two')].slice(0, updateIsSent ? messages.length : 1));

    // Also for a worker that has seen nothing of it.
    await world.sluice.killWorkers();
    await stalled();
    await world.sql(`DROP SINK ${name}`);
    await poll('the end of what the sink needed', LIMIT_MS, async () => {
      const {rowCount} = await world.engine.query(
        `SELECT slot_name FROM pg_replication_slots WHERE slot_name = $1 UNION ALL
         SELECT pubname FROM pg_publication_tables WHERE tablename = $2`,
        [publication, table],
      );
      return rowCount === 0;
    });
    const next = await world.running({name, key: '(a)', cluster});
    await world.sql(`UPDATE ${table} SET b = 'three'`);
    expect((await world.messages(name, next)).at(-1)).toEqual(row('three'));
    await world.sql(`DROP CLUSTER ${cluster} CASCADE`);
  },
  LIMIT_MS,
);
