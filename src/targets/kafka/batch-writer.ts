import type {Clock} from '../../base/clock.ts';
import {crashPoint} from '../../base/crash-point.ts';
import type {SinkDefinition} from '../../catalog/definitions.ts';
import {seahashMod} from '../../formats/seahash.ts';
import {Transient} from '../../sinks/errors.ts';
import type {ChangeBatch, LogicalTime, WrittenSoFar} from '../../sinks/target.ts';
import type {RowShape} from '../../types/relation.ts';
import type {MessageHeader, TransactionalProducer} from './client.ts';
import {MessageBytes, MessageEncoder} from './message-encoder.ts';

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
  readonly producer: Pick<TransactionalProducer, 'produce'>;
  readonly partitions: number;
  readonly clock: Clock;
}

/** The hot path: rows into messages, messages into the client's queue, all within a transaction that somebody else has begun. */
export class BatchWriter {
  /** May be raised while we write: a key then goes to another partition from there on, as with every Kafka producer. */
  partitions: number;
  readonly #options: BatchWriterOptions;
  readonly #topic: string;
  readonly #key = new MessageBytes();
  readonly #value = new MessageBytes();
  readonly #encoders = new WeakMap<RowShape, MessageEncoder>();
  #headers: MessageHeader[] = [];
  #headerTime: LogicalTime | undefined;
  #headerBytes = 0;
  #sinceTurn = 0;
  #queueFull = false;
  #stopped = false;
  #messages = 0;
  #bytes = 0;
  #currentBytes = 0;
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
    if (at < batch.count || this.#sinceTurn >= TURN_AFTER) return this.#drain(batch, at);
    crashPoint('kafka-after-produce');
    return undefined;
  }

  /** What `write` was about to hand over when it threw. */
  get current(): MessageSize {
    return {bytes: this.#currentBytes, key: this.#keyText()};
  }

  async #drain(batch: ChangeBatch, from: number): Promise<void> {
    const {clock} = this.#options;
    let at = from;
    do {
      // A full queue empties by itself while the broker takes messages: that is the back-pressure.
      await (this.#queueFull ? clock.sleep(1) : clock.turn());
      if (this.#stopped) throw new Transient('the target was closed while it was writing');
      this.#sinceTurn = 0;
      at = this.#push(batch, at);
    } while (at < batch.count);
    crashPoint('kafka-after-produce');
  }

  /** Returns the row to go on with: behind the last one, or where the queue was full or it was time for a turn. */
  #push(batch: ChangeBatch, from: number): number {
    const {bytes, before, after} = batch;
    const encoder = this.#encoderFor(batch.shape);
    const hasKey = this.#options.sink.key !== undefined;
    const {producer} = this.#options;
    this.#useHeaders(batch.time);
    this.#queueFull = false;
    const end = Math.min(batch.count, from + TURN_AFTER - this.#sinceTurn);
    let at = from;
    for (; at < end; at++) {
      const value = encoder.encode(bytes, before[at], after[at]) ? this.#value.view() : null;
      const key = hasKey ? this.#key.view() : null;
      const partition = key === null ? 0 : seahashMod(key, 0, key.length, this.partitions);
      this.#currentBytes = (key === null ? 0 : key.length) + (value === null ? 0 : value.length);
      if (!producer.produce(this.#topic, partition, value, key, this.#headers)) {
        this.#queueFull = true;
        break;
      }
      this.#count(this.#currentBytes);
    }
    this.#sinceTurn += at - from;
    return at;
  }

  #count(bytes: number): void {
    this.#messages++;
    this.#bytes += bytes + this.#headerBytes;
    if (bytes > this.#largest.bytes) this.#largest = {bytes, key: this.#keyText()};
  }

  #keyText(): string | undefined {
    return this.#options.sink.key === undefined ? undefined : this.#key.view().toString('utf8');
  }

  #encoderFor(shape: RowShape): MessageEncoder {
    let encoder = this.#encoders.get(shape);
    if (encoder === undefined) {
      encoder = new MessageEncoder(shape, this.#options.sink, this.#key, this.#value);
      this.#encoders.set(shape, encoder);
    }
    return encoder;
  }

  /** One array for all messages of a time: a new one for each would cost as much as the encoding. */
  #useHeaders(time: LogicalTime): void {
    if (time === this.#headerTime) return;
    const text = String(time);
    this.#headerTime = time;
    this.#headers = [{[TIMESTAMP_HEADER]: Buffer.from(text)}];
    this.#headerBytes = TIMESTAMP_HEADER.length + text.length;
  }
}
