import type {ByteWriter} from '../../base/byte-writer.ts';
import type {SinkDefinition} from '../../catalog/definitions.ts';
import {compileJsonEncoder, type EncodeRow} from '../../formats/json.ts';
import type {RowShape} from '../../types/relation.ts';
import {locatorFor, type LocateFields} from '../../types/tuple.ts';

/** Turns rows of one shape into messages (docs/formats.md). Compiled once, then no object per row or column. */
export class MessageEncoder {
  /** Where the key of the last message lies in `out`; the length is -1 for a sink without key. */
  keyAt = 0;
  keyLength = -1;
  readonly #locate: LocateFields;
  readonly #starts: Int32Array;
  readonly #lengths: Int32Array;
  readonly #encodeKey: EncodeRow | undefined;
  readonly #encodeRow: EncodeRow;
  readonly #debezium: boolean;

  constructor(shape: RowShape, sink: Pick<SinkDefinition, 'key' | 'envelope'>) {
    this.#locate = locatorFor(shape.framing);
    this.#starts = new Int32Array(shape.columns.length);
    this.#lengths = new Int32Array(shape.columns.length);
    this.#encodeKey = sink.key === undefined ? undefined : compileJsonEncoder(shape.columns, sink.key);
    this.#encodeRow = compileJsonEncoder(shape.columns);
    this.#debezium = sink.envelope === 'debezium';
  }

  /**
   * Appends the key (if the sink has one) and the value, in any order, and returns where the value begins. -1: the message is a
   * tombstone and has none. The offsets are -1 where there is no such row. The key is that of the row that remains; a row whose
   * key changes must come as a deletion and an insertion.
   */
  encode(bytes: Buffer, before: number, after: number, out: ByteWriter): number {
    return this.#debezium
      ? this.#encodeEvent(bytes, before, after, out)
      : this.#encodeUpsert(bytes, before, after, out);
  }

  #encodeUpsert(bytes: Buffer, before: number, after: number, out: ByteWriter): number {
    this.#find(bytes, after === -1 ? before : after);
    this.#putKey(bytes, out);
    if (after === -1) return -1;
    const at = out.at;
    this.#encodeRow(bytes, this.#starts, this.#lengths, out);
    return at;
  }

  #encodeEvent(bytes: Buffer, before: number, after: number, out: ByteWriter): number {
    this.#find(bytes, after === -1 ? before : after);
    this.#putKey(bytes, out);
    const at = out.at;
    out.ascii('{"before":');
    this.#encodeSide(bytes, before, out);
    out.ascii(',"after":');
    this.#encodeSide(bytes, after, out);
    out.byte(0x7d);
    return at;
  }

  /** Of the row that was found last. */
  #putKey(bytes: Buffer, out: ByteWriter): void {
    if (this.#encodeKey === undefined) return;
    this.keyAt = out.at;
    this.#encodeKey(bytes, this.#starts, this.#lengths, out);
    this.keyLength = out.at - this.keyAt;
  }

  #encodeSide(bytes: Buffer, at: number, out: ByteWriter): void {
    if (at === -1) {
      out.ascii('null');
    } else {
      this.#find(bytes, at);
      this.#encodeRow(bytes, this.#starts, this.#lengths, out);
    }
  }

  #find(bytes: Buffer, at: number): void {
    this.#locate(bytes, at, this.#starts, this.#lengths);
  }
}
