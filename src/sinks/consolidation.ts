import type {RowShape} from '../types/relation.ts';
import {NetChanges, type NetRows} from './consolidation-net.ts';
import {Spill, drainSpill} from './consolidation-spill.ts';
import {TupleRebuilder, skipTuple} from './consolidation-tuples.ts';
import {Stall} from './errors.ts';
import type {ChangeBatch, LogicalTime} from './target.ts';

export interface ConsolidationOptions {
  /** Of the batches that come out; `framing` must be pgoutput. */
  readonly shape: RowShape;
  /** Columns of `shape` by which changes are paired; undefined = each distinct row stands for itself. */
  readonly key: readonly number[] | undefined;
  /** Is made when it is needed. Files in it are ours alone and worth nothing after a crash. */
  readonly spillDirectory: string;
  /** Changes of more bytes than that go to files. */
  readonly budgetBytes: number;
}

/** One for all: it holds nothing between two calls, and its lists are large. */
const rebuilder = new TupleRebuilder();

/**
 * Collects the changes of one logical time and one relation and yields what they amount to: equal
 * rows cancel, and of each key the deletions and insertions that remain become updates in the order of their positions.
 * Rows are compared by their bytes. All tuples are framed as pgoutput and valid during the call only.
 */
export class Consolidation {
  readonly #shape: RowShape;
  readonly #key: readonly number[] | undefined;
  readonly #spillDirectory: string;
  readonly #budgetBytes: number;
  readonly #net: NetChanges;
  #pick: Int32Array | undefined;
  #spill: Spill | undefined;

  constructor({shape, key, spillDirectory, budgetBytes}: ConsolidationOptions) {
    if (shape.framing !== 'pgoutput') throw new Error(`changes framed as ${shape.framing} cannot be consolidated`);
    this.#shape = shape;
    this.#key = key;
    this.#spillDirectory = spillDirectory;
    this.#budgetBytes = budgetBytes;
    this.#net = new NetChanges(key, 0);
  }

  /** Which fields of the tuples that follow are the columns of the shape, in order; undefined = they are just these. */
  usePick(pick: Int32Array | undefined): void {
    this.#pick = pick;
  }

  /** Memory in use, without what is in files. Where there are files, what the next changes will need counts, too: it is kept. */
  get bytesUsed(): number {
    return this.#spill === undefined ? this.#net.bytesUsed : this.#net.bytesHeld;
  }

  /** True: `take` cannot give everything at once, use `drain`. */
  get isSpilled(): boolean {
    return this.#spill !== undefined;
  }

  insert(buf: Buffer, newAt: number): void {
    const at = this.#append(buf, -1, newAt);
    this.#net.add(at, this.#net.end, 1);
    if (this.#net.bytesUsed > this.#budgetBytes) this.#toFiles();
  }

  /** `oldAt` is the whole old row (REPLICA IDENTITY FULL): it completes TOASTed values that the new one does not repeat. */
  update(buf: Buffer, oldAt: number, newAt: number): void {
    const oldEnd = skipTuple(buf, oldAt);
    const newEnd = skipTuple(buf, newAt);
    if (this.#pick === undefined && newEnd >= 0 && newAt === oldEnd + 1) {
      // As it comes from the stream, with one byte between: both in one go.
      const at = this.#net.end;
      this.#net.bytes(buf, oldAt, newEnd);
      this.#net.replace(at, at + oldEnd - oldAt, at + newAt - oldAt);
    } else {
      const oldCopy = this.#append(buf, -1, oldAt);
      const newCopy = this.#append(buf, oldAt, newAt);
      this.#net.replace(oldCopy, newCopy, newCopy);
    }
    if (this.#net.bytesUsed > this.#budgetBytes) this.#toFiles();
  }

  delete(buf: Buffer, oldAt: number): void {
    const at = this.#append(buf, -1, oldAt);
    this.#net.add(at, this.#net.end, -1);
    if (this.#net.bytesUsed > this.#budgetBytes) this.#toFiles();
  }

  /**
   * The net changes in the order in which their keys were first touched; within a key surplus deletions, then updates, then
   * surplus insertions (an update that changes nothing touches nothing). Only for what is not spilled; valid until `reset`.
   */
  take(time: LogicalTime): ChangeBatch {
    if (this.#spill !== undefined) throw new Error('spilled changes must be drained');
    return this.#batch(this.#net.take(), time);
  }

  /** As `take`, in several batches, each valid until the next one. Changes of one key stay in order. Only once. */
  async *drain(time: LogicalTime): AsyncGenerator<ChangeBatch> {
    if (this.#spill === undefined) {
      yield this.take(time);
      return;
    }
    this.#toFiles();
    this.#net.reset();
    for await (const rows of drainSpill(this.#spill, this.#budgetBytes, seed => new NetChanges(this.#key, seed))) {
      if (rows.count > 0) yield this.#batch(rows, time);
    }
  }

  /** Forgets all changes and removes their files. */
  reset(): void {
    this.#net.reset();
    this.#spill?.remove();
    this.#spill = undefined;
  }

  close(): void {
    this.reset();
  }

  /** Appends the row of the sink that the tuple at `at` stands for and returns where. */
  #append(buf: Buffer, oldAt: number, at: number): number {
    const start = this.#net.end;
    const end = skipTuple(buf, at);
    if (end >= 0 && this.#pick === undefined) {
      this.#net.bytes(buf, at, end);
    } else if (!rebuilder.rebuild(buf, oldAt, at, this.#pick, this.#net)) {
      throw new Stall('SL004', `the log holds a change of "${this.#shape.name}" without the whole old row`, {
        hint: "Somebody changed the table's REPLICA IDENTITY. Set it to FULL, then drop the sink and create it again.",
      });
    }
    return start;
  }

  #toFiles(): void {
    this.#spill ??= new Spill(this.#spillDirectory, 0);
    this.#spill.append(this.#net);
    this.#net.clear();
  }

  #batch(rows: NetRows, time: LogicalTime): ChangeBatch {
    return {shape: this.#shape, time, bytes: rows.bytes, count: rows.count, before: rows.before, after: rows.after};
  }
}
