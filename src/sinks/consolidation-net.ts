import {HashTable, finishHash, hashBytes} from './consolidation-table.ts';
import type {TupleSink} from './consolidation-tuples.ts';

const MIN_ARENA = 16 * 1024;
/** What `reset` keeps of the arena and of each list. */
const KEPT_ARENA = 1024 * 1024;
const KEPT_CELLS = 64 * 1024;
/** A key with more distinct rows than this has them in a table. */
const LONG_CHAIN = 8;
/** Offsets are 31 bits. */
const MAX_ARENA = 0x7fffffff;

// A row: where it lies, the next row of its key, and how often it is to be inserted (or deleted, below zero).
const ROW = 4;
const ROW_AT = 0;
const ROW_END = 1;
const ROW_NEXT = 2;
const ROW_COUNT = 3;

// A key: its hash, its first and last row, how many there are.
const KEY = 4;
const KEY_HASH = 0;
const KEY_HEAD = 1;
const KEY_TAIL = 2;
const KEY_ROWS = 3;

/** Net changes, as `ChangeBatch` has them. */
export interface NetRows {
  readonly bytes: Buffer;
  readonly count: number;
  readonly before: Int32Array;
  readonly after: Int32Array;
}

/**
 * The net difference that a sequence of changes makes, in memory: per key the distinct rows with a count each, keys and rows
 * in the order in which they were first touched. Rows are pgoutput tuples and equal when their bytes are. Written for
 * 0.1 to 0.3 µs a change: no object per row, and nothing that has to be cleared between two uses.
 */
export class NetChanges implements TupleSink {
  readonly #keyColumns: Int32Array | undefined;
  readonly #seed: number;
  #arena = Buffer.allocUnsafeSlow(MIN_ARENA);
  #view = new DataView(this.#arena.buffer);
  #end = 0;
  #rows = new Int32Array(ROW * 256);
  #rowCount = 0;
  #keys = new Int32Array(KEY * 256);
  #keyCount = 0;
  readonly #keyTable = new HashTable();
  /** Rows of keys that have many; made for the first of them. */
  #rowTable: HashTable | undefined;
  /** Bytes of the key fields of two tuples, as (start, end) each. */
  readonly #place: Int32Array;
  readonly #otherPlace: Int32Array;
  #before = new Int32Array(256);
  #after = new Int32Array(256);
  #deletions = new Int32Array(16);
  #insertions = new Int32Array(16);

  /** Columns of the key by position in the tuple; undefined = the whole row is the key. Another seed is another hash. */
  constructor(keyColumns: readonly number[] | undefined, seed: number) {
    this.#keyColumns = keyColumns === undefined ? undefined : Int32Array.from(keyColumns);
    this.#seed = Math.imul(seed, 0x9e3779b1);
    this.#place = new Int32Array(2 * (keyColumns?.length ?? 0));
    this.#otherPlace = this.#place.slice();
  }

  /** Memory that what has been added needs, overhead included. */
  get bytesUsed(): number {
    return this.#end + 4 * ROW * this.#rowCount + 64 * this.#keyCount;
  }

  /** Memory that is kept, for all that has been added since the last `reset`. */
  get bytesHeld(): number {
    return this.#arena.length + 4 * (this.#rows.length + this.#keys.length) + this.#keyTable.bytesHeld;
  }

  get keyCount(): number {
    return this.#keyCount;
  }

  /** Where the next tuple begins. Tuples are appended first and then added. */
  get end(): number {
    return this.#end;
  }

  uint16(value: number): void {
    this.#reserve(2);
    this.#arena[this.#end++] = value >>> 8;
    this.#arena[this.#end++] = value;
  }

