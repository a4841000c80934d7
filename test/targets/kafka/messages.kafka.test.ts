import {expect, test} from 'vitest';
import {CommitUnknown, Stall, Transient} from '../../../src/sinks/errors.ts';
import type {Target} from '../../../src/sinks/target.ts';
import {kafkaIds} from '../../../src/targets/kafka/client-config.ts';
import {createTopic, type TopicRecord} from '../../setup/kafka.ts';
import {batchOf, insert, ITEMS, remove, type ItemChange} from '../batches.ts';
import {progressAt} from '../target-tests.ts';
import {ENVIRONMENT, KafkaWorld, type KafkaWorldOptions} from './world.ts';

async function send(options: KafkaWorldOptions, time: bigint, changes: readonly ItemChange[]): Promise<TopicRecord[]> {
  await using world = new KafkaWorld(options);
  const target = world.target();
  await target.open();
  await target.write(batchOf(time, changes));
  await target.commit(progressAt(time));
  return await world.messages();
}

const text = (bytes: Buffer | null): string | null => (bytes === null ? null : bytes.toString());

const CHANGES: readonly ItemChange[] = [
  insert(1, 'a'),
  [
    {id: 2, name: 'a'},
    {id: 2, name: null},
  ],
  remove(3, 'c'),
];

test('upsert: the new row, or a tombstone', async () => {
  const messages = await send({target: {partitionCount: 1}}, 1_720_032_185_312n, CHANGES);
  expect(messages.map(({key, value}) => [text(key), text(value)])).toEqual([
    ['{"id":1}', '{"id":1,"name":"a"}'],
    ['{"id":2}', '{"id":2,"name":null}'],
    ['{"id":3}', null],
  ]);
  for (const {headers} of messages) {
    expect(headers).toEqual([{name: 'materialize-timestamp', value: Buffer.from('1720032185312')}]);
  }
});

test('debezium: both sides, and no tombstone', async () => {
  const messages = await send({envelope: 'debezium', target: {partitionCount: 1}}, 1n, CHANGES);
  expect(messages.map(({key, value}) => [text(key), text(value)])).toEqual([
    ['{"id":1}', '{"before":null,"after":{"id":1,"name":"a"}}'],
    ['{"id":2}', '{"before":{"id":2,"name":"a"},"after":{"id":2,"name":null}}'],
    ['{"id":3}', '{"before":{"id":3,"name":"c"},"after":null}'],
  ]);
});

test('without a key everything goes to partition 0 and has no key', async () => {
  const many = Array.from({length: 20}, (_, id) => insert(id));
  const messages = await send({envelope: 'debezium', key: null}, 1n, many);
  expect(messages.map(({key, partition}) => [key, partition])).toEqual(many.map(() => [null, 0]));
});

test('the key has its columns in the order of the clause', async () => {
  const messages = await send({key: [1, 0], target: {partitionCount: 4}}, 1n, [insert(1, 'x')]);
  expect(messages.map(({key}) => text(key))).toEqual(['{"name":"x","id":1}']);
});

// SeaHash of {"k":1} is 16749447017101210570.
test.each([
  [3, 1],
  [4, 2],
  [16, 10],
])('the partition is SeaHash of the encoded key: of %i it is %i', async (partitionCount, expected) => {
  await using world = new KafkaWorld({target: {partitionCount}});
  const target = world.target();
  await target.open();
  const [id, name] = ITEMS.columns;
  const shape = {...ITEMS, columns: [{...id, name: 'k'}, name]};
  await target.write({...batchOf(1n, [insert(1)]), shape});
  await target.commit(progressAt(1n));
  const messages = await world.messages();
  expect(messages.map(({key, partition}) => [text(key), partition])).toEqual([['{"k":1}', expected]]);
});

test('what was handed over is counted, progress is not', async () => {
  await using world = new KafkaWorld();
  const target = world.target();
  await target.open();
  await target.write(batchOf(1234n, CHANGES));
  await target.commit(progressAt(1234n));
  const bytes = (await world.messages()).reduce(
    (sum, {key, value}) => sum + key!.length + (value?.length ?? 0) + 'materialize-timestamp1234'.length,
    0,
  );
  expect(target.written()).toEqual({messages: 3, bytes});
});

