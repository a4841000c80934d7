import {execFile} from 'node:child_process';
import {promisify} from 'node:util';
import kafka from '@confluentinc/kafka-javascript';
import {afterAll, beforeAll, expect, test} from 'vitest';
import {KafkaCluster} from '../../scripts/kafka/broker.ts';
import {javaArguments} from '../../scripts/kafka/java.ts';
import {connectionSql, freshTopicName, readTopic} from '../setup/kafka.ts';
import {parse, SinkWorld, type Message} from './sink-world.ts';

/** A broker of our own, because it is stopped and its topics are deleted. */
let cluster: KafkaCluster;
let world: SinkWorld;
beforeAll(async () => {
  cluster = await KafkaCluster.start();
  world = await SinkWorld.open({stallCheckMs: 500});
  await world.sql(connectionSql('own', cluster.address));
}, 120_000);
afterAll(async () => {
  await world[Symbol.asyncDispose]();
  await cluster[Symbol.asyncDispose]();
});

const row = (a: number, v: string) => ({key: {a}, value: {a, v}});

async function table(name: string): Promise<void> {
  await world.sql(`CREATE TABLE ${name}_t (a integer PRIMARY KEY, v text)`, `INSERT INTO ${name}_t VALUES (1, 'one')`);
}

async function topic(name: string): Promise<Message[]> {
  return (await readTopic(name, {address: cluster.address})).map(parse);
}

async function messages(sink: string, name: string): Promise<Message[]> {
  await world.caughtUp(sink);
  return topic(name);
}

/** The worker's producer may ask for it for half a minute before it gives up; the tests give it a new worker. */
async function deleteTopic(name: string): Promise<void> {
  const admin = kafka.AdminClient.create({'bootstrap.servers': cluster.address});
  try {
    await new Promise<void>((resolve, reject) => {
      admin.deleteTopic(name, 20_000, error => {
        if (error) reject(new Error(`could not delete topic ${name}`, {cause: error}));
        else resolve();
      });
    });
  } finally {
    admin.disconnect();
  }
}

async function limitMessages(topic: string, bytes: number): Promise<void> {
  const configure = ['kafka.admin.ConfigCommand', '--bootstrap-server', cluster.address, '--alter'];
  const entity = ['--entity-type', 'topics', '--entity-name', topic, '--add-config', `max.message.bytes=${bytes}`];
  await promisify(execFile)('java', [...javaArguments('quick'), ...configure, ...entity]);
}

test('a message that the topic does not take stalls the sink, which goes on when the topic takes it', async () => {
  await table('bulky');
  const name = freshTopicName('bulky');
  await world.sql(
    `CREATE SINK bulky FROM bulky_t INTO KAFKA CONNECTION own (TOPIC '${name}', TOPIC CONFIG MAP['max.message.bytes' => '2000'])
     KEY (a) FORMAT JSON ENVELOPE UPSERT`,
  );
  await world.until('bulky', ({status}) => status === 'running');
  await world.sql(
    `INSERT INTO bulky_t SELECT 2, string_agg(md5(random()::text), '') FROM generate_series(1, 300)`,
    `INSERT INTO bulky_t VALUES (3, 'x')`,
  );
  const {error, details} = await world.stalled('bulky', 'SL101');
  expect(error).toContain('"a":2');
  expect(details).toMatchObject({retrying: false, hints: [expect.stringContaining('max.message.bytes')]});
  expect(await topic(name)).toEqual([row(1, 'one')]);
  await limitMessages(name, 100_000);
  await world.until('bulky', ({status}) => status === 'running');
  const keys = (await messages('bulky', name)).map(({key}) => key);
  expect(keys).toEqual([{a: 1}, {a: 2}, {a: 3}]);
  // However often it has tried meanwhile, and whatever it was told then.
  const history = (await world.history('bulky')).filter((status, i, all) => status !== all[i - 1]);
  expect(history).toEqual(['starting', 'running', 'stalled', 'running']);
}, 120_000);

test('a topic that takes less than the batches of a sink gets smaller ones', async () => {
  await table('narrow');
  const name = await world.running({name: 'narrow', key: '(a)', connection: 'own', topic: freshTopicName('narrow')});
  await limitMessages(name, 20_000);
  await world.sql(
    `INSERT INTO narrow_t SELECT n, string_agg(md5(random()::text || n), '') FROM generate_series(2, 500) AS n, generate_series(1, 30)
     GROUP BY n`,
  );
  expect((await messages('narrow', name)).length).toBe(500);
}, 120_000);

test('a broker that is away: no sink is created, and one that is there waits for it', async () => {
  await table('patient');
  const name = freshTopicName('patient');
  await cluster.broker.stop();
  await expect(world.create({name: 'patient', key: '(a)', connection: 'own', topic: name})).rejects.toThrow(
    'admin client errored',
  );
  expect((await world.status('patient')).status).toBe('gone');
  await cluster.broker.start();
  await world.running({name: 'patient', key: '(a)', connection: 'own', topic: name});
  expect(await messages('patient', name)).toEqual([row(1, 'one')]);
  await cluster.broker.kill();
  await world.sql(`INSERT INTO patient_t VALUES (2, 'meanwhile')`);
  // The producer of this worker gives an answer half a minute; a new one finds nobody at once.
  await world.sluice.killWorkers();
  await world.until('patient', ({status, details}) => status === 'stalled' && details?.retrying === true);
  await cluster.broker.start();
  await world.until('patient', ({status}) => status === 'running');
  expect(await messages('patient', name)).toEqual([row(1, 'one'), row(2, 'meanwhile')]);
}, 120_000);

test('a data topic that was deleted is not made again', async () => {
  await table('robbed');
  const name = await world.running({name: 'robbed', key: '(a)', connection: 'own', topic: freshTopicName('robbed')});
  await world.caughtUp('robbed');
  await deleteTopic(name);
  await world.sluice.killWorkers();
  await world.sql(`INSERT INTO robbed_t VALUES (2, 'two')`);
  const {error, details} = await world.stalled('robbed', 'SL105');
  expect(error).toBe(`topic ${name} does not exist`);
  expect(details?.hints).toEqual([expect.stringContaining('Drop the sink and create it again')]);
}, 120_000);

test('a progress topic that was deleted: nothing is written twice', async () => {
  await table('forgetful');
  await world.sql(
    `CREATE CONNECTION other TO KAFKA (BROKER '${cluster.address}', SECURITY PROTOCOL 'PLAINTEXT', PROGRESS TOPIC 'of_other')`,
  );
  const name = await world.running({
    name: 'forgetful',
    key: '(a)',
    connection: 'other',
    topic: freshTopicName('forgetful'),
  });
  await world.caughtUp('forgetful');
  await deleteTopic('of_other');
  await world.sluice.killWorkers();
  const {details} = await world.stalled('forgetful', 'SL011');
  expect(details?.hints).toEqual([expect.stringContaining('empty the target')]);
  await world.sql(`INSERT INTO forgetful_t VALUES (2, 'two')`);
  expect(await topic(name)).toEqual([row(1, 'one')]);
}, 120_000);
