import {expect, test, vi} from 'vitest';
import {DEFAULT_TIMEOUTS, MAX_MESSAGE_BYTES, producerConfig} from '../../../src/targets/kafka/client-config.ts';
import {CODE} from '../../../src/targets/kafka/kafka-errors.ts';
import {MessageBatch} from '../../../src/targets/kafka/message-batch.ts';
import {LibrdkafkaProducer} from '../../../src/targets/kafka/producer.ts';
import {createTopic, freshTopicName, kafkaAddress, readTopic} from '../../setup/kafka.ts';
import {KafkaWorld, log} from './world.ts';

async function connect(topic: string, settings: Record<string, number> = {}): Promise<LibrdkafkaProducer> {
  const {connection} = new KafkaWorld().definition.target;
  const id = freshTopicName('native');
  const ids = {clientId: id, transactionalId: id, progressGroupId: id};
  const config = producerConfig({
    connection: {...connection, brokers: [kafkaAddress()]},
    ids,
    compression: 'lz4',
    batchBytes: 1_000_000,
    transactionMs: DEFAULT_TIMEOUTS.transaction,
    timeouts: DEFAULT_TIMEOUTS,
  });
  const producer = await LibrdkafkaProducer.connect({...config, ...settings}, topic, DEFAULT_TIMEOUTS, log);
  await producer.initTransactions();
  await producer.begin();
  return producer;
}

/** What is odd about it: keys and values that are missing, empty, not text, or longer than a buffer. */
const MESSAGES: readonly {partition: number; key: Buffer | null; value: Buffer | null}[] = [
  {partition: 0, key: Buffer.from('k'), value: Buffer.from('v')},
  {partition: 1, key: Buffer.from('gone'), value: null},
  {partition: 2, key: null, value: Buffer.from('no key')},
  {partition: 2, key: Buffer.alloc(0), value: Buffer.alloc(0)},
  {partition: 0, key: Buffer.from([0, 1, 2, 0xff]), value: Buffer.from([0, 0xfe, 0])},
  {partition: 1, key: Buffer.from('large'), value: Buffer.alloc(700_000, 'x')},
  {partition: 0, key: Buffer.from('k'), value: Buffer.from('w')},
];

function filled(messages = MESSAGES): MessageBatch {
  const batch = new MessageBatch();
  batch.setHeader('materialize-timestamp', '1720032185312');
  for (const {partition, key, value} of messages) {
    const {out} = batch;
    const keyAt = out.at;
    if (key !== null) out.bytes(key, 0, key.length);
    const valueAt = out.at;
    if (value !== null) out.bytes(value, 0, value.length);
    batch.add(partition, keyAt, key === null ? -1 : key.length, valueAt, value !== null);
  }
  return batch;
}

/** As `readTopic` gives them: those of a partition in order. */
function byPartition<T extends {readonly partition: number}>(messages: readonly T[]): T[] {
  return messages.toSorted((a, b) => a.partition - b.partition);
}

const text = (bytes: Buffer | null): string | undefined => bytes?.toString('latin1');

test('the addon is there, and what goes through it arrives as what goes one by one', async () => {
  const topic = await createTopic({partitions: 3});
  const producer = await connect(topic);
  const batch = filled();
  const single = vi.spyOn(batch, 'produce');
  producer.produceBatch!(topic, batch);
  expect(batch.left).toBe(0);
  expect(single).not.toHaveBeenCalled();
  for (let message = 0; message < batch.count; message++) expect(batch.produce(producer, topic, message)).toBe(true);
  await producer.commit();
  await producer.close();

  const records = await readTopic(topic);
  const told = records.map(({partition, key, value, headers}) => ({
    partition,
    key: text(key),
    value: text(value),
    headers,
  }));
  const headers = [{name: 'materialize-timestamp', value: Buffer.from('1720032185312')}];
  const expected = byPartition([...MESSAGES, ...MESSAGES]).map(({partition, key, value}) => ({
    partition,
    key: text(key),
    value: text(value),
    headers,
  }));
  expect(told).toEqual(expected);
});

