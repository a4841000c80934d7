import {execFile} from 'node:child_process';
import {promisify} from 'node:util';
import type pg from 'pg';
import {afterAll, beforeAll, beforeEach, expect, test} from 'vitest';
import {poll} from '../../scripts/process/poll.ts';
import {AttachedWorld, type Command} from '../cli/attached-world.ts';
import {connectionSql, createTopic, kafkaAddress, readTopic, readTopicUntil} from '../setup/kafka.ts';
import {LinkProxy} from './link-proxy.ts';

/** Long enough for whatever gives up only after half a minute, twice, on a busy machine. */
const LIMIT_MS = 150_000;

const ROWS = 20_000;
/** Six megabytes of rows would take five minutes, and a transaction has one. */
const BYTES_PER_SECOND = 20_000;

let world: AttachedWorld;
let toPostgres: LinkProxy;
let sluice: Command;

beforeAll(async () => {
  world = await AttachedWorld.open(18);
  toPostgres = await LinkProxy.start(new URL(world.database.url).host);
  sluice = await start();
  const client = await administrator();
  await client.query(connectionSql());
}, LIMIT_MS);
beforeEach(async () => {
  await world.admin.query('CREATE TABLE slow_t (id integer PRIMARY KEY, v text)');
  await world.admin.query(`INSERT INTO slow_t SELECT n, repeat('v', 300) FROM generate_series(1, $1::int) AS n`, [
    ROWS,
  ]);
  await world.admin.query('ANALYZE slow_t');
});
afterAll(async () => {
  toPostgres.heal();
  await world[Symbol.asyncDispose]();
  await toPostgres[Symbol.asyncDispose]();
}, LIMIT_MS);

function start(): Promise<Command> {
  const url = new URL(world.database.url);
  url.host = toPostgres.address;
  url.searchParams.set('sslmode', 'disable');
  return world.start(['--internal-listen', '127.0.0.1:0'], url.href);
}

async function administrator(): Promise<pg.Client> {
  const [, port] = await sluice.says(/"port":(\d+),"msg":"administrators can connect"/);
  return await world.connect(Object.assign(new URL(world.database.url), {port}).href);
}

/** Its snapshot begins to trickle. */
async function createSink(topic: string): Promise<void> {
  const client = await administrator();
  toPostgres.slow(BYTES_PER_SECOND);
  await client.query(
    `CREATE SINK slow FROM slow_t INTO KAFKA CONNECTION kafka (TOPIC '${topic}') KEY (id) FORMAT JSON ENVELOPE UPSERT`,
  );
  await readTopicUntil(topic, records => records.length > 0, {isolation: 'read_uncommitted', limitMs: LIMIT_MS});
}

test(
  'a snapshot that turns out too slow for one transaction goes out by way of a stored copy, and the topic is exact',
  async () => {
    const topic = await createTopic();
    await createSink(topic);
    await poll('a stored copy', LIMIT_MS, async () => {
      const {rows} = await world.admin.query<{n: number}>('SELECT count(*)::int AS n FROM mz_sluice.spool');
      return rows[0].n > 0;
    });
    await world.admin.query(
      `BEGIN; UPDATE slow_t SET v = 'changed' WHERE id % 10 = 0; DELETE FROM slow_t WHERE id % 7 = 0; COMMIT`,
    );
    toPostgres.heal();
    await world.until('slow', ({status}) => status === 'running');
    await world.caughtUp('slow');

    const expected = new Map<number, (string | null)[]>();
    for (let id = 1; id <= ROWS; id++) {
      const later = id % 7 === 0 ? [null] : id % 10 === 0 ? ['changed'] : [];
      expected.set(id, ['v'.repeat(300), ...later]);
    }
    const records = await readTopic(topic);
    const seen = new Map<number, (string | null)[]>();
    for (const {key, value} of records) {
      const {id} = JSON.parse(String(key)) as {id: number};
      const v = value === null ? null : (JSON.parse(String(value)) as {v: string}).v;
      seen.set(id, [...(seen.get(id) ?? []), v]);
    }
    expect(seen.size).toBe(expected.size);
    const wrong = [...expected].filter(([id, values]) => JSON.stringify(seen.get(id)) !== JSON.stringify(values));
    expect(wrong.map(([id]) => [id, seen.get(id)])).toEqual([]);
    // The direct one was given up with what it had written.
    const written = await readTopic(topic, {isolation: 'read_uncommitted'});
    expect(written.length).toBeGreaterThan(records.length);
    const {rows} = await world.admin.query(`SELECT FROM mz_internal.mz_sink_status_history WHERE status = 'stalled'`);
    expect(rows).toEqual([]);
    await (await administrator()).query('DROP TABLE slow_t CASCADE');
  },
  3 * LIMIT_MS,
);

test(
  'what a dead worker has open is ended when its sink was dropped before another worker came, so that readers are not held back',
  async () => {
    const topic = await createTopic();
    await createSink(topic);
    // The worker goes with its parent, and has no time to abort.
    await sluice.end('SIGKILL');
    await world.admin.query('DROP TABLE slow_t CASCADE');
    await produce(topic, 'behind');
    toPostgres.heal();
    sluice = await start();
    // Less than the minute after which the broker would end it.
    const records = await readTopicUntil(topic, found => found.length > 0, {limitMs: 40_000});
    expect(records.map(({value}) => String(value))).toEqual(['behind']);
  },
  3 * LIMIT_MS,
);

/** Outside of any transaction. */
async function produce(topic: string, value: string): Promise<void> {
  const sending = promisify(execFile)('kcat', ['-P', '-b', kafkaAddress(), '-t', topic]);
  sending.child.stdin!.end(`${value}\n`);
  await sending;
}
