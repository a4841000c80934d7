import kafka from '@confluentinc/kafka-javascript';
import {expect, test} from 'vitest';
import {poll} from '../../../scripts/process/poll.ts';
import {CommitUnknown, Fenced, Stall, Transient} from '../../../src/sinks/errors.ts';
import {promised, type Done} from '../../../src/targets/kafka/librdkafka.ts';
import {createTopic, freshTopicName, kafkaAddress} from '../../setup/kafka.ts';
import {batchOf, insert} from '../batches.ts';
import {failureOf, progressAt} from '../target-tests.ts';
import {KafkaWorld} from './world.ts';

type Admin = ReturnType<typeof kafka.AdminClient.create>;

async function administer(work: (admin: Admin, done: Done<void>) => void): Promise<void> {
  const admin = kafka.AdminClient.create({'bootstrap.servers': kafkaAddress()});
  try {
    await promised(done => work(admin, done));
  } finally {
    admin.disconnect();
  }
}

/** Resolves when the topic is gone, because its deletion is only accepted at first. */
async function deleteTopic(topic: string): Promise<void> {
  await administer((admin, done) => admin.deleteTopic(topic, 10_000, done));
  await poll(`the end of topic ${topic}`, 10_000, async () => !(await topicNames()).includes(topic));
}

async function topicNames(): Promise<string[]> {
  let names: string[] = [];
  await administer((admin, done) =>
    admin.listTopics({timeout: 10_000}, (error, topics) => {
      names = topics;
      done(error);
    }),
  );
  return names;
}

/** End of partition 0 without regard to open transactions. */
async function endOffset(topic: string): Promise<number> {
  let end = -1;
  await administer((admin, done) =>
    admin.listOffsets(
      [{topic, partition: 0, offset: kafka.OffsetSpec.LATEST}],
      {timeout: 10_000, isolationLevel: kafka.IsolationLevel.READ_UNCOMMITTED},
      (error, results) => {
        end = results[0].offset;
        done(error);
      },
    ),
  );
  return end;
}

test('topics are made as the sink says', async () => {
  await using world = new KafkaWorld({target: {partitionCount: 5, topicConfig: {'cleanup.policy': 'compact'}}});
  const target = world.target();
  await target.open();
  await target.write(
    batchOf(
      1n,
      Array.from({length: 100}, (_, id) => insert(id)),
    ),
  );
  await target.commit(progressAt(1n));
  const partitions = new Set((await world.messages()).map(({partition}) => partition));
  expect([...partitions].sort()).toEqual([0, 1, 2, 3, 4]);
  await expect(createTopic({name: world.topic})).rejects.toThrow();
});

test('an existing topic is used as it is', async () => {
  const topic = await createTopic({partitions: 1});
  await using world = new KafkaWorld({topic, target: {partitionCount: 7}});
  const target = world.target();
  await target.open();
  await target.write(batchOf(1n, [insert(1), insert(2), insert(3), insert(4)]));
  await target.commit(progressAt(1n));
  expect((await world.messages()).map(({partition}) => partition)).toEqual([0, 0, 0, 0]);
});

test.each([
  ['a name', {topic: 'no such name'}, 'reading the metadata of topic'],
  ['a replication factor', {target: {replicationFactor: 7}}, 'Error creating topic'],
  ['a setting', {target: {topicConfig: {'no.such': 'setting'}}}, 'Error creating topic'],
])('%s that the broker refuses stalls the sink', async (_, options, doing) => {
  await using world = new KafkaWorld(options);
  const failure = await failureOf(world.target().open());
  expect(failure).toBeInstanceOf(Stall);
  expect((failure as Stall).code).toBe('SL104');
  expect((failure as Stall).message).toContain(`${doing} ${world.topic}`);
});

test('a progress topic with two partitions stalls the sink', async () => {
  const progressTopic = await createTopic({partitions: 2});
  await using world = new KafkaWorld({progressTopic});
  const failure = await failureOf(world.target().open());
  expect(failure).toBeInstanceOf(Stall);
  expect((failure as Stall).message).toBe(
    `Progress topic ${progressTopic} should contain a single partition, but instead contains 2 partitions`,
  );
});

