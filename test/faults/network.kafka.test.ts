import {afterAll, beforeAll, beforeEach, expect, test} from 'vitest';
import {poll} from '../../scripts/process/poll.ts';
import {AttachedWorld} from '../cli/attached-world.ts';
import {connectionSql, freshTopicName, kafkaAddress, readTopic} from '../setup/kafka.ts';
import {tuningEnvironment} from '../setup/tuning.ts';
import {BrokerProxy} from '../targets/kafka/broker-proxy.ts';
import {LinkProxy} from './link-proxy.ts';

/** Long enough for whatever gives up only after half a minute, twice, on a busy machine. */
const LIMIT_MS = 150_000;
/** Long enough for every answer of whoever lives, also on a slow way and on a busy machine; with users it is half a minute. */
const DEAD_MS = 8_000;

let world: AttachedWorld;
let toPostgres: LinkProxy;
let toBroker: LinkProxy;
let broker: BrokerProxy;
let topic: string;
/** Rows that have been written so far; each is one transaction and one message. */
let rows = 0;

beforeAll(async () => {
  world = await AttachedWorld.open(18);
  const {hostname, port} = new URL(world.database.url);
  toPostgres = await LinkProxy.start(`${hostname}:${port}`);
  toBroker = await LinkProxy.start(kafkaAddress());
  broker = await BrokerProxy.start(kafkaAddress(), toBroker.address);
  const url = new URL(world.database.url);
  url.host = toPostgres.address;
  url.searchParams.set('sslmode', 'disable');
  const sluice = await world.start(
    ['--internal-listen', '127.0.0.1:0'],
    url.href,
    tuningEnvironment({deadMs: DEAD_MS, brokerDeadMs: DEAD_MS}),
  );
  const [, adminPort] = await sluice.says(/"port":(\d+),"msg":"administrators can connect"/);
  const administrator = await world.connect(Object.assign(new URL(world.database.url), {port: adminPort}).href);
  await administrator.query(`GRANT CREATE ON CLUSTER quickstart TO ${world.app}`);
  const client = await world.through(sluice, world.app);
  await client.query('CREATE TABLE t (id integer PRIMARY KEY, v text)');
  await client.query(connectionSql('slow', broker.address));
  topic = freshTopicName('faults');
  await client.query(
    `CREATE SINK s FROM t INTO KAFKA CONNECTION slow (TOPIC '${topic}') KEY (id) FORMAT JSON ENVELOPE UPSERT`,
  );
  await world.until('s', ({status}) => status === 'running');
}, LIMIT_MS);
beforeEach(() => write(20));
afterAll(async () => {
  toPostgres.heal();
  toBroker.heal();
  await world[Symbol.asyncDispose]();
  await broker[Symbol.asyncDispose]();
  await toBroker[Symbol.asyncDispose]();
  await toPostgres[Symbol.asyncDispose]();
}, LIMIT_MS);

/** Past Sluice, so that the writer is not part of the fault. */
async function write(count: number): Promise<void> {
  for (let i = 0; i < count; i++) await world.admin.query(`INSERT INTO t VALUES ($1, 'value')`, [++rows]);
}

/** Level again, and every row in the topic exactly once. */
async function level(): Promise<void> {
  await poll('every row in the topic', LIMIT_MS, async () => (await readTopic(topic)).length >= rows, 500);
  await write(1);
  await poll('one more row', LIMIT_MS, async () => (await readTopic(topic)).length >= rows, 500);
  const keys = (await readTopic(topic)).map(({key}) => (JSON.parse(String(key)) as {id: number}).id);
  expect(keys).toEqual(Array.from({length: rows}, (_, i) => i + 1));
}

const NAMES = {postgres: 'PostgreSQL', broker: 'the broker'} as const;

/** Past the gateway, as ALTER CLUSTER does it. */
async function setReplicas(count: number): Promise<void> {
  await world.admin.query(`UPDATE mz_sluice.cluster SET replication_factor = $1 WHERE name = 'quickstart'`, [count]);
}

async function startWorkersAgain(): Promise<void> {
  const pauses = async () =>
    (await world.admin.query(`SELECT FROM mz_internal.mz_sink_status_history WHERE status = 'paused'`)).rowCount!;
  const before = await pauses();
  await setReplicas(0);
  await poll('the word of the supervisor', LIMIT_MS, async () => (await pauses()) > before);
  await setReplicas(1);
}

test(
  'whoever starts and ends the workers also gets over connections to PostgreSQL that are dead',
  async () => {
    toPostgres.forget();
    await startWorkersAgain();
    await level();
  },
  LIMIT_MS,
);

for (const [which, name] of Object.entries(NAMES)) {
  const link = () => (which === 'postgres' ? toPostgres : toBroker);

  test(
    `the way to ${name} is cut and comes back`,
    async () => {
      link().cut();
      await write(20);
      link().heal();
      await level();
    },
    LIMIT_MS,
  );

  test(
    `the way to ${name} stands still for a while, in both directions, on the way there and on the way back`,
    async () => {
      for (const direction of ['both', 'there', 'back'] as const) {
        link().holdUp(direction);
        await write(20);
        link().heal();
        await level();
      }
    },
    LIMIT_MS,
  );

  test(
    `the way to ${name} is slow`,
    async () => {
      link().slow(20_000);
      await write(50);
      await level();
      link().heal();
    },
    LIMIT_MS,
  );

  test(
    `messages to and from ${name} are cut everywhere, down to single bytes, also those that open the sink`,
    async () => {
      link().chop(1);
      await startWorkersAgain();
      await write(20);
      await level();
      for (const pieceBytes of [7, 61, 1021]) {
        link().chop(pieceBytes);
        await write(20);
        await level();
      }
      link().heal();
    },
    LIMIT_MS,
  );

  test(
    `messages to and from ${name} come in bursts`,
    async () => {
      link().chop(2000);
      link().slow(10_000);
      await write(50);
      await level();
      link().heal();
    },
    LIMIT_MS,
  );

  test(
    `connections to ${name} are dead without a word`,
    async () => {
      link().forget();
      await write(20);
      await level();
    },
    LIMIT_MS,
  );
}
