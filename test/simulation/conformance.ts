import {describe, expect, test} from 'vitest';
import type {CommittedRecord, KafkaClient, TransactionalProducer} from '../../src/targets/kafka/client.ts';
import type {KafkaTimeouts} from '../../src/targets/kafka/client-config.ts';

/** A broker, real or not, and clients of it. */
export interface ConformanceWorld extends AsyncDisposable {
  /** A client with a transactional id; the same `writer` is the same id. */
  client(writer: string, timeouts?: Partial<KafkaTimeouts>): KafkaClient;
  /** Name of a new topic. */
  topic(partitions?: number): Promise<string>;
  /** Until the answer is called: ends of transactions, or what the broker says to them, are lost on the way. */
  loseEnds(what: 'request' | 'answer'): () => void;
}

const BATCH_BYTES = 1_000_000;
const TRANSACTION_MS = 60_000;
const never = new AbortController().signal;

async function producerOf(client: KafkaClient, transactionMs = TRANSACTION_MS): Promise<TransactionalProducer> {
  const producer = await client.connectProducer(BATCH_BYTES, transactionMs);
  await producer.initTransactions();
  return producer;
}

function put(producer: TransactionalProducer, topic: string, value: string, partition = 0): void {
  expect(producer.produce(topic, partition, Buffer.from(value), Buffer.from('k'), undefined)).toBe(true);
}

/** What a reader of committed data sees up to the true end; undefined = somebody's open transaction hides the rest. */
async function read(client: KafkaClient, topic: string, limitMs = 30_000): Promise<string[] | undefined> {
  const producer = await client.connectProducer(BATCH_BYTES, TRANSACTION_MS);
  const {low, high} = await producer.offsets(topic);
  await producer.close();
  const values: string[] = [];
  if (high === low) return values;
  const reader = await client.connectReader();
  try {
    const onRecord = ({value}: CommittedRecord): void => void values.push(String(value));
    return (await reader.read({topic, from: low, to: high, limitMs}, onRecord, never)) ? values : undefined;
  } finally {
    await reader.close();
  }
}

async function refusal(work: Promise<unknown>): Promise<Record<string, unknown>> {
  const error: unknown = await work.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  expect(error).toBeInstanceOf(Error);
  const {code, isFatal, isRetriable, isTxnRequiresAbort} = error as Record<string, unknown>;
  const flags = {isFatal, isRetriable, isTxnRequiresAbort};
  return {code, ...Object.fromEntries(Object.entries(flags).filter(([, flag]) => flag === true))};
}

function thrown(work: () => unknown): unknown {
  try {
    work();
  } catch (error) {
    return (error as {code?: unknown}).code;
  }
  return undefined;
}

