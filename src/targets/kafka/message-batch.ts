import {ByteWriter} from '../../base/byte-writer.ts';
import type {MessageHeader, TransactionalProducer} from './client.ts';

/** What `cells` holds of a message. */
const PARTITION = 0;
const KEY_AT = 1;
const KEY_LENGTH = 2;
const VALUE_AT = 3;
const VALUE_LENGTH = 4;
const CELLS = 5;

const CAPACITY = 512;
/** Stays within the processor's cache, together with the rows that it was made of. */
const FULL_BYTES = 128 * 1024;

/**
 * Messages of one topic with one header, encoded one behind the other, on their way to the client. Memory is used again; what
 * comes out is valid until `clear`.
 */
export class MessageBatch {
  readonly out = new ByteWriter(2 * FULL_BYTES);
  /** Five numbers a message: partition, start and length of the key, start and length of the value; a length is -1 where there is none. */
  readonly cells = new Int32Array(CELLS * CAPACITY);
  count = 0;
  /** The client has these already. */
  sent = 0;
  headerName = '';
  headerValue: Buffer = Buffer.alloc(0);
  #headers: readonly MessageHeader[] = [];

  get isFull(): boolean {
    return this.count === CAPACITY || this.out.at >= FULL_BYTES;
  }

  get left(): number {
    return this.count - this.sent;
  }

  get headerBytes(): number {
    return this.headerName.length + this.headerValue.length;
  }

  /** Of all messages that follow; the batch must be empty. */
  setHeader(name: string, value: string): void {
    this.headerName = name;
    this.headerValue = Buffer.from(value);
    this.#headers = [{[name]: this.headerValue}];
  }

  /** Takes a message that has been appended to `out`; its value goes up to the end, unless it has none. */
  add(partition: number, keyAt: number, keyLength: number, valueAt: number, hasValue: boolean): void {
    const {cells} = this;
    const cell = CELLS * this.count++;
    cells[cell + PARTITION] = partition;
    cells[cell + KEY_AT] = keyAt;
    cells[cell + KEY_LENGTH] = keyLength;
    cells[cell + VALUE_AT] = valueAt;
    cells[cell + VALUE_LENGTH] = hasValue ? this.out.at - valueAt : -1;
  }

  partition(message: number): number {
    return this.cells[CELLS * message + PARTITION];
  }

  key(message: number): Buffer | null {
    return this.#bytes(CELLS * message + KEY_AT);
  }

  value(message: number): Buffer | null {
    return this.#bytes(CELLS * message + VALUE_AT);
  }

  /** Of key and value. */
  size(message: number): number {
    const {cells} = this;
    const cell = CELLS * message;
    return Math.max(0, cells[cell + KEY_LENGTH]) + Math.max(0, cells[cell + VALUE_LENGTH]);
  }

  /** Hands one message over by itself; as `TransactionalProducer.produce`. */
  produce(producer: Pick<TransactionalProducer, 'produce'>, topic: string, message: number): boolean {
    return producer.produce(topic, this.partition(message), this.value(message), this.key(message), this.#headers);
  }

  clear(): void {
    this.out.at = 0;
    this.count = 0;
    this.sent = 0;
  }

  #bytes(cell: number): Buffer | null {
    const [at, length] = [this.cells[cell], this.cells[cell + 1]];
    return length < 0 ? null : this.out.buf.subarray(at, at + length);
  }
}
