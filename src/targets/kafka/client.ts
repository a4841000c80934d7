import type {MessageBatch} from './message-batch.ts';

/**
 * What the target asks of a Kafka client, as promises. One implementation drives librdkafka; a model of a broker is to be
 * another. Everything here rejects or throws with `KafkaError` (kafka-errors.ts), unclassified.
 */
export interface KafkaClient {
  /**
   * A new producer, connected but not yet initialised, that sends at most `batchBytes` of messages in one piece (but each
   * message whole) and has transactions of up to `transactionMs`. Nothing is left behind when it fails.
   */
  connectProducer(batchBytes: number, transactionMs: number): Promise<TransactionalProducer>;
  /** A new reader of committed records, connected. */
  connectReader(): Promise<CommittedReader>;
}

export interface MessageHeader {
  readonly [name: string]: string | Buffer;
}

export interface TopicDescription {
  readonly partitions: number;
  /** Undefined where the brokers are too old to have topic ids. */
  readonly id: string | undefined;
}

export interface NewTopic {
  readonly name: string;
  /** -1 = the broker's default. */
  readonly partitions: number;
  /** -1 = the broker's default. */
  readonly replicationFactor: number;
  readonly config: Readonly<Record<string, string>>;
}

/** Offsets of a partition's first record and of its end, open transactions included. */
export interface OffsetRange {
  readonly low: number;
  readonly high: number;
}

/** One epoch of a transactional id. One call at a time; after an error that is not expected only `abort` and `close`. */
export interface TransactionalProducer {
  /** Fences every older producer of the transactional id and aborts what it left open. */
  initTransactions(): Promise<void>;
  begin(): Promise<void>;
  /**
   * Copies the message into the local queue. False: the queue is full, try again later. Throws when the message cannot be
   * sent, and then the transaction must not be committed: it would lack the message.
   */
  produce(
    topic: string,
    partition: number,
    value: Buffer | null,
    key: Buffer | null,
    headers: readonly MessageHeader[] | undefined,
  ): boolean;
  /**
   * Goes on with a batch: counts `sent` up as far as the queue has room. Like calls of `produce`, only cheaper, and the messages that
   * are left are sorted by partition; undefined where the client has nothing cheaper.
   */
  readonly produceBatch?: ((topic: string, batch: MessageBatch) => void) | undefined;
  commit(): Promise<void>;
  abort(): Promise<void>;
  /** Why `produce` is refused in the current transaction: the error that happened in the background. Changes nothing. */
  reasonToAbort(): Promise<unknown>;
  /** Undefined: there is no such topic. Never creates it. Afterwards `produce` knows the partitions too. */
  describeTopic(topic: string): Promise<TopicDescription | undefined>;
  createTopic(topic: NewTopic): Promise<void>;
  /** Of partition 0. */
  offsets(topic: string): Promise<OffsetRange>;
  /** Waits for the call that is under way, then lets go of everything. Never throws; what is uncommitted is lost. */
  close(): Promise<void>;
}

export interface CommittedRecord {
  readonly offset: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
}

export interface Stretch {
  readonly topic: string;
  /** Offsets of partition 0; `to` is the first one that does not belong to it. */
  readonly from: number;
  readonly to: number;
  readonly limitMs: number;
}

export interface CommittedReader {
  /**
   * Hands over the committed records of partition 0 between the offsets, in order, and resolves when everything before
   * `to` is decided: a transaction of somebody else that is still open there is waited for. False: `limitMs` ran out.
   * Rejects when the signal is aborted.
   */
  read(stretch: Stretch, onRecord: (record: CommittedRecord) => void, signal: AbortSignal): Promise<boolean>;
  /** Never throws. */
  close(): Promise<void>;
}
