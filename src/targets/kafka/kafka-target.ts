import type {Logger} from 'pino';
import {systemClock, type Clock} from '../../base/clock.ts';
import {crashPoint} from '../../base/crash-point.ts';
import type {SinkDefinition} from '../../catalog/definitions.ts';
import {CommitUnknown, Fenced, Stall, Transient} from '../../sinks/errors.ts';
import {
  frontierOf,
  type ChangeBatch,
  type Progress,
  type Span,
  type Target,
  type WrittenSoFar,
} from '../../sinks/target.ts';
import {BatchWriter, type MessageSize} from './batch-writer.ts';
import {DEFAULT_TIMEOUTS, kafkaIds, MAX_BATCH_BYTES, type KafkaTimeouts} from './client-config.ts';
import type {KafkaClient, TopicDescription, TransactionalProducer} from './client.ts';
import {classify, CODE, isKafkaError, type KafkaCall} from './kafka-errors.ts';
import {LibrdkafkaClient} from './librdkafka-client.ts';
import {encodeProgress, progressKey, type ProgressRecord} from './progress-record.ts';
import {readProgress} from './read-progress.ts';
import {ensureDataTopic, ensureProgressTopic, findDataTopic, type TopicTools} from './topics.ts';

export interface KafkaTargetOptions {
  readonly sink: SinkDefinition;
  readonly environmentId: string;
  /** The life of this worker, for its progress records. */
  readonly writer?: string | undefined;
  readonly log: Logger;
  readonly timeouts?: Partial<KafkaTimeouts> | undefined;
  readonly clock?: Clock | undefined;
  /** Instead of librdkafka: for simulations. */
  readonly client?: KafkaClient | undefined;
}

/** Between `open` and `close`: one producer, one epoch of the sink's transactional id. */
interface Session {
  readonly producer: TransactionalProducer;
  readonly writer: BatchWriter;
  readonly tools: TopicTools;
  topic: TopicDescription;
  topicCheckedAt: number;
  frontier: bigint | undefined;
  state: 'idle' | 'in transaction' | 'committing' | 'failed';
  /** Why nothing more can be done with this producer. */
  failure: unknown;
}

/**
 * Writes a sink's changes to a Kafka topic, exactly once. Every commit is one Kafka transaction that holds the messages
 * and, last, a record in the progress topic; so a reader of committed data sees both or neither, and the next `open` reads
 * from the record where to go on. `open` first takes the transactional id over, which ends every older writer.
 *
 * Not its business: pairing of old and new rows, retries, and what a progress means for the change stream.
 */
export class KafkaTarget implements Target {
  readonly #sink: SinkDefinition;
  readonly #writer: string | undefined;
  readonly #log: Logger;
  readonly #clock: Clock;
  readonly #timeouts: KafkaTimeouts;
  readonly #client: KafkaClient;
  readonly #key: Buffer;
  #transactionMs: number;
  #session: Session | undefined;
  #opening: {readonly done: Promise<unknown>; readonly abandon: AbortController} | undefined;

  constructor({sink, environmentId, writer, log, timeouts, clock, client}: KafkaTargetOptions) {
    this.#sink = sink;
    this.#writer = writer;
    this.#log = log;
    this.#clock = clock ?? systemClock;
    this.#timeouts = {...DEFAULT_TIMEOUTS, ...timeouts};
    this.#client =
      client ??
      new LibrdkafkaClient({
        connection: sink.target.connection,
        ids: kafkaIds(sink, environmentId),
        compression: sink.target.compression,
        timeouts: this.#timeouts,
        log,
      });
    this.#key = Buffer.from(progressKey(sink.id));
    this.#transactionMs = this.#timeouts.transaction;
  }

  get transactionLimitMs(): number {
    return this.#transactionMs;
  }

  async open(span: Span = 'short'): Promise<Progress | undefined> {
    await this.close();
    const abandon = new AbortController();
    const done = this.#open(span, abandon.signal);
    this.#opening = {done, abandon};
    try {
      return await done;
    } finally {
      this.#opening = undefined;
    }
  }

  async #open(span: Span, signal: AbortSignal): Promise<Progress | undefined> {
    const producer = await this.#takeOver(span);
    try {
      crashPoint('kafka-after-fence');
      signal.throwIfAborted();
      const tools = {admin: producer, clock: this.#clock, log: this.#log, propagationMs: this.#timeouts.propagation};
      const record = await this.#readProgress(tools, producer, signal);
      crashPoint('kafka-after-read-progress');
      signal.throwIfAborted();
      if (record === undefined && this.#sink.committedOnce) {
        // The progress was lost. The sink loop says so; nothing that looks like a beginning must be made here.
        await producer.close();
        return undefined;
      }
      const topic = await this.#openTopic(tools, record);
      const {partitions} = topic;
      this.#session = {
        producer,
        writer: new BatchWriter({sink: this.#sink, producer, partitions, clock: this.#clock}),
        tools,
        topic,
        topicCheckedAt: this.#clock.now(),
        frontier: record === undefined ? undefined : frontierOf(record.own!.progress),
        state: 'idle',
        failure: undefined,
      };
      return record?.own!.progress;
    } catch (error) {
      await producer.close();
      throw error;
    }
  }

  async #takeOver(span: Span): Promise<TransactionalProducer> {
    const {transaction, longTransaction} = this.#timeouts;
    if (span === 'long') {
      try {
        return await this.#takeOverFor(longTransaction);
      } catch (error) {
        const cause = error instanceof Stall ? error.cause : undefined;
        if (!isKafkaError(cause) || cause.code !== CODE.INVALID_TRANSACTION_TIMEOUT) throw error;
        this.#log.info({longTransaction}, 'the broker allows no long transactions');
      }
    }
    return this.#takeOverFor(transaction);
  }

