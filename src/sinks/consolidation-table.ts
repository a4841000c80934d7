const MIN_SLOTS = 1024;
/** What `trim` keeps. A larger table would make the small transactions after a large one miss the cache. */
const KEPT_SLOTS = 16 * 1024;

/**
 * An open-addressing table of ids and their 32-bit hashes; what equality means is the caller's business:
 *
 *     for (let slot = table.first(hash); ; slot = table.next(slot)) {
 *       const id = table.idAt(slot);
 *       if (id === -1) { table.put(slot, newId, hash); break; }
 *       if (table.hashAt(slot) === hash && sameThing(id)) { … break; }
 *     }
 *
 * Clearing costs nothing: a cell counts only if it was written since, which its number tells.
 */
export class HashTable {
  /** Two per slot: id + base + 1, hash. */
  #cells: Int32Array = new Int32Array(2 * MIN_SLOTS);
  #mask = MIN_SLOTS - 1;
  #base = 0;
  #count = 0;
  #nextBase = 0;

  get bytesHeld(): number {
    return 4 * this.#cells.length;
  }

  first(hash: number): number {
    return hash & this.#mask;
  }

  next(slot: number): number {
    return (slot + 1) & this.#mask;
  }

  /** -1 = the slot is free. */
  idAt(slot: number): number {
    const cell = this.#cells[2 * slot];
    return cell > this.#base ? cell - this.#base - 1 : -1;
  }

  hashAt(slot: number): number {
    return this.#cells[2 * slot + 1];
  }

  /** Into a free slot that the search for `hash` has led to. Slots found earlier are void afterwards. */
  put(slot: number, id: number, hash: number): void {
    const cell = this.#base + id + 1;
    this.#cells[2 * slot] = cell;
    this.#cells[2 * slot + 1] = hash;
    if (cell > this.#nextBase) this.#nextBase = cell;
    if (++this.#count * 2 > this.#mask) this.#grow();
  }

  clear(): void {
    this.#count = 0;
    this.#base = this.#nextBase;
    // Ids of the next round must not overflow.
    if (this.#base > 0x20000000) this.#restart(this.#cells.fill(0));
  }

  /** Gives memory beyond a small rest back. The table must be clear. */
  trim(): void {
    if (this.#mask >= KEPT_SLOTS) this.#restart(new Int32Array(2 * MIN_SLOTS));
  }

  #restart(cells: Int32Array): void {
    this.#cells = cells;
    this.#mask = cells.length / 2 - 1;
    this.#base = 0;
    this.#nextBase = 0;
  }

  #grow(): void {
    const old = this.#cells;
    const base = this.#base;
    this.#restart(new Int32Array(old.length * 2));
    const cells = this.#cells;
    for (let i = 0; i < old.length; i += 2) {
      if (old[i] <= base) continue;
      const cell = old[i] - base;
      const hash = old[i + 1];
      let slot = hash & this.#mask;
      while (cells[2 * slot] !== 0) slot = (slot + 1) & this.#mask;
      cells[2 * slot] = cell;
      cells[2 * slot + 1] = hash;
      if (cell > this.#nextBase) this.#nextBase = cell;
    }
  }
}

/** Murmur3-like over the bytes from `start` up to `end`; chained by passing the last result as `hash`. */
export function hashBytes(view: DataView, start: number, end: number, hash: number): number {
  let at = start;
  for (const last = end - 4; at <= last; at += 4) {
    let block = Math.imul(view.getInt32(at, true), 0xcc9e2d51);
    block = (block << 15) | (block >>> 17);
    hash ^= Math.imul(block, 0x1b873593);
    hash = Math.imul((hash << 13) | (hash >>> 19), 5) + 0xe6546b64;
  }
  if (at < end) {
    let rest = 0;
    for (; at < end; at++) rest = (rest << 8) | view.getUint8(at);
    rest = Math.imul(rest, 0xcc9e2d51);
    hash ^= Math.imul((rest << 15) | (rest >>> 17), 0x1b873593);
  }
  return hash | 0;
}

/** Makes every bit of the hash depend on all of them: the low ones choose the slot, the high ones the file. */
export function finishHash(hash: number): number {
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return hash ^ (hash >>> 16);
}
