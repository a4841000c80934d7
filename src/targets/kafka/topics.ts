import type {Logger} from 'pino';
import type {Clock} from '../../base/clock.ts';
import type {KafkaSinkDefinition} from '../../catalog/definitions.ts';
import {Stall, Transient} from '../../sinks/errors.ts';
import type {NewTopic, TopicDescription, TransactionalProducer} from './client.ts';
import {classify, CODE, isKafkaError} from './kafka-errors.ts';

type Admin = Pick<TransactionalProducer, 'describeTopic' | 'createTopic' | 'offsets'>;

/** What the functions here work with. */
export interface TopicTools {
  readonly admin: Admin;
  readonly clock: Clock;
  readonly log: Logger;
  /** A new topic is not at once known to every broker: how long that may take. */
  readonly propagationMs: number;
}

const BROKER_DEFAULT = -1;

/**
 * Makes sure that the progress topic exists and that its records have an order.
 * Its other settings are not checked: the client offers no way to read them. False: it is missing and may not be created.
 */
export async function ensureProgressTopic(
  tools: TopicTools,
  {connection}: KafkaSinkDefinition,
  mayCreate: boolean,
): Promise<boolean> {
  const name = connection.progressTopic;
  const existing = await describe(tools.admin, name);
  if (existing === undefined && !mayCreate) return false;
  const topic =
    existing ??
    (await create(tools, 'error registering kafka progress topic for sink', {
      name,
      partitions: 1,
      replicationFactor: connection.progressTopicReplicationFactor ?? BROKER_DEFAULT,
      config: {'cleanup.policy': 'compact', 'segment.bytes': String(128 * 1024 * 1024)},
    }));
  if (topic.partitions !== 1) {
    throw new Stall(
      'SL107',
      `Progress topic ${name} should contain a single partition, but instead contains ${topic.partitions} partitions`,
      {hint: 'Create a connection with another PROGRESS TOPIC, or delete this topic before any sink has written.'},
    );
  }
  return true;
}

/** The data topic of a sink that has written nothing yet: created if it is missing, otherwise used as it is. */
export async function ensureDataTopic(
  tools: TopicTools,
  sink: KafkaSinkDefinition,
  envelope: 'upsert' | 'debezium',
): Promise<TopicDescription> {
  const {admin, log} = tools;
  const name = sink.topic;
  const existing = await describe(admin, name);
  if (existing !== undefined) {
    log.info(
      {topic: name, partitions: existing.partitions},
      'kafka sink writes to an existing topic, whose settings stay as they are',
    );
    return existing;
  }
  const created = await create(tools, `Error creating topic ${name} for sink`, {
    name,
    partitions: sink.partitionCount ?? BROKER_DEFAULT,
    replicationFactor: sink.replicationFactor ?? BROKER_DEFAULT,
    config: sink.topicConfig,
  });
  log.info({topic: name, partitions: created.partitions}, 'kafka sink has created its topic');
  if (envelope === 'upsert' && !sink.topicConfig['cleanup.policy']?.includes('compact')) {
    log.info(
      {topic: name},
      'the topic of an upsert sink was created without cleanup.policy=compact: unless the broker compacts by default, old values stay until retention removes them',
    );
  }
  return created;
}

/**
 * The data topic of a sink that has written before. Throws `Stall` when it is gone or is another one than before: a topic
 * that was deleted and created again (by hand, or by the broker itself) looks the same by name, but what was committed is
 * not in it. Only topic ids tell; brokers before 2.8 have none, and there a re-created topic is not noticed.
 */
export async function findDataTopic(
  admin: Admin,
  name: string,
  knownId: string | undefined,
): Promise<TopicDescription> {
  const topic = await describe(admin, name);
  const hint =
    'What the sink has written is lost. Drop the sink and create it again, so that everything is written anew.';
  if (topic === undefined) throw new Stall('SL105', `topic ${name} does not exist`, {hint});
  if (knownId !== undefined && topic.id !== knownId) {
    throw new Stall('SL106', `topic ${name} was deleted and created again`, {hint});
  }
  return topic;
}

async function describe(admin: Admin, name: string): Promise<TopicDescription | undefined> {
  const topic = await asking(`reading the metadata of topic ${name}`, () => admin.describeTopic(name));
  if (topic?.partitions === 0) throw new Transient(`topic ${name} has an impossible partition count of zero`);
  return topic;
}

async function create(
  {admin, clock, propagationMs}: TopicTools,
  failure: string,
  topic: NewTopic,
): Promise<TopicDescription> {
  try {
    await admin.createTopic(topic);
  } catch (error) {
    // Somebody else was faster.
    if (!isKafkaError(error) || error.code !== CODE.TOPIC_ALREADY_EXISTS) throw classify(error, 'admin', failure);
  }
  const deadline = clock.now() + propagationMs;
  for (;;) {
    try {
      // An answer to the second question shows that the partition has a leader and the leader knows it.
      const created = await describe(admin, topic.name);
      if (created !== undefined) {
        await asking(`reading the end of topic ${topic.name}`, () => admin.offsets(topic.name));
        return created;
      }
    } catch (error) {
      if (!(error instanceof Transient) || clock.now() > deadline) throw error;
    }
    if (clock.now() > deadline) throw new Transient(`topic ${topic.name} was created but is not known to the brokers`);
    await clock.sleep(20);
  }
}

async function asking<T>(doing: string, ask: () => Promise<T>): Promise<T> {
  try {
    return await ask();
  } catch (error) {
    throw classify(error, 'admin', doing);
  }
}