/** What the target and the simulation rely on. The model is worth as much as this table, which the real broker passes too. */
export function registerConformanceCases(name: string, open: () => Promise<ConformanceWorld>): void {
  describe(name, () => {
    test('what is committed is seen, in order, and nothing before', async () => {
      await using world = await open();
      const topic = await world.topic();
      const client = world.client('a');
      const producer = await producerOf(client);
      await producer.begin();
      put(producer, topic, '1');
      put(producer, topic, '2');
      await producer.commit();
      await producer.begin();
      put(producer, topic, '3');
      await producer.commit();
      expect(await read(client, topic)).toEqual(['1', '2', '3']);
      await producer.close();
    });

    test('each transaction takes an offset of its own in every partition that it has written to', async () => {
      await using world = await open();
      const topic = await world.topic();
      const producer = await producerOf(world.client('a'));
      for (const value of ['1', '2']) {
        await producer.begin();
        put(producer, topic, value);
        await producer.commit();
      }
      // The marks are set after the commit's answer; a new epoch waits for them.
      await producer.close();
      const next = await producerOf(world.client('a'));
      expect(await next.offsets(topic)).toEqual({low: 0, high: 4});
      await next.close();
    });

    test('one commit covers several topics and partitions', async () => {
      await using world = await open();
      const [one, two] = [await world.topic(), await world.topic(3)];
      const client = world.client('a');
      const producer = await producerOf(client);
      await producer.begin();
      put(producer, one, '1');
      for (const partition of [0, 1, 2]) put(producer, two, `2.${partition}`, partition);
      await producer.commit();
      expect([await read(client, one), await read(client, two)]).toEqual([['1'], ['2.0']]);
      await producer.close();
    });

    test('what is aborted is not seen, and what follows is', async () => {
      await using world = await open();
      const topic = await world.topic();
      const client = world.client('a');
      const producer = await producerOf(client);
      await producer.begin();
      put(producer, topic, '1');
      await producer.abort();
      await producer.begin();
      put(producer, topic, '2');
      await producer.commit();
      expect(await read(client, topic)).toEqual(['2']);
      await producer.close();
    });

    test('a newer producer of the id ends what the older one has open, and the older one can commit nothing', async () => {
      await using world = await open();
      const topic = await world.topic();
      const older = await producerOf(world.client('a'));
      await older.begin();
      put(older, topic, '1');
      const newer = await producerOf(world.client('a'));
      await newer.begin();
      put(newer, topic, '2');
      await newer.commit();
      expect(await refusal(older.commit())).toEqual({code: -144, isFatal: true});
      expect(thrown(() => older.produce(topic, 0, Buffer.from('3'), null, undefined))).toBe(-150);
      expect(await refusal(older.begin())).toMatchObject({code: -144});
      expect(await read(world.client('b'), topic)).toEqual(['2']);
      await older.close();
      await newer.close();
    });

    test('an older producer that had nothing open finds out with its next commit', async () => {
      await using world = await open();
      const topic = await world.topic();
      const older = await producerOf(world.client('a'));
      const newer = await producerOf(world.client('a'));
      await older.begin();
      put(older, topic, '1');
      expect(await refusal(older.commit())).toEqual({code: -144, isFatal: true});
      expect(await read(world.client('b'), topic)).toEqual([]);
      await older.close();
      await newer.close();
    });

    test('producers of other ids are not concerned', async () => {
      await using world = await open();
      const topic = await world.topic();
      const one = await producerOf(world.client('a'));
      await one.begin();
      put(one, topic, '1');
      const two = await producerOf(world.client('b'));
      await one.commit();
      expect(await read(world.client('c'), topic)).toEqual(['1']);
      await one.close();
      await two.close();
    });

    test('a transaction that lasts too long is aborted, and its producer fenced', async () => {
      await using world = await open();
      const topic = await world.topic();
      const producer = await producerOf(world.client('a'), 1000);
      await producer.begin();
      put(producer, topic, '1');
      // The mark of its end is what the reader waits for.
      const ended = async (): Promise<void> => {
        while ((await producer.offsets(topic)).high < 2) await new Promise(resolve => setTimeout(resolve, 20));
      };
      await ended();
      expect(await refusal(producer.commit())).toEqual({code: -144, isFatal: true});
      expect(await read(world.client('b'), topic)).toEqual([]);
      await producer.close();
    });

    test("somebody's open transaction hides what is behind it, until it ends", async () => {
      await using world = await open();
      const topic = await world.topic();
      const slow = await producerOf(world.client('a'));
      await slow.begin();
      put(slow, topic, 'slow');
      while ((await slow.offsets(topic)).high < 1) await new Promise(resolve => setTimeout(resolve, 20));
      const client = world.client('b');
      const quick = await producerOf(client);
      await quick.begin();
      put(quick, topic, 'quick');
      await quick.commit();
      // The message, and at once or soon the mark of its commit.
      expect((await quick.offsets(topic)).high).toBeGreaterThanOrEqual(2);
      expect(await read(client, topic, 1000)).toBeUndefined();
      const reading = read(client, topic);
      await slow.abort();
      expect(await reading).toEqual(['quick']);
      await slow.close();
      await quick.close();
    });

    test.each([
      ['answer', ['1', '2']],
      ['request', ['1']],
    ] as const)(
      'the %s of a commit is lost: its outcome is unknown, and the next producer finds it decided',
      async (what, committed) => {
        await using world = await open();
        const topic = await world.topic();
        const producer = await producerOf(world.client('a', {commit: 2000, abort: 1000}));
        await producer.begin();
        put(producer, topic, '1');
        await producer.commit();
        await producer.begin();
        put(producer, topic, '2');
        const heal = world.loseEnds(what);
        expect(await refusal(producer.commit())).toEqual({code: -185, isRetriable: true});
        heal();
        const closing = producer.close();
        const next = await producerOf(world.client('a'));
        expect(await read(world.client('b'), topic)).toEqual(committed);
        await closing;
        await next.close();
      },
    );

    test('calls out of turn are refused', async () => {
      await using world = await open();
      const topic = await world.topic();
      const producer = await world.client('a').connectProducer(BATCH_BYTES, TRANSACTION_MS);
      expect(await refusal(producer.begin())).toMatchObject({code: -172});
      await producer.initTransactions();
      expect(thrown(() => producer.produce(topic, 0, Buffer.from('1'), null, undefined))).toBe(-172);
      expect(await refusal(producer.commit())).toMatchObject({code: -172});
      await producer.begin();
      expect(await refusal(producer.begin())).toMatchObject({code: -172});
      put(producer, topic, '1');
      await producer.commit();
      await producer.close();
      expect(await read(world.client('b'), topic)).toEqual(['1']);
    });

    test('topics are described, made once, and never by accident', async () => {
      await using world = await open();
      const topic = await world.topic(3);
      const producer = await producerOf(world.client('a'));
      expect(await producer.describeTopic(topic)).toMatchObject({partitions: 3});
      const missing = `${topic}-missing`;
      expect(await producer.describeTopic(missing)).toBeUndefined();
      const request = {name: topic, partitions: 1, replicationFactor: 1, config: {}};
      expect(await refusal(producer.createTopic(request))).toMatchObject({code: 36});
      await producer.createTopic({...request, name: missing});
      while ((await producer.describeTopic(missing)) === undefined)
        await new Promise(resolve => setTimeout(resolve, 20));
      const again = await producer.describeTopic(missing);
      expect(again).toMatchObject({partitions: 1});
      expect(again!.id).not.toBe((await producer.describeTopic(topic))!.id);
      await producer.close();
    });

    test('a partition that is not there is noticed at once', async () => {
      await using world = await open();
      const topic = await world.topic(2);
      const producer = await producerOf(world.client('a'));
      await producer.describeTopic(topic);
      await producer.begin();
      put(producer, topic, '1', 1);
      await producer.commit();
      await producer.begin();
      expect(thrown(() => producer.produce(topic, 2, Buffer.from('1'), null, undefined))).toBe(-190);
      await producer.abort();
      await producer.close();
    });

    test('a time-out above what the broker allows is refused', async () => {
      await using world = await open();
      const producer = await world.client('a').connectProducer(BATCH_BYTES, 3_600_000);
      expect(await refusal(producer.initTransactions())).toMatchObject({code: 50});
      await producer.close();
    });

    test('a producer that is closed takes nothing any more', async () => {
      await using world = await open();
      const producer = await producerOf(world.client('a'));
      await Promise.all([producer.close(), producer.close()]);
      await expect(producer.begin()).rejects.toThrow('closed');
    });
  });
}
