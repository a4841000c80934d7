import type {
  CommittedReader,
  CommittedRecord,
  KafkaClient,
  NewTopic,
  OffsetRange,
  Stretch,
  TopicDescription,
  TransactionalProducer,
} from '../../src/targets/kafka/client.ts';
import {DEFAULT_TIMEOUTS, type KafkaTimeouts} from '../../src/targets/kafka/client-config.ts';
import type {KafkaError} from '../../src/targets/kafka/kafka-errors.ts';
import {ANSWER, type ModelBroker, type ModelMessage, type ProducerIdentity, Refused} from './broker.ts';
import type {Life} from './life.ts';
import {Connection, Cut, type RequestKind, type Weather} from './network.ts';

export interface ModelClientOptions {
  readonly life: Life;
  readonly broker: ModelBroker;
  readonly weather: Weather;
  readonly transactionalId: string;
  readonly timeouts?: Partial<KafkaTimeouts> | undefined;
  /** Messages that the local queue takes. */
  readonly queueMessages?: number | undefined;
}

interface ProducerSettings {
  readonly batchBytes: number;
  readonly transactionMs: number;
}

/** After so long a client that has lost its connection, or was told to wait, asks again. */
const RETRY_MS = 20;
const LINGER_MS = 10;
const POLL_MS = 50;

/** librdkafka's codes. */
const LOCAL = {
  fatal: -150,
  state: -172,
  fenced: -144,
  timedOut: -185,
  unknownPartition: -190,
  transport: -195,
} as const;

function kafkaError(code: number, message: string, flags: Partial<KafkaError> = {}): KafkaError {
  return Object.assign(new Error(message), {code, ...flags});
}

/**
 * The Kafka client as the target sees it, before the model of a broker. It does what librdkafka does, as far as that shows: it sends
 * again what was lost, in order and with the same sequence numbers, gives up at the time-outs, and reports with librdkafka's
 * codes and flags. What was seen of the real one is the table of cases in conformance.ts.
 */
export class ModelClient implements KafkaClient {
  readonly #options: ModelClientOptions;
  readonly #timeouts: KafkaTimeouts;
  #last: ModelProducer | undefined;

  constructor(options: ModelClientOptions) {
    this.#options = options;
    this.#timeouts = {...DEFAULT_TIMEOUTS, ...options.timeouts};
  }

  /** Of the producer that was connected last; -1 = it has none. */
  get epoch(): number {
    return this.#last?.epoch ?? -1;
  }

  async connectProducer(batchBytes: number, transactionMs: number): Promise<ModelProducer> {
    await this.#connect();
    this.#last = new ModelProducer(this.#options, this.#timeouts, {batchBytes, transactionMs});
    return this.#last;
  }

  async connectReader(): Promise<ModelReader> {
    await this.#connect();
    return new ModelReader(this.#options);
  }

  async #connect(): Promise<void> {
    const {life, weather} = this.#options;
    const deadline = life.clock.now() + this.#timeouts.connect;
    await persist(
      life,
      deadline,
      () => new Connection(life, weather).call('connect', () => undefined),
      LOCAL.transport,
    );
  }
}

/** Asks again after a cut and where the server says to wait; a call that hears nothing ends at the deadline, and fails with `code`. */
async function persist<T>(life: Life, deadline: number, call: () => Promise<T>, code: number): Promise<T> {
  const {clock} = life;
  for (;;) {
    const left = deadline - clock.now();
    if (left <= 0) throw kafkaError(code, 'timed out', {isRetriable: true});
    let forget = (): void => undefined;
    const late = new Promise<never>((_, reject) => {
      forget = life.after(left, () => reject(kafkaError(code, 'timed out', {isRetriable: true})));
    });
    try {
      return await Promise.race([call(), late]);
    } catch (error) {
      const again = error instanceof Cut || (error instanceof Refused && error.code === ANSWER.concurrentTransactions);
      if (!again) throw error;
    } finally {
      forget();
    }
    await clock.sleep(RETRY_MS);
  }
}

interface Outbox {
  readonly topic: string;
  readonly partition: number;
  /** Not acknowledged; the first `sending` of them are on their way. */
  readonly messages: ModelMessage[];
  sending: number;
  sequence: number;
  added: boolean;
}

type ProducerState =
  | {readonly name: 'new' | 'ready' | 'inTransaction' | 'ending'}
  /** The transaction must be aborted. */
  | {readonly name: 'abortable'; readonly error: KafkaError}
  | {readonly name: 'fatal'; readonly error: KafkaError};