test('a data topic that is gone stalls the sink and is not made again', async () => {
  await using world = new KafkaWorld({target: {metadataRefreshMs: 0}});
  const target = world.target();
  await target.open();
  await target.write(batchOf(1n, [insert(1)]));
  await target.commit(progressAt(1n));
  await target.write(batchOf(2n, [insert(2)]));
  await deleteTopic(world.topic);
  const failure = await failureOf(target.commit(progressAt(2n)));
  expect(failure).toBeInstanceOf(Stall);
  expect((failure as Stall).message).toBe(`topic ${world.topic} does not exist`);
  expect(await failureOf(target.open())).toMatchObject({code: 'SL105'});
  expect(await topicNames()).not.toContain(world.topic);
});

test('a topic that is deleted under an open transaction is not made again, and nothing counts as written', async () => {
  // One partition: it is part of the transaction already when the topic goes.
  await using world = new KafkaWorld({target: {partitionCount: 1}, timeouts: {propagation: 1000, commit: 5000}});
  const target = world.target();
  await target.open();
  await target.write(batchOf(1n, [insert(1)]));
  await target.commit(progressAt(1n));
  await target.write(batchOf(2n, [insert(2)]));
  await deleteTopic(world.topic);
  await target.write(batchOf(2n, [insert(3)]));
  // Which of the two depends on what the client hears first.
  expect(await failureOf(target.commit(progressAt(2n)))).toSatisfy(
    error => error instanceof Transient || error instanceof CommitUnknown,
  );
  expect(await failureOf(target.open())).toMatchObject({code: 'SL105'});
  expect(await topicNames()).not.toContain(world.topic);
  const [last] = (await world.progressRecords()).slice(-1);
  expect(JSON.parse(String(last.value))).toMatchObject({frontier: [2]});
});

test('a data topic that was deleted and made again is another topic', async () => {
  await using world = new KafkaWorld({target: {metadataRefreshMs: 0}});
  const target = world.target();
  await target.open();
  await target.write(batchOf(1n, [insert(1)]));
  await target.commit(progressAt(1n));
  await deleteTopic(world.topic);
  await createTopic({name: world.topic, partitions: 3});
  await poll('the new topic', 10_000, async () => (await topicNames()).includes(world.topic));
  expect(await failureOf(target.commit(progressAt(2n)))).toMatchObject({code: 'SL106'});
  const reopened = await failureOf(target.open());
  expect(reopened).toBeInstanceOf(Stall);
  expect((reopened as Stall).message).toBe(`topic ${world.topic} was deleted and created again`);
});

test('where progress was committed before and is gone, nothing is made that looks like a beginning', async () => {
  await using world = new KafkaWorld();
  const target = world.target({committedOnce: true});
  expect(await target.open()).toBeUndefined();
  await expect(target.commit(progressAt(1n))).rejects.toThrow('not open');
  const names = await topicNames();
  expect(names).not.toContain(world.topic);
  expect(names).not.toContain(world.progressTopic);
});

test('partitions that are added while the sink runs are used', async () => {
  await using world = new KafkaWorld({target: {partitionCount: 1, metadataRefreshMs: 0}});
  const target = world.target();
  await target.open();
  const rows = Array.from({length: 50}, (_, id) => insert(id));
  await target.write(batchOf(1n, rows));
  await target.commit(progressAt(1n));
  await administer((admin, done) => admin.createPartitions(world.topic, 4, 10_000, done));
  // The first commit after it notices; the rows after that commit are spread.
  await poll('the new partitions', 20_000, async () => {
    await target.commit(progressAt(2n));
    await target.write(batchOf(2n, rows));
    await target.commit(progressAt(2n));
    return new Set((await world.messages()).map(({partition}) => partition)).size === 4;
  });
});

