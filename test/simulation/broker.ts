import type {MessageHeader} from '../../src/targets/kafka/client.ts';
import type {Time} from './time.ts';

/** Error codes of the Kafka protocol that the model answers with. */
export const ANSWER = {
  unknownTopic: 3,
  messageTooLarge: 10,
  topicExists: 36,
  outOfOrderSequence: 45,
  invalidEpoch: 47,
  invalidState: 48,
  unknownProducer: 49,
  invalidTimeout: 50,
  concurrentTransactions: 51,
  timedOut: 7,
  producerFenced: 90,
} as const;

export class Refused extends Error {
  override readonly name = 'Refused';
  readonly code: number;
  constructor(code: number, message: string) {
    super(message);
    this.code = code;
  }
}

export interface ModelMessage {
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: readonly MessageHeader[] | undefined;
}

/** A producer's transaction as one partition knows it. */
interface PartitionTransaction {
  readonly producer: number;
  readonly first: number;
  outcome: 'open' | 'committed' | 'aborted';
}

type LogEntry =
  | {readonly kind: 'message'; readonly message: ModelMessage; readonly of: PartitionTransaction | undefined}
  | {readonly kind: 'marker'};

interface ProducerState {
  readonly epoch: number;
  readonly lastSequence: number;
}

class Partition {
  readonly log: LogEntry[] = [];
  readonly open = new Map<number, PartitionTransaction>();
  readonly producers = new Map<number, ProducerState>();

  /** Where the decided part ends. */
  get stable(): number {
    let end = this.log.length;
    for (const {first} of this.open.values()) end = Math.min(end, first);
    return end;
  }
}

export interface ModelTopic {
  readonly name: string;
  readonly id: string;
  readonly partitions: readonly Partition[];
  readonly maxMessageBytes: number;
}

export interface ProducerIdentity {
  readonly producer: number;
  readonly epoch: number;
}

/** The coordinator's record of one transactional id. */
interface Coordination {
  readonly transactionalId: string;
  readonly producer: number;
  epoch: number;
  state: 'empty' | 'ongoing' | 'prepareCommit' | 'prepareAbort' | 'committed' | 'aborted';
  timeoutMs: number;
  partitions: Map<string, Partition>;
  forgetTimeout: () => void;
}

export interface CommittedData {
  readonly transactionalId: string;
  readonly epoch: number;
  readonly messages: readonly {readonly topic: string; readonly partition: number; readonly message: ModelMessage}[];
}

export interface BrokerOptions {
  readonly time: Time;
  /** Milliseconds until a partition has got the mark of a transaction's end. */
  readonly markerDelay?: (() => number) | undefined;
  /** Hears what becomes certain, at the moment in which it does. */
  readonly onCommit?: ((data: CommittedData) => void) | undefined;
  /** True: the batch that arrives is refused for good. */
  readonly refuse?: (() => boolean) | undefined;
  readonly trace?: ((line: string) => void) | undefined;
}

export interface Fetched {
  readonly records: readonly {readonly offset: number; readonly message: ModelMessage}[];
  /** Where the next fetch has to begin. */
  readonly next: number;
}

const MAX_TRANSACTION_TIMEOUT_MS = 900_000;

/**
 * A Kafka cluster as the protocol shows it to a producer that uses transactions (KIP-98, and of KIP-890 the check that a
 * partition belongs to the transaction): sequence numbers, producer ids and epochs, a coordinator with time-outs and a commit in
 * two phases, the last stable offset. Synchronous: the network around it is somebody else's.
 *
 * Not in it: epochs that rise with every transaction (a client would have to speak version 2 of the protocol). So a copy of an
 * end-of-transaction request must not arrive in a later transaction of the same epoch, which the network sees to.
 */
export class ModelBroker {
  readonly #options: BrokerOptions;
  readonly #topics = new Map<string, ModelTopic>();
  readonly #coordinations = new Map<string, Coordination>();
  #nextProducer = 1000;
  #nextTopic = 1;

  constructor(options: BrokerOptions) {
    this.#options = options;
  }

