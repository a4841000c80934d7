import type {Clock} from '../../base/clock.ts';
import {crashPoint} from '../../base/crash-point.ts';
import type {SinkDefinition} from '../../catalog/definitions.ts';
import {seahashMod} from '../../formats/seahash.ts';
import {Transient} from '../../sinks/errors.ts';
import type {ChangeBatch, LogicalTime, WrittenSoFar} from '../../sinks/target.ts';
import type {RowShape} from '../../types/relation.ts';
import type {TransactionalProducer} from './client.ts';
import {MessageBatch} from './message-batch.ts';
import {MessageEncoder} from './message-encoder.ts';

const TIMESTAMP_HEADER = 'materialize-timestamp';

/** After so many messages (about 5 ms) the event loop gets its turn, or timers, heartbeats and leases would starve. */
const TURN_AFTER = 2000;

/** What is said of a message that is too large: a row's values are nobody's business, its key finds it. */
export interface MessageSize {
  readonly bytes: number;
  /** Undefined where the sink has no key. */
  readonly key: string | undefined;
}

export interface BatchWriterOptions {
  readonly sink: SinkDefinition;
  readonly producer: Pick<TransactionalProducer, 'produce' | 'produceBatch'>;
  readonly partitions: number;
  readonly clock: Clock;
}

/** The hot path: rows into messages, messages into the client's queue, all within a transaction that somebody else has begun. */
export class BatchWriter {
  /** May be raised while we write: a key then goes to another partition from there on, as with every Kafka producer. */
  partitions: number;
  readonly #options: BatchWriterOptions;
  readonly #topic: string;
  /** Encoded messages that the client has not got yet. Empty between two writes. */
  readonly #out = new MessageBatch();
  readonly #encoders = new WeakMap<RowShape, MessageEncoder>();
  #headerTime: LogicalTime | undefined;
  #sinceTurn = 0;
  #stopped = false;
  #messages = 0;
  #bytes = 0;
  #largest: MessageSize = {bytes: 0, key: undefined};

  constructor(options: BatchWriterOptions) {
    this.#options = options;
    this.#topic = options.sink.target.topic;
    this.partitions = options.partitions;
  }

  get written(): WrittenSoFar {
    return {messages: this.#messages, bytes: this.#bytes};
  }

  /** Since `startTransaction`. */
  get largest(): MessageSize {
    return this.#largest;
  }

  startTransaction(): void {
    this.#largest = {bytes: 0, key: undefined};
  }

  /** A write that is waiting for room fails instead of going on. */
  stop(): void {
    this.#stopped = true;
  }

  /** Throws what the client throws, or rejects with it; then the transaction must not be committed. */
  write(batch: ChangeBatch): Promise<void> | undefined {
    const at = this.#push(batch, 0);
    if (at < batch.count || this.#out.left > 0 || this.#sinceTurn >= TURN_AFTER) return this.#drain(batch, at);
    crashPoint('kafka-after-produce');
    return undefined;
  }

  /** What `write` was about to hand over when it threw. */
  get current(): MessageSize {
    return this.#sizeOf(this.#out.sent);
  }

  async #drain(batch: ChangeBatch, from: number): Promise<void> {
    const {clock} = this.#options;
    let at = from;
    do {
      // A full queue empties by itself while the broker takes messages: that is the back-pressure.
      await (this.#out.left > 0 ? clock.sleep(1) : clock.turn());
      if (this.#stopped) throw new Transient('the target was closed while it was writing');
      this.#sinceTurn = 0;
      if (this.#send()) at = this.#push(batch, at);
    } while (at < batch.count || this.#out.left > 0);
    crashPoint('kafka-after-produce');
  }

  /** Returns the row to go on with: behind the last one, or where the queue was full or it was time for a turn. */
  #push(batch: ChangeBatch, from: number): number {
    const {bytes, before, after} = batch;
    const encoder = this.#encoderFor(batch.shape);
    const out = this.#out;
    this.#useHeader(batch.time);
    const end = Math.min(batch.count, from + TURN_AFTER - this.#sinceTurn);
    let at = from;
    for (; at < end; at++) {
      if (out.isFull && !this.#send()) break;
      const valueAt = encoder.encode(bytes, before[at], after[at], out.out);
      const {keyAt, keyLength} = encoder;
      const partition = keyLength < 0 ? 0 : seahashMod(out.out.buf, keyAt, keyAt + keyLength, this.partitions);
      out.add(partition, keyAt, keyLength, Math.max(0, valueAt), valueAt >= 0);
    }
    this.#send();
    this.#sinceTurn += at - from;
    return at;
  }

  /** False: the client has no room for all of it. */
  #send(): boolean {
    const {producer} = this.#options;
    const out = this.#out;
    const from = out.sent;
    try {
      if (producer.produceBatch !== undefined) producer.produceBatch(this.#topic, out);
      else while (out.left > 0 && out.produce(producer, this.#topic, out.sent)) out.sent++;
    } finally {
      this.#count(from, out.sent);
    }
    if (out.left > 0) return false;
    out.clear();
    return true;
  }

  #count(from: number, to: number): void {
    const out = this.#out;
    let largest = this.#largest.bytes;
    let which = -1;
    for (let message = from; message < to; message++) {
      const bytes = out.size(message);
      this.#bytes += bytes + out.headerBytes;
      if (bytes <= largest) continue;
      largest = bytes;
      which = message;
    }
    this.#messages += to - from;
    if (which !== -1) this.#largest = this.#sizeOf(which);
  }

  #sizeOf(message: number): MessageSize {
    return {bytes: this.#out.size(message), key: this.#out.key(message)?.toString('utf8')};
  }

  #encoderFor(shape: RowShape): MessageEncoder {
    let encoder = this.#encoders.get(shape);
    if (encoder === undefined) {
      encoder = new MessageEncoder(shape, this.#options.sink);
      this.#encoders.set(shape, encoder);
    }
    return encoder;
  }

  #useHeader(time: LogicalTime): void {
    if (time === this.#headerTime) return;
    this.#headerTime = time;
    this.#out.setHeader(TIMESTAMP_HEADER, String(time));
  }
}
