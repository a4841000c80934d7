import type {
  IAdminClient,
  ListOffsetsResult,
  Metadata,
  OffsetSpec as OffsetSpecification,
  Producer as RdProducer,
  TopicDescription as RdTopicDescription,
} from '@confluentinc/kafka-javascript';
import type {Logger} from 'pino';
import type {KafkaTimeouts} from './client-config.ts';
import type {MessageHeader, NewTopic, OffsetRange, TopicDescription, TransactionalProducer} from './client.ts';
import {CODE, isKafkaError} from './kafka-errors.ts';
import type {MessageBatch} from './message-batch.ts';
import {NativeProduce} from './native-produce.ts';
import {AdminClient, ClientEvents, IsolationLevel, OffsetSpec, Producer, promised, type Done} from './librdkafka.ts';

/** What has not arrived by then is not worth the time that looking costs. */
const FLUSH_LOOKS = 10;
const FLUSH_LOOK_MS = 2;

/**
 * librdkafka's transactional producer as promises. The rules that it follows (never disconnect during a call, poll in the
 * background, no opaque) come from experiments in which each shortcut crashed the process, leaked or lost rows.
 */
export class LibrdkafkaProducer implements TransactionalProducer {
  readonly #handle: RdProducer;
  readonly #admin: IAdminClient;
  readonly #timeouts: KafkaTimeouts;
  readonly produceBatch: ((topic: string, batch: MessageBatch) => void) | undefined;
  readonly #calls = new Set<Promise<unknown>>();
  #closing: Promise<void> | undefined;

  private constructor(handle: RdProducer, timeouts: KafkaTimeouts, native: NativeProduce | undefined) {
    this.#handle = handle;
    this.produceBatch = native === undefined ? undefined : (topic, batch) => this.#produceBatch(native, topic, batch);
    this.#timeouts = timeouts;
    this.#admin = AdminClient.createFrom(handle);
  }

  /** `topic`: one whose metadata is asked for, because asking for none means all of the cluster's. */
  static async connect(
    config: Readonly<Record<string, string | number | boolean>>,
    topic: string,
    timeouts: KafkaTimeouts,
    log: Logger,
  ): Promise<LibrdkafkaProducer> {
    const native = NativeProduce.create();
    const handle = new Producer({...native?.config, ...config});
    const events = new ClientEvents(handle, log);
    try {
      // On failure it disconnects by itself before it calls back.
      await promised<Metadata>(done => handle.connect({topic, timeout: timeouts.connect}, done));
    } catch (error) {
      throw events.explain(error);
    }
    // Reports of failed deliveries that nobody collects would fill the queue.
    handle.setPollInBackground(true);
    return new LibrdkafkaProducer(handle, timeouts, native);
  }

  initTransactions(): Promise<void> {
    return this.#call(done => this.#handle.initTransactions(this.#timeouts.init, done));
  }

  begin(): Promise<void> {
    return this.#call(done => this.#handle.beginTransaction(done));
  }

  produce(
    topic: string,
    partition: number,
    value: Buffer | null,
    key: Buffer | null,
    headers: MessageHeader[] | undefined,
  ): boolean {
    try {
      // The opaque must be undefined: null would leak a handle for every message.
      this.#handle.produce(topic, partition, value, key, undefined, undefined, headers);
      return true;
    } catch (error) {
      if (isKafkaError(error) && error.code === CODE.QUEUE_FULL) return false;
      throw error;
    }
  }

  #produceBatch(native: NativeProduce, topic: string, batch: MessageBatch): void {
    while (batch.left > 0) {
      batch.sent += native.produce(topic, batch);
      // What it was refused for, the client's own call knows: a full queue, an error, or nothing that still holds.
      if (batch.left === 0 || !batch.produce(this, topic, batch.sent)) return;
      batch.sent++;
    }
  }

  commit(): Promise<void> {
    const {commit} = this.#timeouts;
    return this.#call(done => this.#flush(FLUSH_LOOKS, () => this.#handle.commitTransaction(commit, done)));
  }

  /** The call that commits would do it too, but looks only every 10 ms whether all has arrived. It is also the one that says what is wrong. */
  #flush(looks: number, then: () => void): void {
    this.#handle.flush(FLUSH_LOOK_MS, (error: unknown) => {
      if (error === undefined || error === null || looks === 1) then();
      else this.#flush(looks - 1, then);
    });
  }

  abort(): Promise<void> {
    return this.#call(done => this.#handle.abortTransaction(this.#timeouts.abort, done));
  }

  async reasonToAbort(): Promise<unknown> {
    try {
      // In a transaction it is always refused, and if the transaction has failed, with the error that made it fail.
      await this.begin();
    } catch (error) {
      return error;
    }
    return undefined;
  }

  async describeTopic(topic: string): Promise<TopicDescription | undefined> {
    const [found] = await this.#call<RdTopicDescription[]>(done =>
      this.#admin.describeTopics([topic], {timeout: this.#timeouts.admin}, done),
    );
    const error = found?.error;
    if (found === undefined || error?.code === CODE.UNKNOWN_TOPIC_OR_PARTITION) return undefined;
    if (error !== undefined) throw Object.assign(new Error(error.message), {code: error.code});
    const {mostSignificantBits: high, leastSignificantBits: low} = found.topicId;
    const id = (BigInt.asUintN(64, high) << 64n) | BigInt.asUintN(64, low);
    return {partitions: found.partitions.length, id: id === 0n ? undefined : id.toString(16).padStart(32, '0')};
  }

  createTopic({name, partitions, replicationFactor, config}: NewTopic): Promise<void> {
    const topic = {topic: name, num_partitions: partitions, replication_factor: replicationFactor, config: {...config}};
    return this.#call(done => this.#admin.createTopic(topic, this.#timeouts.admin, done));
  }

  async offsets(topic: string): Promise<OffsetRange> {
    const low = await this.#offset(topic, OffsetSpec.EARLIEST);
    const high = await this.#offset(topic, OffsetSpec.LATEST);
    return {low, high};
  }

  /** Not `queryWatermarkOffsets`, which stops at the first open transaction: progress behind it would be overlooked. */
  async #offset(topic: string, offset: OffsetSpecification): Promise<number> {
    const options = {timeout: this.#timeouts.admin, isolationLevel: IsolationLevel.READ_UNCOMMITTED};
    const [result] = await this.#call<ListOffsetsResult[]>(done =>
      this.#admin.listOffsets([{topic, partition: 0, offset}], options, done),
    );
    if (result?.error !== undefined) throw Object.assign(new Error(result.error.message), {code: result.error.code});
    return result.offset;
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    while (this.#calls.size > 0) await Promise.allSettled(this.#calls);
    // It flushes first; what is left in the queue belongs to a transaction that nobody will commit.
    await new Promise<void>(resolve => {
      this.#handle.disconnect(1, () => resolve());
    });
  }

  #call<T = void>(start: (done: Done<T>) => void): Promise<T> {
    if (this.#closing !== undefined) return Promise.reject(new Error('the producer is being closed'));
    const call = promised(start);
    this.#calls.add(call);
    const forget = (): void => void this.#calls.delete(call);
    call.then(forget, forget);
    return call;
  }
}
