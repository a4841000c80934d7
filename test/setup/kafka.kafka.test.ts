import kafka from '@confluentinc/kafka-javascript';
import {expect, test} from 'vitest';
import {KafkaCluster} from '../../scripts/kafka/broker.ts';
import {createTopic, freshTopicName, kafkaAddress, readTopic, readTopicUntil} from './kafka.ts';

const EVERY_BYTE = Buffer.from(Array.from({length: 256}, (_, at) => at));
/** `Buffer.alloc(0)` has no address, which the client takes for null; this one is empty. */
const EMPTY = Buffer.alloc(1).subarray(1);
/** Milliseconds. Each start takes two seconds of a core, which others want too. */
const STARTS_BROKERS = 180_000;

test('a reader tells null from empty and gets every byte back', async () => {
  const topic = await createTopic({partitions: 2});
  await withProducer({}, async producer => {
    producer.produce(topic, 0, EVERY_BYTE, EVERY_BYTE, undefined, undefined, [{bytes: EVERY_BYTE}, {text: 'a,b=c'}]);
    producer.produce(topic, 0, EMPTY, null);
    producer.produce(topic, 0, null, EMPTY);
    producer.produce(topic, 1, Buffer.from('NULL'), 'NULL');
    await flush(producer);
  });
  const records = await readTopic(topic);
  expect(records).toMatchObject([
    {
      partition: 0,
      offset: 0,
      key: EVERY_BYTE,
      value: EVERY_BYTE,
      headers: [
        {name: 'bytes', value: EVERY_BYTE},
        {name: 'text', value: Buffer.from('a,b=c')},
      ],
    },
    {partition: 0, offset: 1, key: null, value: Buffer.of(), headers: []},
    {partition: 0, offset: 2, key: Buffer.of(), value: null, headers: []},
    {partition: 1, offset: 0, key: Buffer.from('NULL'), value: Buffer.from('NULL'), headers: []},
  ]);
  expect(await readTopic(topic, {partition: 1})).toEqual(records.slice(3));
});

test('what was aborted is hidden from read_committed and seen by read_uncommitted', async () => {
  const topic = await createTopic();
  await withProducer({'transactional.id': freshTopicName('writer')}, async producer => {
    await call(done => producer.initTransactions(20_000, done));
    await call(done => producer.beginTransaction(done));
    producer.produce(topic, 0, Buffer.from('aborted'), null);
    // Without the flush nothing of it would ever reach the broker.
    await flush(producer);
    await call(done => producer.abortTransaction(20_000, done));
    await call(done => producer.beginTransaction(done));
    producer.produce(topic, 0, Buffer.from('committed'), null);
    await call(done => producer.commitTransaction(20_000, done));
  });
  expect(await values(topic, 'read_committed')).toEqual(['committed']);
  expect(await values(topic, 'read_uncommitted')).toEqual(['aborted', 'committed']);
});

test('reading a topic that does not exist fails', async () => {
  await expect(readTopic(freshTopicName())).rejects.toThrow();
});

test('a broker keeps port and data when it is killed, restarted or paused', {timeout: STARTS_BROKERS}, async () => {
  await using cluster = await KafkaCluster.start();
  const {broker} = cluster;
  const address = cluster.address;
  const topic = await createTopic({address});
  await write(address, topic, 'first');

  await broker.kill();
  expect(broker.running).toBe(false);
  await broker.start();
  expect(cluster.address).toBe(address);
  await write(address, topic, 'second');
  await broker.restart();
  broker.pause();
  const late = write(address, topic, 'third');
  broker.resume();
  await late;
  const records = await readTopicUntil(topic, found => found.length === 3, {address});
  expect(records.map(record => String(record.value))).toEqual(['first', 'second', 'third']);
});

test('three brokers go on without one of them', {timeout: STARTS_BROKERS}, async () => {
  await using cluster = await KafkaCluster.start(3);
  const {address} = cluster;
  const topic = await createTopic({address, replicas: 3});
  await write(address, topic, 'three');
  await cluster.broker.kill();
  await write(address, topic, 'two');
  await cluster.broker.start();
  const records = await readTopicUntil(topic, found => found.length === 2, {address});
  expect(records.map(record => String(record.value))).toEqual(['three', 'two']);
});

async function values(topic: string, isolation: 'read_committed' | 'read_uncommitted'): Promise<string[]> {
  return (await readTopic(topic, {isolation})).map(record => String(record.value));
}

async function write(address: string, topic: string, value: string): Promise<void> {
  await withProducer({'bootstrap.servers': address, 'enable.idempotence': true}, async producer => {
    producer.produce(topic, 0, Buffer.from(value), null);
    await flush(producer);
  });
}

async function withProducer(
  settings: Record<string, unknown>,
  work: (producer: InstanceType<typeof kafka.Producer>) => Promise<void>,
): Promise<void> {
  const producer = new kafka.Producer({'bootstrap.servers': kafkaAddress(), ...settings});
  await call(done => producer.connect({timeout: 20_000}, done));
  try {
    await work(producer);
  } finally {
    await call(done => producer.disconnect(done));
  }
}

function flush(producer: InstanceType<typeof kafka.Producer>): Promise<void> {
  return call(done => producer.flush(30_000, done));
}

/** Turns a call that ends in a callback into a promise. */
function call(start: (done: (error: unknown) => void) => unknown): Promise<void> {
  return new Promise((resolve, reject) => {
    start(error => {
      if (error) reject(new Error('the Kafka client failed', {cause: error}));
      else resolve();
    });
  });
}
