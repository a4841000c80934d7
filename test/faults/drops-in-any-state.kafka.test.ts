import {afterAll, beforeAll, expect, test} from 'vitest';
import {poll} from '../../scripts/process/poll.ts';
import {connectionSql, createTopic} from '../setup/kafka.ts';
import {nothingLeft} from '../sinks/nothing-left.ts';
import {SinkWorld} from '../sinks/sink-world.ts';

const LIMIT_MS = 150_000;

let world: SinkWorld;
beforeAll(async () => {
  // Every snapshot goes through a stored copy, a block of it a commit.
  world = await SinkWorld.open({spoolBytes: 0, blocksPerCommit: 1});
}, LIMIT_MS);
afterAll(() => world[Symbol.asyncDispose]());

/** Each sink goes with what it is named after. */
const NAMES = ['sink', 'link', 'source', 'cluster'] as const;

interface State {
  /** Of each table when the sinks are created. */
  readonly rows: number;
  /** A transaction that has written to the tables is open until a table is to be dropped. */
  readonly busy: boolean;
  readonly reach: () => Promise<void>;
}

async function eachIs(wanted: 'running' | 'stalled'): Promise<void> {
  for (const name of NAMES) await world.until(`of_${name}`, ({status}) => status === wanted, LIMIT_MS);
}

const STATES: Readonly<Record<string, State>> = {
  'just created': {rows: 1, busy: false, reach: () => Promise.resolve()},
  'waiting for a transaction': {
    rows: 1,
    busy: true,
    async reach() {
      for (const name of NAMES) {
        await world.until(`of_${name}`, ({details}) => details?.waiting_for !== undefined, LIMIT_MS);
      }
    },
  },
  'writing their snapshots': {
    rows: 20_000,
    busy: false,
    async reach() {
      await poll('stored copies', LIMIT_MS, async () => {
        const {rows} = await world.engine.query<{n: number}>('SELECT count(*)::int AS n FROM mz_sluice.spool');
        return rows[0].n > 0;
      });
    },
  },
  running: {rows: 1, busy: false, reach: () => eachIs('running')},
  stalled: {
    rows: 1,
    busy: false,
    async reach() {
      await eachIs('running');
      for (const name of NAMES) await world.sql(`ALTER TABLE ${name}_t REPLICA IDENTITY NOTHING`);
      await eachIs('stalled');
    },
  },
  paused: {
    rows: 1,
    busy: false,
    async reach() {
      await eachIs('running');
      await world.sql('ALTER CLUSTER doomed SET (REPLICATION FACTOR = 0)');
      await poll('the word of the supervisor', LIMIT_MS, async () => {
        return (await world.history('of_cluster')).includes('paused');
      });
    },
  },
};

test.each(Object.entries(STATES))(
  'sinks that are %s go with DROP SINK, and with their connection, table and cluster, and leave nothing',
  async (_, {rows, busy, reach}) => {
    const topics = await Promise.all(NAMES.map(() => createTopic()));
    await world.sql(`CREATE CLUSTER doomed (SIZE = '25cc')`);
    for (const name of NAMES) {
      await world.sql(
        `CREATE TABLE ${name}_t (a integer PRIMARY KEY, v text)`,
        `INSERT INTO ${name}_t SELECT n, repeat('v', 300) FROM generate_series(1, ${rows}) AS n`,
        connectionSql(`${name}_c`),
      );
    }
    const writer = await world.sluice.connect();
    if (busy) await writer.query(`BEGIN; ${NAMES.map(name => `INSERT INTO ${name}_t VALUES (0)`).join(';')}`);
    for (const [i, name] of NAMES.entries()) {
      const where = {from: `${name}_t`, connection: `${name}_c`, cluster: 'doomed'};
      await world.create({name: `of_${name}`, key: '(a)', topic: topics[i], ...where});
    }
    await reach();
    await world.sql('DROP SINK of_sink', 'DROP CONNECTION link_c CASCADE');
    const dropping = world.sql('DROP TABLE source_t CASCADE');
    if (busy) await writer.query('COMMIT');
    await dropping;
    await writer.end();
    await world.sql('DROP CLUSTER doomed CASCADE');
    await nothingLeft(world, LIMIT_MS);
    await poll('the end of the publication of the cluster', LIMIT_MS, async () => {
      const {rows} = await world.engine.query<{left: string[]}>(
        `SELECT array_agg(pubname::text) AS left FROM pg_publication
         WHERE pubname NOT IN (SELECT mz_sluice.slot_name(id) FROM mz_sluice.cluster)`,
      );
      return rows[0].left === null;
    });
    for (const topic of topics) {
      const keys = (await world.topic(topic)).map(({key}) => (key as {a: number}).a);
      expect(new Set(keys).size).toBe(keys.length);
    }
    for (const name of NAMES) {
      expect((await world.status(`of_${name}`)).status).toBe('gone');
      await world.sql(`DROP TABLE IF EXISTS ${name}_t`, `DROP CONNECTION IF EXISTS ${name}_c`);
    }
  },
  2 * LIMIT_MS,
);