  bytes(buf: Buffer, start: number, end: number): void {
    this.#reserve(end - start);
    buf.copy(this.#arena, this.#end, start, end);
    this.#end += end - start;
  }

  /** The tuple that was appended from `at` up to `end` is inserted `count` times, or deleted when that is negative. */
  add(at: number, end: number, count: number): void {
    const key = this.#keyOf(at, end);
    if (!this.#addTo(key, at, end, count) && end === this.#end) this.#end = at;
  }

  /** The tuple from `oldAt` up to `oldEnd` becomes the one at `newAt`, which goes up to the end of what was appended. */
  replace(oldAt: number, oldEnd: number, newAt: number): void {
    const newEnd = this.#end;
    if (this.#sameBytes(oldAt, oldEnd, newAt, newEnd)) {
      this.#end = oldAt;
      return;
    }
    const oldKey = this.#keyOf(oldAt, oldEnd);
    const newKey = this.#hasKeyOf(newAt, oldAt) ? oldKey : -1;
    if (this.#addTo(oldKey, oldAt, oldEnd, -1)) {
      if (!this.#addTo(newKey === -1 ? this.#keyOf(newAt, newEnd) : newKey, newAt, newEnd, 1)) this.#end = newAt;
      return;
    }
    // The old row was known, so its copy goes.
    this.#arena.copyWithin(oldAt, newAt, newEnd);
    this.#end = oldAt + newEnd - newAt;
    const key = newKey === -1 ? this.#keyOf(oldAt, this.#end) : newKey;
    if (!this.#addTo(key, oldAt, this.#end, 1)) this.#end = oldAt;
  }

  /**
   * The net changes, in order: per key deletions and insertions are paired position by position; deletions that are left over
   * come before the pairs, insertions after them. Valid until the next `reset` or change.
   */
  take(): NetRows {
    const keys = this.#keys;
    const rows = this.#rows;
    let count = 0;
    for (let key = 0; key < this.#keyCount; key++) {
      const row = ROW * keys[KEY * key + KEY_HEAD];
      const next = ROW * rows[row + ROW_NEXT];
      if (count + 2 > this.#before.length) this.#growOutput(count + 2);
      const times = rows[row + ROW_COUNT];
      if (next < 0 && (times === 1 || times === -1)) {
        this.#before[count] = times < 0 ? rows[row + ROW_AT] : -1;
        this.#after[count] = times > 0 ? rows[row + ROW_AT] : -1;
        count++;
      } else if (next >= 0 && times === -1 && rows[next + ROW_COUNT] === 1 && rows[next + ROW_NEXT] < 0) {
        this.#before[count] = rows[row + ROW_AT]!;
        this.#after[count] = rows[next + ROW_AT]!;
        count++;
      } else {
        count = this.#takeLong(row, count);
      }
    }
    return {bytes: this.#arena, count, before: this.#before, after: this.#after};
  }

  /** Calls back with every row that is left, key by key, ordered by the highest `bits` bits of the key's hash. */
  forEachByPartition(
    bits: number,
    visit: (partition: number, arena: Buffer, at: number, end: number, count: number) => void,
  ): void {
    const keys = this.#keys;
    const rows = this.#rows;
    const shift = 32 - bits;
    const partitions = 1 << bits;
    const starts = new Int32Array(partitions + 1);
    for (let key = 0; key < this.#keyCount; key++) starts[(keys[KEY * key + KEY_HASH] >>> shift) + 1]++;
    for (let i = 0; i < partitions; i++) starts[i + 1] += starts[i];
    const order = new Int32Array(this.#keyCount);
    for (let key = 0; key < this.#keyCount; key++) order[starts[keys[KEY * key + KEY_HASH] >>> shift]++] = key;
    for (const key of order) {
      for (let row = keys[KEY * key + KEY_HEAD]; row !== -1; row = rows[ROW * row + ROW_NEXT]!) {
        const count = rows[ROW * row + ROW_COUNT];
        if (count === 0) continue;
        visit(
          keys[KEY * key + KEY_HASH] >>> shift,
          this.#arena,
          rows[ROW * row + ROW_AT],
          rows[ROW * row + ROW_END],
          count,
        );
      }
    }
  }

  /** Forgets everything and keeps the memory for as much again. */
  clear(): void {
    this.#end = 0;
    this.#rowCount = 0;
    this.#keyCount = 0;
    this.#keyTable.clear();
    this.#rowTable = undefined;
  }

  /** Forgets everything; memory beyond a small rest goes back. */
  reset(): void {
    this.clear();
    this.#keyTable.trim();
    if (this.#arena.length > KEPT_ARENA) this.#useArena(Buffer.allocUnsafeSlow(MIN_ARENA));
    if (this.#rows.length > KEPT_CELLS) this.#rows = new Int32Array(ROW * 256);
    if (this.#keys.length > KEPT_CELLS) this.#keys = new Int32Array(KEY * 256);
    if (this.#before.length > KEPT_CELLS) {
      this.#before = new Int32Array(256);
      this.#after = new Int32Array(256);
    }
    if (this.#deletions.length > KEPT_CELLS) this.#deletions = new Int32Array(16);
    if (this.#insertions.length > KEPT_CELLS) this.#insertions = new Int32Array(16);
  }

  /** False: an equal row was there and has been counted, so these bytes are not needed. */
  #addTo(key: number, at: number, end: number, count: number): boolean {
    const keys = this.#keys;
    const chain = keys[KEY * key + KEY_ROWS];
    if (chain > LONG_CHAIN) return this.#addToLong(key, at, end, count);
    const rows = this.#rows;
    if (chain > 0) {
      for (let row = keys[KEY * key + KEY_HEAD]; row !== -1; row = rows[ROW * row + ROW_NEXT]!) {
        if (this.#sameBytes(rows[ROW * row + ROW_AT], rows[ROW * row + ROW_END], at, end)) {
          rows[ROW * row + ROW_COUNT] += count;
          return false;
        }
      }
    }
    this.#append(key, at, end, count);
    if (chain === LONG_CHAIN) this.#makeLong(key);
    return true;
  }

  #append(key: number, at: number, end: number, count: number): number {
    if (ROW * (this.#rowCount + 1) > this.#rows.length) this.#rows = grown(this.#rows, this.#rows.length + 1);
    const keys = this.#keys;
    const rows = this.#rows;
    const row = this.#rowCount++;
    rows[ROW * row + ROW_AT] = at;
    rows[ROW * row + ROW_END] = end;
    rows[ROW * row + ROW_NEXT] = -1;
    rows[ROW * row + ROW_COUNT] = count;
    if (keys[KEY * key + KEY_ROWS]++ === 0) keys[KEY * key + KEY_HEAD] = row;
    else rows[ROW * keys[KEY * key + KEY_TAIL] + ROW_NEXT] = row;
    keys[KEY * key + KEY_TAIL] = row;
    return row;
  }

  #makeLong(key: number): void {
    this.#rowTable ??= new HashTable();
    for (let row = this.#keys[KEY * key + KEY_HEAD]; row !== -1; row = this.#rows[ROW * row + ROW_NEXT]!) {
      const hash = this.#rowHash(this.#rows[ROW * row + ROW_AT], this.#rows[ROW * row + ROW_END]);
      let slot = this.#rowTable.first(hash);
      while (this.#rowTable.idAt(slot) !== -1) slot = this.#rowTable.next(slot);
      this.#rowTable.put(slot, row, hash);
    }
  }

  #addToLong(key: number, at: number, end: number, count: number): boolean {
    const table = this.#rowTable!;
    const hash = this.#rowHash(at, end);
    for (let slot = table.first(hash); ; slot = table.next(slot)) {
      const row = table.idAt(slot);
      if (row === -1) {
        table.put(slot, this.#append(key, at, end, count), hash);
        return true;
      }
      // Rows with equal bytes have the same key, so it need not be compared.
      if (
        table.hashAt(slot) === hash &&
        this.#sameBytes(this.#rows[ROW * row + ROW_AT], this.#rows[ROW * row + ROW_END], at, end)
      ) {
        this.#rows[ROW * row + ROW_COUNT] += count;
        return false;
      }
    }
  }

  #rowHash(at: number, end: number): number {
    return finishHash(hashBytes(this.#view, at, end, this.#seed));
  }

  /** The id of the tuple's key. A new one has no row yet and must get one at once. */
  #keyOf(at: number, end: number): number {
    const hash = this.#keyHash(at, end);
    const table = this.#keyTable;
    for (let slot = table.first(hash); ; slot = table.next(slot)) {
      const key = table.idAt(slot);
      if (key === -1) {
        const created = this.#keyCount++;
        if (KEY * this.#keyCount > this.#keys.length) this.#keys = grown(this.#keys, this.#keys.length + 1);
        this.#keys[KEY * created + KEY_HASH] = hash;
        this.#keys[KEY * created + KEY_ROWS] = 0;
        table.put(slot, created, hash);
        return created;
      }
      if (table.hashAt(slot) === hash && this.#isKey(key, at, end)) return key;
    }
  }

  #keyHash(at: number, end: number): number {
    const place = this.#place;
    if (this.#keyColumns === undefined) return this.#rowHash(at, end);
    this.#locateKey(at, place);
    let hash = this.#seed;
    for (let i = 0; i < place.length; i += 2) hash = hashBytes(this.#view, place[i], place[i + 1], hash);
    return finishHash(hash);
  }

  /** Compares with the tuple whose key `#keyHash` has just located. */
  #isKey(key: number, at: number, end: number): boolean {
    const row = ROW * this.#keys[KEY * key + KEY_HEAD];
    if (this.#keyColumns === undefined)
      return this.#sameBytes(this.#rows[row + ROW_AT], this.#rows[row + ROW_END], at, end);
    return this.#hasLocatedKey(this.#rows[row + ROW_AT]);
  }

  /** Whether the tuple at `at` has the same key as the one at `other`. */
  #hasKeyOf(at: number, other: number): boolean {
    if (this.#keyColumns === undefined) return false;
    this.#locateKey(other, this.#place);
    return this.#hasLocatedKey(at);
  }

  #hasLocatedKey(at: number): boolean {
    const place = this.#place;
    const other = this.#otherPlace;
    this.#locateKey(at, other);
    for (let i = 0; i < place.length; i += 2) {
      if (!this.#sameBytes(place[i], place[i + 1], other[i], other[i + 1])) return false;
    }
    return true;
  }

  /** Start (with the kind byte) and end of every key field of the tuple. */
  #locateKey(at: number, place: Int32Array): void {
    const view = this.#view;
    const columns = this.#keyColumns!;
    let column = 0;
    let field = at + 2;
    for (let i = 0; i < columns.length; i++) {
      const wanted = columns[i];
      if (wanted < column) {
        column = 0;
        field = at + 2;
      }
      for (; column < wanted; column++)
        field += view.getUint8(field) === 0x6e /* n */ ? 1 : 5 + view.getInt32(field + 1);
      place[2 * i] = field;
      place[2 * i + 1] = field + (view.getUint8(field) === 0x6e /* n */ ? 1 : 5 + view.getInt32(field + 1));
    }
  }

  #sameBytes(at: number, end: number, otherAt: number, otherEnd: number): boolean {
    const length = end - at;
    if (otherEnd - otherAt !== length) return false;
    if (length > 512) return this.#arena.compare(this.#arena, otherAt, otherEnd, at, end) === 0;
    const view = this.#view;
    const last = end - 4;
    for (; at <= last; at += 4, otherAt += 4) if (view.getInt32(at) !== view.getInt32(otherAt)) return false;
    for (; at < end; at++, otherAt++) if (view.getUint8(at) !== view.getUint8(otherAt)) return false;
    return true;
  }

  #takeLong(head: number, count: number): number {
    const rows = this.#rows;
    let deletions = 0;
    let insertions = 0;
    for (let row = head; row >= 0; row = ROW * rows[row + ROW_NEXT]) {
      for (let times = rows[row + ROW_COUNT]; times < 0; times++) {
        if (deletions === this.#deletions.length) this.#deletions = grown(this.#deletions, deletions + 1);
        this.#deletions[deletions++] = rows[row + ROW_AT]!;
      }
      for (let times = rows[row + ROW_COUNT]; times > 0; times--) {
        if (insertions === this.#insertions.length) this.#insertions = grown(this.#insertions, insertions + 1);
        this.#insertions[insertions++] = rows[row + ROW_AT]!;
      }
    }
    const pairs = Math.min(deletions, insertions);
    this.#growOutput(count + deletions + insertions);
    for (let i = pairs; i < deletions; i++) count = this.#emit(count, this.#deletions[i], -1);
    for (let i = 0; i < pairs; i++) count = this.#emit(count, this.#deletions[i], this.#insertions[i]);
    for (let i = pairs; i < insertions; i++) count = this.#emit(count, -1, this.#insertions[i]);
    return count;
  }

  #emit(count: number, before: number, after: number): number {
    this.#before[count] = before;
    this.#after[count] = after;
    return count + 1;
  }

  #growOutput(count: number): void {
    if (count <= this.#before.length) return;
    this.#before = grown(this.#before, count);
    this.#after = grown(this.#after, count);
  }

  #reserve(bytes: number): void {
    const need = this.#end + bytes;
    if (need <= this.#arena.length) return;
    if (need > MAX_ARENA) throw new RangeError(`rows of ${need} bytes cannot be held together`);
    const arena = Buffer.allocUnsafeSlow(Math.min(MAX_ARENA, Math.max(need, this.#arena.length * 2)));
    this.#arena.copy(arena, 0, 0, this.#end);
    this.#useArena(arena);
  }

  #useArena(arena: Buffer<ArrayBuffer>): void {
    this.#arena = arena;
    this.#view = new DataView(arena.buffer);
  }
}

function grown(list: Int32Array<ArrayBuffer>, length: number): Int32Array<ArrayBuffer> {
  const larger = new Int32Array(Math.max(length, list.length * 2));
  larger.set(list);
  return larger;
}
