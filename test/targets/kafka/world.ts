import {pino} from 'pino';
import type {KafkaSinkDefinition, SinkDefinition} from '../../../src/catalog/definitions.ts';
import type {KafkaTimeouts} from '../../../src/targets/kafka/client-config.ts';
import {KafkaTarget} from '../../../src/targets/kafka/kafka-target.ts';
import {freshTopicName, kafkaAddress, readTopic, type TopicRecord} from '../../setup/kafka.ts';
import {ITEMS} from '../batches.ts';
import type {TargetWorld} from '../target-tests.ts';

export const ENVIRONMENT = 'environment-test';

export const log = pino({level: process.env['SLUICE_TEST_LOG'] ?? 'silent'});

export interface KafkaWorldOptions {
  readonly sinkId?: string | undefined;
  readonly address?: string | undefined;
  readonly topic?: string | undefined;
  readonly progressTopic?: string | undefined;
  readonly envelope?: SinkDefinition['envelope'] | undefined;
  readonly key?: readonly number[] | null | undefined;
  readonly target?: Partial<KafkaSinkDefinition> | undefined;
  readonly timeouts?: Partial<KafkaTimeouts> | undefined;
}

/** One sink and its topics, on the run's broker. */
export class KafkaWorld implements TargetWorld {
  readonly definition: SinkDefinition;
  readonly topic: string;
  readonly progressTopic: string;
  readonly #timeouts: Partial<KafkaTimeouts>;
  readonly #targets: KafkaTarget[] = [];

  constructor(options: KafkaWorldOptions = {}) {
    this.topic = options.topic ?? freshTopicName('data');
    this.progressTopic = options.progressTopic ?? freshTopicName('progress');
    this.#timeouts = options.timeouts ?? {};
    this.definition = {
      // An id of its own for each world, because the transactional id is made of it.
      id: options.sinkId ?? freshTopicName('u'),
      name: 'materialize.public.s',
      cluster: 'u1',
      relation: ITEMS.relation,
      relationName: 'items',
      columns: ITEMS.columns.map((column, at) => ({...column, attnum: at + 1, notNull: at === 0})),
      key: options.key === null ? undefined : (options.key ?? [0]),
      keyEnforced: true,
      envelope: options.envelope ?? 'upsert',
      snapshot: true,
      version: 0,
      committedOnce: false,
      target: {
        type: 'kafka',
        topic: this.topic,
        compression: 'lz4',
        transactionalIdPrefix: '',
        progressGroupIdPrefix: '',
        legacyIds: false,
        partitionCount: 3,
        replicationFactor: undefined,
        topicConfig: {},
        metadataRefreshMs: 30_000,
        keyFormat: 'json',
        valueFormat: 'json',
        connection: {
          type: 'kafka',
          id: 'u1',
          name: 'materialize.public.k',
          brokers: (options.address ?? kafkaAddress()).split(','),
          securityProtocol: 'PLAINTEXT',
          progressTopic: this.progressTopic,
          progressTopicReplicationFactor: undefined,
        },
        ...options.target,
      },
    };
  }

  target(changes: Partial<SinkDefinition> = {}, timeouts: Partial<KafkaTimeouts> = {}): KafkaTarget {
    const target = new KafkaTarget({
      sink: {...this.definition, ...changes},
      environmentId: ENVIRONMENT,
      log,
      timeouts: {...this.#timeouts, ...timeouts},
    });
    this.#targets.push(target);
    return target;
  }

  async rows(): Promise<ReadonlyMap<number, unknown>> {
    const rows = new Map<number, unknown>();
    for (const {key, value} of await this.messages()) {
      const {id} = JSON.parse(String(key)) as {id: number};
      if (value === null) rows.delete(id);
      else rows.set(id, JSON.parse(String(value)));
    }
    return rows;
  }

  /** Committed messages of the data topic; none where there is no topic yet. */
  async messages(): Promise<TopicRecord[]> {
    return readTopic(this.topic, {address: this.definition.target.connection.brokers.join(',')});
  }

  async progressRecords(): Promise<TopicRecord[]> {
    return readTopic(this.progressTopic, {address: this.definition.target.connection.brokers.join(',')});
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#targets.map(target => target.close()));
  }
}