  get topicNames(): string[] {
    return [...this.#topics.keys()];
  }

  createTopic(name: string, partitions: number, maxMessageBytes = 1_048_588): void {
    if (this.#topics.has(name)) throw new Refused(ANSWER.topicExists, `topic ${name} exists`);
    this.#topics.set(name, {
      name,
      id: String(this.#nextTopic++).padStart(32, '0'),
      partitions: Array.from({length: partitions === -1 ? 1 : partitions}, () => new Partition()),
      maxMessageBytes,
    });
  }

  deleteTopic(name: string): void {
    this.#topics.delete(name);
  }

  describe(name: string): ModelTopic | undefined {
    return this.#topics.get(name);
  }

  /** Of partition 0, open transactions included. */
  end(name: string): number {
    return this.#partition(name, 0).log.length;
  }

  initProducer(transactionalId: string, timeoutMs: number): ProducerIdentity {
    if (timeoutMs > MAX_TRANSACTION_TIMEOUT_MS)
      throw new Refused(ANSWER.invalidTimeout, 'transaction timeout too large');
    let known = this.#coordinations.get(transactionalId);
    if (known === undefined) {
      known = {
        transactionalId,
        producer: this.#nextProducer++,
        epoch: -1,
        state: 'empty',
        timeoutMs,
        partitions: new Map(),
        forgetTimeout: () => undefined,
      };
      this.#coordinations.set(transactionalId, known);
    }
    if (known.state === 'ongoing') this.#fenceAndAbort(known);
    this.#refuseWhilePreparing(known);
    known.epoch++;
    known.state = 'empty';
    known.timeoutMs = timeoutMs;
    this.#trace(`${transactionalId} has epoch ${known.epoch}`);
    return {producer: known.producer, epoch: known.epoch};
  }

  addPartitions(
    transactionalId: string,
    who: ProducerIdentity,
    partitions: readonly (readonly [topic: string, partition: number])[],
  ): void {
    const known = this.#known(transactionalId, who);
    this.#refuseWhilePreparing(known);
    const found = partitions.map(([topic, partition]) => this.#partition(topic, partition));
    if (known.state !== 'ongoing') {
      known.state = 'ongoing';
      known.partitions = new Map();
      known.forgetTimeout = this.#options.time.after(known.timeoutMs, () => {
        this.#trace(`${transactionalId} is out of time`);
        this.#fenceAndAbort(known);
      });
    }
    for (const [i, [topic, partition]] of partitions.entries()) known.partitions.set(`${topic}/${partition}`, found[i]);
  }

  /** `sequence`: of the first message, counted per partition from the producer's initialisation on. */
  produce(
    transactionalId: string,
    who: ProducerIdentity,
    topic: string,
    partition: number,
    sequence: number,
    messages: readonly ModelMessage[],
  ): void {
    const log = this.#partition(topic, partition);
    const known = this.#coordinations.get(transactionalId);
    const before = log.producers.get(who.producer);
    if (before !== undefined && who.epoch < before.epoch)
      throw new Refused(ANSWER.invalidEpoch, 'a newer epoch has written here');
    const lastSequence = before?.epoch === who.epoch ? before.lastSequence : -1;
    // A copy of what is there already.
    if (sequence <= lastSequence) return;
    if (sequence !== lastSequence + 1) throw new Refused(ANSWER.outOfOrderSequence, 'a message is missing');
    if (
      known?.state !== 'ongoing' ||
      known.producer !== who.producer ||
      known.epoch !== who.epoch ||
      !known.partitions.has(`${topic}/${partition}`)
    ) {
      throw known !== undefined && known.epoch > who.epoch
        ? new Refused(ANSWER.invalidEpoch, 'a newer epoch exists')
        : new Refused(ANSWER.invalidState, 'the partition is not part of a transaction');
    }
    const limit = this.#topics.get(topic)!.maxMessageBytes;
    const size = messages.reduce((sum, {key, value}) => sum + 70 + (key?.length ?? 0) + (value?.length ?? 0), 0);
    if (size > limit) throw new Refused(ANSWER.messageTooLarge, 'the batch is too large');
    if (this.#options.refuse?.() === true) throw new Refused(ANSWER.timedOut, 'it was not replicated in time');
    let of = log.open.get(who.producer);
    if (of === undefined) {
      of = {producer: who.producer, first: log.log.length, outcome: 'open'};
      log.open.set(who.producer, of);
    }
    for (const message of messages) log.log.push({kind: 'message', message, of});
    log.producers.set(who.producer, {epoch: who.epoch, lastSequence: lastSequence + messages.length});
  }

  endTransaction(transactionalId: string, who: ProducerIdentity, commit: boolean): void {
    const known = this.#known(transactionalId, who);
    if (known.state === (commit ? 'committed' : 'aborted')) return;
    this.#refuseWhilePreparing(known);
    if (known.state !== 'ongoing')
      throw new Refused(ANSWER.invalidState, `no transaction to end in state ${known.state}`);
    this.#prepare(known, commit);
  }

  /** Committed messages from `from` up to `to` or to where the decided part ends. */
  fetch(topic: string, partition: number, from: number, to: number): Fetched {
    const log = this.#partition(topic, partition);
    const next = Math.max(from, Math.min(to, log.stable));
    const records: {offset: number; message: ModelMessage}[] = [];
    for (let offset = from; offset < next; offset++) {
      const entry = log.log[offset];
      if (entry.kind === 'message' && (entry.of === undefined || entry.of.outcome === 'committed')) {
        records.push({offset, message: entry.message});
      }
    }
    return {records, next};
  }

  /** What a reader sees who does not ask whether it was committed. */
  uncommitted(topic: string, partition: number): ModelMessage[] {
    return this.#partition(topic, partition).log.flatMap(entry => (entry.kind === 'message' ? [entry.message] : []));
  }

  #known(transactionalId: string, who: ProducerIdentity): Coordination {
    const known = this.#coordinations.get(transactionalId);
    if (known?.producer !== who.producer) throw new Refused(ANSWER.unknownProducer, 'nobody knows that producer');
    if (who.epoch !== known.epoch) throw new Refused(ANSWER.producerFenced, `epoch is ${known.epoch} by now`);
    return known;
  }