export class ModelProducer implements TransactionalProducer {
  readonly #options: ModelClientOptions;
  readonly #timeouts: KafkaTimeouts;
  readonly #settings: ProducerSettings;
  readonly #coordinator: Connection;
  readonly #leaders = new Map<number, Connection>();
  readonly #admin: Connection;
  readonly #outboxes = new Map<string, Outbox>();
  readonly #partitions = new Map<string, number>();
  readonly #calls = new Set<Promise<unknown>>();
  #queued = 0;
  #state: ProducerState = {name: 'new'};
  #who: ProducerIdentity | undefined;
  #adding: Promise<void> | undefined;
  #sendPlanned = false;
  #flushed: (() => void)[] = [];
  #closing = false;
  /** Nothing is sent any more. */
  #closed = false;

  constructor(options: ModelClientOptions, timeouts: KafkaTimeouts, settings: ProducerSettings) {
    this.#options = options;
    this.#timeouts = timeouts;
    this.#settings = settings;
    this.#coordinator = this.#connection();
    this.#admin = this.#connection();
  }

  get epoch(): number {
    return this.#who?.epoch ?? -1;
  }

  initTransactions(): Promise<void> {
    return this.#call(async () => {
      const {broker, transactionalId} = this.#options;
      const ask = () =>
        this.#coordinator.call('initProducer', () =>
          broker.initProducer(transactionalId, this.#settings.transactionMs),
        );
      try {
        this.#who = await this.#persist('init', ask);
      } catch (error) {
        throw error instanceof Refused ? kafkaError(error.code, error.message, {isFatal: true}) : error;
      }
      this.#state = {name: 'ready'};
    });
  }

  begin(): Promise<void> {
    return this.#call(() => {
      const state = this.#state;
      if (state.name === 'abortable' || state.name === 'fatal') throw state.error;
      if (state.name !== 'ready') throw kafkaError(LOCAL.state, `no transaction can begin in state ${state.name}`);
      this.#state = {name: 'inTransaction'};
      for (const outbox of this.#outboxes.values()) outbox.added = false;
      return Promise.resolve();
    });
  }

  produce(
    topic: string,
    partition: number,
    value: Buffer | null,
    key: Buffer | null,
    headers: ModelMessage['headers'],
  ): boolean {
    const {name} = this.#state;
    if (name === 'fatal') throw kafkaError(LOCAL.fatal, 'the producer has failed');
    if (name !== 'inTransaction') throw kafkaError(LOCAL.state, `nothing can be produced in state ${name}`);
    const partitions = this.#partitions.get(topic);
    if (partitions !== undefined && partition >= partitions) {
      throw kafkaError(LOCAL.unknownPartition, `no partition ${partition} of ${topic}`);
    }
    if (this.#queued >= (this.#options.queueMessages ?? 100_000) || this.#options.weather.queuesAreFull === true)
      return false;
    const id = `${topic}/${partition}`;
    let outbox = this.#outboxes.get(id);
    if (outbox === undefined) {
      outbox = {topic, partition, messages: [], sending: 0, sequence: 0, added: false};
      this.#outboxes.set(id, outbox);
    }
    outbox.messages.push({key: copy(key), value: copy(value), headers});
    this.#queued++;
    this.#planSend(LINGER_MS);
    return true;
  }

  commit(): Promise<void> {
    return this.#call(async () => {
      this.#throwFailure();
      if (this.#state.name !== 'inTransaction') throw kafkaError(LOCAL.state, 'no transaction to commit');
      const deadline = this.#options.life.clock.now() + this.#timeouts.commit;
      await this.#flush(deadline);
      this.#throwFailure();
      this.#state = {name: 'ending'};
      await this.#end(true, deadline);
    });
  }

  abort(): Promise<void> {
    return this.#call(async () => {
      const {name} = this.#state;
      if (name === 'fatal') throw this.#state.error;
      if (name !== 'inTransaction' && name !== 'abortable')
        throw kafkaError(LOCAL.state, `nothing to abort in state ${name}`);
      const deadline = this.#options.life.clock.now() + this.#timeouts.abort;
      this.#state = {name: 'ending'};
      for (const outbox of this.#outboxes.values()) {
        outbox.messages.length = 0;
        outbox.sending = 0;
      }
      this.#queued = 0;
      await this.#adding?.catch(() => undefined);
      await this.#end(false, deadline);
    });
  }

  reasonToAbort(): Promise<unknown> {
    const state = this.#state;
    return Promise.resolve(state.name === 'abortable' || state.name === 'fatal' ? state.error : undefined);
  }

  async describeTopic(topic: string): Promise<TopicDescription | undefined> {
    const found = await this.#ask('admin', () => this.#options.broker.describe(topic));
    if (found === undefined) return undefined;
    this.#partitions.set(topic, found.partitions.length);
    return {partitions: found.partitions.length, id: found.id};
  }

  createTopic({name, partitions, config}: NewTopic): Promise<void> {
    const limit = config['max.message.bytes'];
    return this.#ask('admin', () =>
      this.#options.broker.createTopic(name, partitions, limit === undefined ? undefined : Number(limit)),
    );
  }

  offsets(topic: string): Promise<OffsetRange> {
    return this.#ask('admin', () => ({low: 0, high: this.#options.broker.end(topic)}));
  }

  async close(): Promise<void> {
    this.#closing = true;
    while (this.#calls.size > 0) await Promise.allSettled(this.#calls);
    this.#closed = true;
  }

  #connection(): Connection {
    return new Connection(this.#options.life, this.#options.weather);
  }

  #persist<T>(time: 'init' | 'admin', call: () => Promise<T>): Promise<T> {
    const {life} = this.#options;
    return persist(life, life.clock.now() + this.#timeouts[time], call, LOCAL.timedOut);
  }

  #ask<T>(kind: RequestKind, serve: () => T): Promise<T> {
    return this.#call(async () => {
      try {
        return await this.#persist('admin', () => this.#admin.call(kind, serve));
      } catch (error) {
        throw error instanceof Refused ? kafkaError(error.code, error.message) : error;
      }
    });
  }

  #call<T>(work: () => Promise<T>): Promise<T> {
    if (this.#closing) return Promise.reject(new Error('the producer is being closed'));
    const call = (async () => work())();
    this.#calls.add(call);
    const forget = (): void => void this.#calls.delete(call);
    call.then(forget, forget);
    return call;
  }

  #throwFailure(): void {
    const state = this.#state;
    if (state.name === 'abortable' || state.name === 'fatal') throw state.error;
  }

  async #end(commit: boolean, deadline: number): Promise<void> {
    const {life, broker, transactionalId} = this.#options;
    const who = this.#who!;
    const ask = () =>
      this.#coordinator.call('endTransaction', () => broker.endTransaction(transactionalId, who, commit));
    try {
      // A transaction that the coordinator has never heard of is over by itself.
      if ([...this.#outboxes.values()].some(({added}) => added)) await persist(life, deadline, ask, LOCAL.timedOut);
      this.#state = {name: 'ready'};
    } catch (error) {
      if (error instanceof Refused) this.#fail(error);
      this.#throwFailure();
      throw error;
    }
  }

  /** Until everything that was produced is acknowledged or the transaction has failed. */
  async #flush(deadline: number): Promise<void> {
    this.#planSend(0);
    const {life} = this.#options;
    while (this.#queued > 0 && this.#state.name === 'inTransaction') {
      if (life.clock.now() >= deadline) throw kafkaError(LOCAL.timedOut, 'timed out', {isRetriable: true});
      await new Promise<void>(resolve => {
        this.#flushed.push(resolve);
        life.after(deadline - life.clock.now(), resolve);
      });
    }
  }

  #planSend(ms: number): void {
    if (ms > 0 && this.#sendPlanned) return;
    this.#sendPlanned = true;
    this.#options.life.after(ms, () => {
      this.#sendPlanned = false;
      this.#send();
    });
  }

  #send(): void {
    if (this.#state.name !== 'inTransaction' || this.#closed) return;
    const waiting = [...this.#outboxes.values()].filter(({messages, sending}) => messages.length > 0 && sending === 0);
    const missing = waiting.filter(({added}) => !added);
    if (missing.length > 0) this.#adding ??= this.#add(missing);
    for (const outbox of waiting) if (outbox.added) this.#sendFrom(outbox);
  }

  async #add(missing: readonly Outbox[]): Promise<void> {
    const {broker, transactionalId} = this.#options;
    const who = this.#who!;
    const partitions = missing.map(({topic, partition}) => [topic, partition] as const);
    try {
      await this.#again(() =>
        this.#coordinator.call('addPartitions', () => broker.addPartitions(transactionalId, who, partitions)),
      );
      for (const outbox of missing) outbox.added = true;
    } catch (error) {
      this.#fail(error);
    }
    this.#adding = undefined;
    this.#send();
  }

  #sendFrom(outbox: Outbox): void {
    const {broker, transactionalId} = this.#options;
    const who = this.#who!;
    const {topic, partition, sequence} = outbox;
    const batch: ModelMessage[] = [];
    let bytes = 0;
    for (const message of outbox.messages) {
      bytes += 70 + (message.key?.length ?? 0) + (message.value?.length ?? 0);
      if (batch.length > 0 && bytes > this.#settings.batchBytes) break;
      batch.push(message);
    }
    outbox.sending = batch.length;
    const leader = this.#leader(partition);
    this.#again(() =>
      leader.call('produce', () => broker.produce(transactionalId, who, topic, partition, sequence, batch)),
    ).then(
      () => {
        // Thrown away meanwhile.
        if (outbox.sending === 0) return;
        outbox.sequence += batch.length;
        outbox.messages.splice(0, batch.length);
        outbox.sending = 0;
        this.#queued -= batch.length;
        if (this.#queued === 0) this.#wakeFlush();
        else this.#send();
      },
      (error: unknown) => this.#fail(error),
    );
  }

  /** Until it is answered, in order: the transaction's own deadlines end the waiting. */
  async #again(call: () => Promise<void>): Promise<void> {
    const {life} = this.#options;
    const limitMs = Math.min(this.#settings.transactionMs, this.#timeouts.transaction);
    await persist(life, life.clock.now() + limitMs, call, LOCAL.timedOut);
  }

  /** As librdkafka judges the answers that end a transaction. */
  #fail(error: unknown): void {
    if (this.#state.name === 'fatal' || (this.#state.name !== 'inTransaction' && this.#state.name !== 'ending')) return;
    const code = error instanceof Refused ? error.code : LOCAL.timedOut;
    const message = error instanceof Error ? error.message : String(error);
    if (code === ANSWER.invalidEpoch || code === ANSWER.producerFenced) {
      this.#state = {name: 'fatal', error: kafkaError(LOCAL.fenced, message, {isFatal: true})};
    } else if (code === ANSWER.invalidState || code === ANSWER.unknownProducer || code === ANSWER.outOfOrderSequence) {
      this.#state = {name: 'fatal', error: kafkaError(code, message, {isFatal: true})};
    } else {
      this.#state = {name: 'abortable', error: kafkaError(code, message, {isTxnRequiresAbort: true})};
    }
    this.#wakeFlush();
  }

  #wakeFlush(): void {
    for (const resolve of this.#flushed.splice(0)) resolve();
  }

  #leader(partition: number): Connection {
    const node = partition % 3;
    let connection = this.#leaders.get(node);
    if (connection === undefined) {
      connection = this.#connection();
      this.#leaders.set(node, connection);
    }
    return connection;
  }
}