test("another sink's open transaction on the progress topic hides nothing", async () => {
  await using world = new KafkaWorld();
  const target = world.target();
  await target.open();
  await target.commit(progressAt(1n));

  const rival = new kafka.Producer({'bootstrap.servers': kafkaAddress(), 'transactional.id': freshTopicName('rival')});
  await promised<kafka.Metadata>(done => rival.connect({timeout: 10_000}, done));
  try {
    await promised(done => rival.initTransactions(10_000, done));
    await promised(done => rival.beginTransaction(done));
    rival.produce(world.progressTopic, 0, Buffer.from('{}'), 'mz-sink-rival');
    await promised(done => rival.flush(10_000, done));
    // Behind the first record of an open transaction: the last stable offset does not reach it.
    await target.commit(progressAt(2n));
    await target.close();

    const hurried = await failureOf(world.target({}, {readProgress: 1000}).open());
    expect(hurried).toBeInstanceOf(Transient);
    expect((hurried as Error).message).toContain(
      `timed out while waiting to reach high water mark of non-empty topic ${world.progressTopic}:0`,
    );
    const patient = world.target().open();
    await promised(done => rival.abortTransaction(10_000, done));
    expect(await patient).toEqual(progressAt(2n));
  } finally {
    await promised<unknown>(done => rival.disconnect(done));
  }
});

test('two sinks share a progress topic', async () => {
  await using one = new KafkaWorld();
  await using two = new KafkaWorld({progressTopic: one.progressTopic});
  for (const [world, time] of [
    [one, 1n],
    [two, 5n],
    [one, 2n],
  ] as const) {
    const target = world.target();
    await target.open();
    await target.commit(progressAt(time));
    await target.close();
  }
  expect(await one.target().open()).toEqual(progressAt(2n));
  expect(await two.target().open()).toEqual(progressAt(5n));
});

test('closing gives up what is open at once, so that readers of the topic are not held back', async () => {
  await using world = new KafkaWorld({target: {partitionCount: 1}});
  const target = world.target();
  await target.open();
  await target.write(batchOf(1n, [insert(1)]));
  await poll('the message at the broker', 20_000, async () => (await endOffset(world.topic)) === 1);
  await target.close();
  await poll('the mark of the end', 5000, async () => (await endOffset(world.topic)) === 2);
  expect(await world.messages()).toEqual([]);
});

test('a transaction that lasts too long is ended by the broker, and its writer is fenced', async () => {
  await using world = new KafkaWorld({timeouts: {transaction: 1000}, target: {partitionCount: 1}});
  const target = world.target();
  await target.open();
  await target.write(batchOf(1n, [insert(1)]));
  // The message, and the mark that the broker sets when it aborts.
  await poll('the end of the transaction', 20_000, async () => (await endOffset(world.topic)) === 2);
  const failure = await failureOf(target.commit(progressAt(1n)));
  expect(failure).toBeInstanceOf(Fenced);
  expect(await target.open()).toBeUndefined();
  await target.write(batchOf(1n, [insert(1)]));
  await target.commit(progressAt(1n));
  expect(await world.messages()).toHaveLength(1);
});

test("a transaction time-out above the broker's limit is a matter of settings", async () => {
  await using world = new KafkaWorld({timeouts: {transaction: 3_600_000}});
  expect(await failureOf(world.target().open())).toMatchObject({name: 'Stall', code: 'SL103'});
});

test('long transactions, and a broker that allows none', async () => {
  await using world = new KafkaWorld({
    timeouts: {transaction: 1000, longTransaction: 30_000},
    target: {partitionCount: 1},
  });
  const target = world.target();
  await target.open('long');
  expect(target.transactionLimitMs).toBe(30_000);
  await target.write(batchOf(1n, [insert(1)]));
  await poll('the message at the broker', 20_000, async () => (await endOffset(world.topic)) === 1);
  await using other = new KafkaWorld({timeouts: {transaction: 1000}, target: {partitionCount: 1}});
  const short = other.target();
  await short.open();
  await short.write(batchOf(1n, [insert(1)]));
  await poll('the end of a short transaction', 30_000, async () => (await endOffset(other.topic)) === 2);
  await target.commit(progressAt(1n));
  expect(await target.open()).toEqual(progressAt(1n));
  expect(target.transactionLimitMs).toBe(1000);
  await target.close();

  const refused = world.target({committedOnce: true}, {transaction: 1000, longTransaction: 3_600_000});
  expect(await refused.open('long')).toEqual(progressAt(1n));
  expect(refused.transactionLimitMs).toBe(1000);
  await refused.write(batchOf(2n, [insert(2)]));
  await refused.commit(progressAt(2n));
  expect(await world.messages()).toHaveLength(2);
});