  async #takeOverFor(transactionMs: number): Promise<TransactionalProducer> {
    const {brokers} = this.#sink.target.connection;
    const producer = await attempt('connect', `connecting to Kafka at ${brokers.join(', ')}`, () =>
      this.#client.connectProducer(batchBytes(this.#sink), transactionMs),
    );
    try {
      await this.#fence(producer);
    } catch (error) {
      await producer.close();
      throw error;
    }
    this.#transactionMs = transactionMs;
    return producer;
  }

  /** Before reading the progress: what an older writer still has open could otherwise be committed behind it. */
  async #fence(producer: TransactionalProducer): Promise<void> {
    const doing = `taking over the transactional id of sink ${this.#sink.name}`;
    await attempt('init', doing, async () => {
      try {
        await producer.initTransactions();
      } catch (error) {
        // The request is still under way; the same producer waits on for its answer.
        if (!isKafkaError(error) || error.code !== CODE.TIMED_OUT || error.isRetriable !== true) throw error;
        await producer.initTransactions();
      }
    });
  }

  async #readProgress(
    tools: TopicTools,
    producer: TransactionalProducer,
    signal: AbortSignal,
  ): Promise<ProgressRecord | undefined> {
    const {id, target, committedOnce} = this.#sink;
    const topic = target.connection.progressTopic;
    if (!(await ensureProgressTopic(tools, target, !committedOnce))) return undefined;
    const record = await attempt('read', `reading progress topic ${topic}`, async () =>
      readProgress({
        connectReader: () => this.#client.connectReader(),
        topic,
        range: await producer.offsets(topic),
        sinkId: id,
        limitMs: this.#timeouts.readProgress,
        clock: this.#clock,
        signal,
      }),
    );
    if (record === undefined) return undefined;
    if (record.own === undefined) {
      throw new Stall(
        'SL112',
        `the last progress of sink ${this.#sink.name} in topic ${topic} was not written by Sluice`,
        {
          hint: 'It does not say where in the log of PostgreSQL to go on. Create a new sink with a topic of its own.',
        },
      );
    }
    return record;
  }

  async #openTopic(tools: TopicTools, record: ProgressRecord | undefined): Promise<TopicDescription> {
    const {target, envelope} = this.#sink;
    if (record === undefined) return ensureDataTopic(tools, target, envelope);
    return findDataTopic(tools.admin, target.topic, record.own!.topicId);
  }

  write(batch: ChangeBatch): Promise<void> | undefined {
    const session = this.#session;
    if (session?.state !== 'in transaction') return this.#beginAndWrite(session, batch);
    try {
      return session.writer.write(batch)?.catch((error: unknown) => this.#fail(session, error));
    } catch (error) {
      return this.#fail(session, error);
    }
  }

  async #beginAndWrite(opened: Session | undefined, batch: ChangeBatch): Promise<void> {
    const session = usable(opened);
    try {
      await this.#begin(session);
    } catch (error) {
      await this.#fail(session, error);
    }
    const room = this.write(batch);
    if (room !== undefined) await room;
  }

  async #begin(session: Session): Promise<void> {
    await session.producer.begin();
    session.state = 'in transaction';
    session.writer.startTransaction();
    crashPoint('kafka-after-begin');
  }

  async commit(progress: Progress): Promise<void> {
    const session = usable(this.#session);
    const frontier = frontierOf(progress);
    if (session.frontier !== undefined && frontier < session.frontier) {
      throw new Error(`progress of sink ${this.#sink.id} would go back from ${session.frontier} to ${frontier}`);
    }
    try {
      await this.#commit(session, progress);
    } catch (error) {
      await this.#fail(session, error);
    }
    session.frontier = frontier;
  }

  async #commit(session: Session, progress: Progress): Promise<void> {
    if (this.#clock.now() - session.topicCheckedAt >= this.#sink.target.metadataRefreshMs)
      await this.#checkTopic(session);
    if (session.state === 'idle') await this.#begin(session);
    const payload = encodeProgress({progress, topicId: session.topic.id, writer: this.#writer});
    while (!session.producer.produce(this.#sink.target.connection.progressTopic, 0, payload, this.#key, undefined)) {
      await this.#clock.sleep(1);
    }
    crashPoint('kafka-before-commit');
    if (session !== this.#session) throw new Transient('the target was closed before it could commit');
    session.state = 'committing';
    await session.producer.commit();
    session.state = 'idle';
    crashPoint('kafka-after-commit');
  }

  /** Before a commit that would otherwise say that rows are in a topic that is gone. */
  async #checkTopic(session: Session): Promise<void> {
    const name = this.#sink.target.topic;
    const topic = await findDataTopic(session.tools.admin, name, session.topic.id);
    if (topic.partitions !== session.topic.partitions) {
      session.writer.partitions = topic.partitions;
      this.#log.info({topic: name, partitions: topic.partitions}, 'the topic of the sink has more partitions');
    }
    session.topic = topic;
    session.topicCheckedAt = this.#clock.now();
  }

  written(): WrittenSoFar {
    return this.#session?.writer.written ?? {messages: 0, bytes: 0};
  }

  async close(): Promise<void> {
    const opening = this.#opening;
    if (opening !== undefined) {
      opening.abandon.abort(new Transient('the target was closed while it was being opened'));
      await opening.done.catch(() => undefined);
    }
    const session = this.#session;
    this.#session = undefined;
    if (session === undefined) return;
    session.writer.stop();
    // Nobody shall have to wait for the broker to time it out. Where the outcome of a commit is not known, or another
    // writer has taken over, there is nothing to abort.
    const {state, failure} = session;
    if (
      state === 'in transaction' ||
      (state === 'failed' && !(failure instanceof Fenced || failure instanceof CommitUnknown))
    ) {
      await session.producer.abort().catch((error: unknown) => {
        this.#log.info({error}, 'could not abort the transaction of the sink');
      });
    }
    await session.producer.close();
  }

  /** After any error the producer is of no more use: what it has taken may lack a message. */
  async #fail(session: Session, error: unknown): Promise<never> {
    const call = session.state === 'committing' ? 'commit' : 'produce';
    session.state = 'failed';
    session.failure = error;
    session.failure = await this.#explain(session, error, call);
    throw session.failure;
  }

  async #explain(session: Session, error: unknown, call: KafkaCall): Promise<unknown> {
    if (!isKafkaError(error)) return error;
    const {topic} = this.#sink.target;
    const refused = call === 'produce' && (error.code === CODE.STATE || error.code === CODE.FATAL);
    const cause = refused ? ((await session.producer.reasonToAbort()) ?? error) : error;
    if (isKafkaError(cause) && cause.code === CODE.MESSAGE_TOO_LARGE) {
      const now = !refused && call === 'produce';
      return this.#tooLarge(now ? session.writer.current : session.writer.largest, now, cause);
    }
    return classify(cause, call, `${call === 'commit' ? 'committing' : 'writing'} to topic ${topic}`);
  }

  /** A topic that takes less than a batch refuses whole batches: then smaller ones are tried first. */
  #tooLarge({bytes, key}: MessageSize, refusedByClient: boolean, cause: Error): unknown {
    const {topic} = this.#sink.target;
    const limit = batchBytes(this.#sink);
    if (!refusedByClient && bytes + MESSAGE_OVERHEAD < limit) {
      const smaller = Math.max(bytes + MESSAGE_OVERHEAD, Math.floor(limit / 4));
      learnedBatchBytes.set(topicOf(this.#sink), smaller);
      return new Transient(`a batch was too large for topic ${topic}; the next ones have at most ${smaller} bytes`, {
        cause,
      });
    }
    const which = key === undefined ? 'a message without key' : `the message with key ${shorten(key)}`;
    return new Stall('SL101', `${which} (${bytes} bytes) is too large for topic ${topic}`, {
      cause,
      hint: 'Raise max.message.bytes of the topic (message.max.bytes of the broker), or make the row smaller.',
    });
  }
}

/** More than what the client adds to one message in a batch. */
const MESSAGE_OVERHEAD = 512;

/** What the topics of this process's sinks were found to take; the client offers no way to read a topic's settings. */
const learnedBatchBytes = new Map<string, number>();

/** A target that is opened anew for the same sink has another definition object. */
function topicOf({target}: SinkDefinition): string {
  return `${target.topic} ${target.connection.brokers.join()}`;
}

function batchBytes(sink: SinkDefinition): number {
  const limit = Number(sink.target.topicConfig['max.message.bytes']);
  return learnedBatchBytes.get(topicOf(sink)) ?? (limit > 0 && limit < MAX_BATCH_BYTES ? limit : MAX_BATCH_BYTES);
}

function shorten(key: string): string {
  return key.length > 200 ? `${key.slice(0, 200)}…` : key;
}

function usable(session: Session | undefined): Session {
  if (session === undefined) throw new Error('the target is not open');
  if (session.state === 'failed') throw session.failure;
  if (session.state === 'committing') throw new Error('the target is committing');
  return session;
}

async function attempt<T>(call: KafkaCall, doing: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw classify(error, call, doing);
  }
}