/** As many messages as one batch holds, numbered, in an order of partitions that repeats late. */
function numbered(): {partition: number; key: null; value: Buffer}[] {
  return Array.from({length: 512}, (_, number) => ({
    partition: ((number * number) >> 3) % 3,
    key: null,
    value: Buffer.from(String(number)),
  }));
}

async function expectOnceInOrder(topic: string, messages: ReturnType<typeof numbered>): Promise<void> {
  const told = (await readTopic(topic)).map(({partition, value}) => `${partition}: ${text(value)}`);
  const expected = byPartition(messages).map(({partition, value}) => `${partition}: ${text(value)}`);
  expect(told).toEqual(expected);
}

test('messages of a partition stay in order, and those that go one by one afterwards have no header of a batch', async () => {
  const topic = await createTopic({partitions: 3});
  const producer = await connect(topic);
  const messages = numbered();
  const batch = filled(messages);
  producer.produceBatch!(topic, batch);
  expect(batch.left).toBe(0);
  await producer.commit();
  await expectOnceInOrder(topic, messages);

  await producer.begin();
  producer.produce(topic, 0, Buffer.from('by itself'), null, undefined);
  await producer.commit();
  await producer.close();
  const last = (await readTopic(topic)).find(({value}) => text(value) === 'by itself');
  expect(last).toMatchObject({partition: 0, headers: []});
});

test('where the queue is full, the rest of a batch goes when there is room, once', async () => {
  const topic = await createTopic({partitions: 3});
  const producer = await connect(topic, {'queue.buffering.max.messages': 100});
  const messages = numbered();
  const batch = filled(messages);
  producer.produceBatch!(topic, batch);
  expect(batch.sent).toBe(100);
  await vi.waitFor(() => {
    producer.produceBatch!(topic, batch);
    expect(batch.left).toBe(0);
  }, 10_000);
  await producer.commit();
  await producer.close();
  await expectOnceInOrder(topic, messages);
});

test('a message that is refused throws what its own call throws, and is the first one that is left', async () => {
  const topic = await createTopic({partitions: 3});
  const producer = await connect(topic);
  const batch = filled([MESSAGES[0], MESSAGES[1], {partition: 7, key: null, value: null}, MESSAGES[0]]);
  expect(() => producer.produceBatch!(topic, batch)).toThrow(expect.objectContaining({code: -190}));
  expect(batch.sent).toBe(3);
  expect(batch.partition(3)).toBe(7);
  await producer.abort();
  await producer.close();
});

test('of messages behind one that is too large none is taken', async () => {
  const topic = await createTopic({partitions: 3});
  const producer = await connect(topic);
  const tooLarge = {partition: 0, key: null, value: Buffer.alloc(MAX_MESSAGE_BYTES + 1, 'x')};
  const batch = filled([MESSAGES[0], tooLarge, MESSAGES[0], MESSAGES[0]]);
  expect(() => producer.produceBatch!(topic, batch)).toThrow(expect.objectContaining({code: CODE.MESSAGE_TOO_LARGE}));
  expect(batch.sent).toBe(1);
  expect(batch.size(1)).toBe(MAX_MESSAGE_BYTES + 1);
  await producer.abort();
  await producer.close();
});

test('a producer that is closed refuses', async () => {
  const topic = await createTopic({partitions: 3});
  const producer = await connect(topic);
  await producer.close();
  expect(() => producer.produceBatch!(topic, filled())).toThrow('not connected');
});

test('two producers in one process do not take each other for the other', async () => {
  const topics = [await createTopic({partitions: 3}), await createTopic({partitions: 3})];
  const producers = await Promise.all(topics.map(topic => connect(topic)));
  for (const [at, producer] of producers.entries()) {
    const batch = filled();
    producer.produceBatch!(topics[at], batch);
    expect(batch.left).toBe(0);
  }
  await producers[0].abort();
  await producers[1].commit();
  await Promise.all(producers.map(producer => producer.close()));
  expect(await readTopic(topics[0])).toEqual([]);
  expect((await readTopic(topics[1])).length).toBe(MESSAGES.length);
});