export class ModelReader implements CommittedReader {
  readonly #options: ModelClientOptions;

  constructor(options: ModelClientOptions) {
    this.#options = options;
  }

  async read(
    {topic, from, to, limitMs}: Stretch,
    onRecord: (record: CommittedRecord) => void,
    signal: AbortSignal,
  ): Promise<boolean> {
    const {life, broker, weather} = this.#options;
    const {clock} = life;
    const connection = new Connection(life, weather);
    const deadline = clock.now() + limitMs;
    let position = from;
    while (position < to) {
      signal.throwIfAborted();
      if (clock.now() > deadline) return false;
      const start = position;
      const fetched = await persist(
        life,
        Math.max(deadline, clock.now() + 1),
        () => connection.call('fetch', () => broker.fetch(topic, 0, start, to)),
        LOCAL.timedOut,
      ).catch((error: unknown) => {
        if (clock.now() >= deadline) return undefined;
        throw error instanceof Refused ? kafkaError(error.code, error.message) : error;
      });
      if (fetched === undefined) return false;
      for (const {offset, message} of fetched.records) onRecord({offset, key: message.key, value: message.value});
      if (fetched.next === position) await clock.sleep(POLL_MS);
      position = fetched.next;
    }
    return true;
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

function copy(bytes: Buffer | null): Buffer | null {
  return bytes === null ? null : Buffer.from(bytes);
}
