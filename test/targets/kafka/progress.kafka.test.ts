import kafka from '@confluentinc/kafka-javascript';
import {expect, test} from 'vitest';
import {promised} from '../../../src/targets/kafka/librdkafka.ts';
import {encodeProgress, progressKey} from '../../../src/targets/kafka/progress-record.ts';
import {suffixStarts} from '../../../src/targets/kafka/read-progress.ts';
import {createTopic, kafkaAddress} from '../../setup/kafka.ts';
import {progressAt} from '../target-tests.ts';
import {KafkaWorld} from './world.ts';

type Record = readonly [key: string, value: string | Buffer | null];

/** As somebody else writes it: no transaction, no check. */
async function produce(topic: string, records: readonly Record[]): Promise<void> {
  const producer = new kafka.Producer({'bootstrap.servers': kafkaAddress(), 'queue.buffering.max.messages': 1_000_000});
  await promised<kafka.Metadata>(done => producer.connect({timeout: 10_000}, done));
  try {
    for (const [key, value] of records) producer.produce(topic, 0, value === null ? null : Buffer.from(value), key);
    await promised(done => producer.flush(30_000, done));
  } finally {
    await promised<unknown>(done => producer.disconnect(done));
  }
}

/** A sink whose progress topic holds the records; `K` stands for its key. */
async function worldWith(records: readonly Record[]): Promise<KafkaWorld> {
  const world = new KafkaWorld({progressTopic: await createTopic()});
  const key = progressKey(world.definition.id);
  await produce(
    world.progressTopic,
    records.map(([name, value]) => [name === 'K' ? key : name, value]),
  );
  // Only a sink without progress makes its data topic.
  await createTopic({name: world.topic});
  return world;
}

const at = (time: bigint): Buffer => encodeProgress({progress: progressAt(time), topicId: undefined});

test("the newest record of the sink's own key counts", async () => {
  await using world = await worldWith([
    ['K', at(1n)],
    ['other', at(9n)],
    ['K', at(3n)],
    ['K', null],
    ['mz-sink-', '?'],
  ]);
  expect(await world.target().open()).toEqual(progressAt(3n));
});

test.each([
  [
    'a frontier that went back',
    [
      ['K', at(5n)],
      ['K', at(4n)],
    ],
    'SL111',
    /^upper regressed in topic .*:0 from \[6\] to \[5\]$/,
  ],
  [
    'what is no record',
    [
      ['K', at(5n)],
      ['K', '{}'],
    ],
    'SL110',
    /^invalid progress record: \{\}$/,
  ],
  ['an older form of record', [['K', '{"timestamp":7}']], 'SL112', /was not written by Sluice$/],
  ['the end of another form', [['K', '{"frontier":[]}']], 'SL112', /was not written by Sluice$/],
] as const)('%s stalls the sink', async (_, records, code, message) => {
  await using world = await worldWith(records);
  const failure: unknown = await world
    .target()
    .open()
    .catch((error: unknown) => error);
  expect(failure).toMatchObject({name: 'Stall', code});
  expect((failure as Error).message).toMatch(message);
});

test('a record is found behind tens of thousands of others', async () => {
  const others = Array.from({length: 21_000}, (_, n): Record => [`mz-sink-other-${n % 50}`, at(BigInt(n))]);
  await using world = await worldWith([['K', at(7n)], ...others]);
  expect(await world.target().open()).toEqual(progressAt(7n));
});

test('reading begins near the end and goes back to the beginning', () => {
  expect(suffixStarts({low: 0, high: 10})).toEqual([0]);
  expect(suffixStarts({low: 5, high: 20_005})).toEqual([5]);
  expect(suffixStarts({low: 5, high: 20_006})).toEqual([6, 5]);
  expect(suffixStarts({low: 0, high: 5_000_000})).toEqual([4_980_000, 4_800_000, 3_000_000, 0]);
});