  #refuseWhilePreparing({state}: Coordination): void {
    if (state === 'prepareCommit' || state === 'prepareAbort') {
      throw new Refused(ANSWER.concurrentTransactions, 'the last transaction is still being ended');
    }
  }

  #fenceAndAbort(known: Coordination): void {
    known.epoch++;
    this.#prepare(known, false);
  }

  /** From here on the outcome is certain, although the partitions do not know it yet. */
  #prepare(known: Coordination, commit: boolean): void {
    const {markerDelay, onCommit} = this.#options;
    known.forgetTimeout();
    known.state = commit ? 'prepareCommit' : 'prepareAbort';
    this.#trace(`${known.transactionalId} ${commit ? 'commits' : 'aborts'} epoch ${known.epoch}`);
    if (commit && onCommit !== undefined) {
      const messages: CommittedData['messages'][number][] = [];
      for (const [name, partition] of known.partitions) {
        const cut = name.lastIndexOf('/');
        const open = partition.open.get(known.producer);
        if (open === undefined) continue;
        for (const entry of partition.log.slice(open.first)) {
          if (entry.kind !== 'message' || entry.of !== open) continue;
          messages.push({topic: name.slice(0, cut), partition: Number(name.slice(cut + 1)), message: entry.message});
        }
      }
      onCommit({transactionalId: known.transactionalId, epoch: known.epoch, messages});
    }
    let missing = known.partitions.size;
    const mark = (partition: Partition): void => {
      const open = partition.open.get(known.producer);
      if (open !== undefined) {
        open.outcome = commit ? 'committed' : 'aborted';
        partition.open.delete(known.producer);
        partition.log.push({kind: 'marker'});
      }
      const state = partition.producers.get(known.producer);
      if (state !== undefined && state.epoch < known.epoch) {
        partition.producers.set(known.producer, {epoch: known.epoch, lastSequence: -1});
      }
      if (--missing === 0) known.state = commit ? 'committed' : 'aborted';
    };
    if (missing === 0) known.state = commit ? 'committed' : 'aborted';
    for (const partition of known.partitions.values()) {
      const ms = markerDelay?.() ?? 0;
      if (ms === 0) mark(partition);
      else this.#options.time.after(ms, () => mark(partition));
    }
  }

  #partition(name: string, partition: number): Partition {
    const found = this.#topics.get(name)?.partitions[partition];
    if (found === undefined) throw new Refused(ANSWER.unknownTopic, `no partition ${partition} of ${name}`);
    return found;
  }

  #trace(line: string): void {
    this.#options.trace?.(`broker: ${line}`);
  }
}