test('a progress record has the key and the frontier that others look for', async () => {
  await using world = new KafkaWorld();
  const target = world.target();
  await target.open();
  await target.commit(progressAt(41n));
  const [record] = await world.progressRecords();
  expect(text(record.key)).toBe(`mz-sink-${world.definition.id}`);
  expect(JSON.parse(text(record.value)!)).toMatchObject({frontier: [42], version: 0});
  expect(record.headers).toEqual([]);
});

test('ids are made of environment, connection and sink', () => {
  const {definition} = new KafkaWorld({sinkId: 'u9', address: 'localhost:1'});
  const base = `materialize-${ENVIRONMENT}-u1-u9`;
  expect(kafkaIds(definition, ENVIRONMENT)).toEqual({clientId: base, transactionalId: base, progressGroupId: base});
  const {target} = definition;
  expect(
    kafkaIds(
      {...definition, target: {...target, transactionalIdPrefix: 'a-', progressGroupIdPrefix: 'b-'}},
      ENVIRONMENT,
    ),
  ).toEqual({clientId: base, transactionalId: `a-${base}`, progressGroupId: `b-${base}`});
  expect(kafkaIds({...definition, target: {...target, legacyIds: true}}, ENVIRONMENT)).toEqual({
    clientId: base,
    transactionalId: 'mz-producer-u9-0',
    progressGroupId: 'materialize-bootstrap-sink-u9',
  });
});

test('a message that the client does not take is named by its key, and nothing is committed without it', async () => {
  await using world = new KafkaWorld();
  const target = world.target();
  await target.open();
  const write = async (): Promise<void> => {
    await target.write(batchOf(1n, [insert(1), insert(2, 'x'.repeat(33 * 1024 * 1024))]));
  };
  await expect(write()).rejects.toThrow(/^the message with key \{"id":2\} \(346[0-9]+ bytes\) is too large/);
  await expect(target.commit(progressAt(1n))).rejects.toBeInstanceOf(Stall);
  expect(await target.open()).toBeUndefined();
  await target.commit(progressAt(1n));
  expect(await world.messages()).toEqual([]);
});

/**
 * What came of writing to a topic that may refuse. Of some refusals (seen on a busy machine) the client only says that it could not
 * send everything in time; the sink loop then opens the target again and writes once more, and so does this.
 */
async function openAndWrite(target: Target, changes: readonly ItemChange[]): Promise<unknown> {
  for (let attempts = 1; ; attempts++) {
    await target.open();
    try {
      await target.write(batchOf(1n, changes));
      await target.commit(progressAt(1n));
      return undefined;
    } catch (error) {
      if (!(error instanceof CommitUnknown) || attempts === 10) return error;
    }
  }
}

test('a message that the topic does not take is named by its key', async () => {
  await using world = new KafkaWorld({target: {compression: 'none', topicConfig: {'max.message.bytes': '20000'}}});
  const target = world.target({}, {commit: 5_000});
  const failure = await openAndWrite(target, [insert(1), insert(2, 'x'.repeat(30_000)), insert(3)]);
  expect(failure).toBeInstanceOf(Stall);
  expect((failure as Stall).message).toBe(
    `the message with key {"id":2} (30026 bytes) is too large for topic ${world.topic}`,
  );
  expect((failure as Stall).code).toBe('SL101');
  expect(await target.open()).toBeUndefined();
  expect(await world.messages()).toEqual([]);
});

test('a topic that takes no large batches gets small ones', async () => {
  await using world = new KafkaWorld({target: {compression: 'none', partitionCount: 1}});
  await createTopic({name: world.topic, config: {'max.message.bytes': '20000'}});
  const rows = Array.from({length: 500}, (_, id) => insert(id, 'x'.repeat(1000)));
  const target = world.target({}, {commit: 5_000});
  let attempts = 1;
  for (let failure = await openAndWrite(target, rows); failure !== undefined; attempts++) {
    expect(failure).toBeInstanceOf(Transient);
    expect(attempts).toBeLessThan(6);
    failure = await openAndWrite(target, rows);
  }
  expect(attempts).toBeGreaterThan(1);
  expect((await world.rows()).size).toBe(500);
});
