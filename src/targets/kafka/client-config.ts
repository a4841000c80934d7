import {tuned} from '../../base/tuning.ts';
import type {CompressionType, KafkaConnectionDefinition, SinkDefinition} from '../../catalog/definitions.ts';

/** Names by which a sink is known to the brokers. One writing process per transactional id. */
export interface KafkaIds {
  readonly clientId: string;
  readonly transactionalId: string;
  /** Only a label: partitions are assigned by hand and no offsets are committed. */
  readonly progressGroupId: string;
}

export function kafkaIds(sink: Pick<SinkDefinition, 'id' | 'target'>, environmentId: string): KafkaIds {
  const {target} = sink;
  const clientId = `materialize-${environmentId}-${target.connection.id}-${sink.id}`;
  if (target.legacyIds) {
    return {
      clientId,
      transactionalId: `mz-producer-${sink.id}-0`,
      progressGroupId: `materialize-bootstrap-sink-${sink.id}`,
    };
  }
  return {
    clientId,
    transactionalId: target.transactionalIdPrefix + clientId,
    progressGroupId: target.progressGroupIdPrefix + clientId,
  };
}

/** In milliseconds. */
export interface KafkaTimeouts {
  readonly connect: number;
  readonly init: number;
  readonly admin: number;
  /** How long brokers may take to hear of a new topic. One that is missing for longer after it was seen is gone. */
  readonly propagation: number;
  /** A rolling restart of three brokers made a commit take 13.7 s. */
  readonly commit: number;
  readonly abort: number;
  /** `transaction.timeout.ms`: the broker aborts what is open for longer, and until then it holds other readers back. */
  readonly transaction: number;
  /**
   * The same while a large snapshot goes out in one transaction. What a dead worker leaves open is ended by the next one that opens the
   * sink, or by whoever clears up when the sink is dropped; only where no broker answers him do others wait for so long.
   */
  readonly longTransaction: number;
  /** Above `transaction`, because reading waits for other sinks' open transactions. */
  readonly readProgress: number;
}

const {brokerDeadMs} = tuned({brokerDeadMs: 30_000});

export const DEFAULT_TIMEOUTS: KafkaTimeouts = {
  connect: 10_000,
  init: brokerDeadMs,
  admin: 10_000,
  propagation: 10_000,
  commit: brokerDeadMs,
  abort: 10_000,
  transaction: 60_000,
  longTransaction: 300_000,
  readProgress: 90_000,
};

/**
 * What the client sends in one piece; the broker's and the topic's limits come on top. It must stay below the queue's size
 * in bytes, or a larger message would wait for room for ever.
 */
export const MAX_MESSAGE_BYTES = 32 * 1024 * 1024;
export const MAX_BATCH_BYTES = 1_000_000;

type ClientConfig = Readonly<Record<string, string | number | boolean>>;

export function commonConfig(brokers: readonly string[], clientId: string): ClientConfig {
  return {
    'bootstrap.servers': brokers.join(','),
    'client.id': clientId,
    'security.protocol': 'plaintext',
    // A topic that is gone must stay gone: created anew by a mere metadata request it would hide the loss.
    'allow.auto.create.topics': false,
    'socket.keepalive.enable': true,
    // librdkafka's own is 10 s: too long after a broker has come back.
    'reconnect.backoff.max.ms': 1_000,
    log_level: 5,
  };
}

export interface ProducerSettings {
  readonly connection: KafkaConnectionDefinition;
  readonly ids: KafkaIds;
  readonly compression: CompressionType;
  readonly batchBytes: number;
  readonly transactionMs: number;
  readonly timeouts: KafkaTimeouts;
}

export function producerConfig(settings: ProducerSettings): ClientConfig {
  const {connection, ids, compression, batchBytes, transactionMs, timeouts} = settings;
  return {
    ...commonConfig(connection.brokers, ids.clientId),
    'transactional.id': ids.transactionalId,
    'transaction.timeout.ms': transactionMs,
    // Not longer in long transactions: what a broker has not taken by then has failed.
    'message.timeout.ms': Math.min(transactionMs, timeouts.transaction),
    'compression.codec': compression,
    'topic.metadata.propagation.max.ms': timeouts.propagation,
    // Nobody sees anything before the commit, which flushes: until then batches may fill. Small ones cost the broker most. But a batch that
    // waits takes room in the queue: where many partitions share it, nothing goes on until it is sent.
    'linger.ms': 100,
    'batch.num.messages': 3_000,
    // A whole batch is refused when it is larger than the topic allows, even if every message in it is small.
    'batch.size': batchBytes,
    'message.max.bytes': MAX_MESSAGE_BYTES,
    // The bound of memory, some 700 bytes a message and its value: the limit in kB counts values only. A tenth of a second of what one sink
    // can produce, so brokers that answer within that are never idle.
    'queue.buffering.max.messages': 32_000,
    'queue.buffering.max.kbytes': 36_864,
    // Failures abort the transaction by themselves. Reports of what succeeded would only be thrown away, by one more thread.
    'delivery.report.only.error': true,
  };
}

export function readerConfig(connection: KafkaConnectionDefinition, ids: KafkaIds): ClientConfig {
  return {
    ...commonConfig(connection.brokers, ids.clientId),
    'group.id': ids.progressGroupId,
    'isolation.level': 'read_committed',
    'enable.partition.eof': true,
    'enable.auto.commit': false,
    'enable.auto.offset.store': false,
    // Where retention has cut records off, reading begins with what is left.
    'auto.offset.reset': 'earliest',
    'fetch.wait.max.ms': 10,
    'queued.max.messages.kbytes': 16_384,
  };
}
