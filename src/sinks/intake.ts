import type {SinkDefinition} from '../catalog/definitions.ts';
import type {SnapshotFilter} from '../changes/snapshot-filter.ts';
import type {StreamRelation, TransactionStart} from '../changes/stream-listener.ts';
import {isVisible} from '../changes/visibility.ts';
import type {Lsn} from '../base/lsn.ts';
import type {RowShape} from '../types/relation.ts';
import {Consolidation} from './consolidation.ts';
import {matchShape, nameOf, type CurrentColumnNames} from './shape.ts';
import {identityChanged} from './stalls.ts';
import type {LogicalTime, Progress} from './target.ts';

/** A point between two transactions: where the next one may begin, and what the stream's clock said there. */
export interface Position {
  readonly endLsn: Lsn;
  /** The clock's own value: recorded with a confirmed position so that a replay tells the same times. */
  readonly clock: LogicalTime;
}

/** Changes of one logical time, or of the part of it that was cut off, ready to be written. */
export interface Slice {
  readonly changes: Consolidation;
  readonly time: LogicalTime;
  /** False where the slice was cut off before the stream had left its time behind. */
  readonly timeClosed: boolean;
  readonly end: Position;
  /** Memory that the changes held when they were queued. */
  readonly bytes: number;
  /** What must be remembered with this slice's end: transactions up to `filter.until` may still be in the snapshot. */
  readonly filter: SnapshotFilter | undefined;
}

export interface IntakeOptions {
  readonly definition: SinkDefinition;
  readonly progress: Progress;
  readonly currentNames: CurrentColumnNames;
  /** Where consolidations that outgrow `sliceBytes` go. */
  readonly spillDirectory: string;
  readonly sliceBytes: number;
}

/**
 * While a commit is under way a hundred slices may wait. A consolidation that is made anew costs its first slice five times what a
 * used one does; what it keeps when it is empty is some 60 kB (at most 3 MB after a large transaction).
 */
const KEPT_CONSOLIDATIONS = 32;

/**
 * One sink's ear at the change stream: drops what the sink has already got, gathers the rest into slices of one logical
 * time, and queues the slices. Synchronous throughout; the pump takes slices out at its own pace.
 */
export class SinkIntake {
  readonly queue: Slice[] = [];
  readonly #options: IntakeOptions;
  #definition: SinkDefinition;
  /** One object for all slices: targets compile an encoder for each shape that they meet. */
  readonly #shape: RowShape;
  readonly #free: Consolidation[] = [];
  /** Of the slices that are queued or being written. */
  #slicesBytes = 0;
  #filter: SnapshotFilter | undefined;
  /** Every transaction that ends at or before this has been taken in, or was in the target before. */
  #received: Lsn;
  #last: Position | undefined;
  /** Later changes carry at least this time: that of the snapshot, or of what the target had at the start. */
  #floor: LogicalTime;
  #relation: StreamRelation | undefined;
  #pick: Int32Array | undefined;
  #open: Consolidation | undefined;
  #openTime: LogicalTime = 0n;
  #openEnd: Position | undefined;
  /** As it was there: by the time the slice is queued the stream may have passed the snapshot. */
  #openFilter: SnapshotFilter | undefined;
  /** The transaction being heard: undefined between transactions, 'taken' once one of its changes is in the open slice. */
  #transaction: 'undecided' | 'taken' | 'skipped' | undefined;

  constructor(options: IntakeOptions) {
    this.#options = options;
    this.#definition = options.definition;
    this.#received = options.progress.endLsn;
    this.#floor = options.progress.time;
    this.#filter = options.progress.filter;
    const {relation, relationName, columns} = options.definition;
    this.#shape = {relation, schema: '', name: relationName, columns, framing: 'pgoutput'};
  }

  get definition(): SinkDefinition {
    return this.#definition;
  }

  /** What messages call the relation from now on. */
  rename(relationName: string): void {
    this.#definition = {...this.#definition, relationName};
  }

  get filter(): SnapshotFilter | undefined {
    return this.#filter;
  }

  /**
   * Up to here nothing of the stream is missing in the queue, the open slice or the target. Undefined until the stream has
   * come back to where the target already is: what the clock says there is not known before.
   */
  get received(): Position | undefined {
    return this.#last;
  }

  /** Like `received`, known from the start: an earlier transaction of the stream is not needed again. */
  get receivedLsn(): Lsn {
    return this.#received;
  }

  /** Bytes that have not been written: what back-pressure is measured by, at the end of every transaction. */
  get queuedBytes(): number {
    return this.#slicesBytes + (this.#open?.bytesUsed ?? 0);
  }

  get hasOpenSlice(): boolean {
    return this.#open !== undefined;
  }

  /** The time of the open slice. */
  get openTime(): LogicalTime | undefined {
    return this.#open === undefined ? undefined : this.#openTime;
  }

  /** True while changes of an unfinished transaction are in the open slice: they cannot be taken out again. */
  get isTorn(): boolean {
    return this.#transaction === 'taken';
  }

  /**
   * Another stream begins, somewhere. A transaction that the one before has broken off in counts for nothing: it comes again, or the
   * stream begins behind it. Only for an intake that is not torn.
   */
  startStream(): void {
    this.#transaction = undefined;
  }

  /**
   * The consolidation that a change of this transaction goes into; undefined = the sink has the transaction already.
   * Throws `Stall` when the relation is no longer what the sink was made for.
   */
  accept(transaction: TransactionStart, clock: LogicalTime, relation: StreamRelation): Consolidation | undefined {
    if (this.#transaction === undefined) this.#transaction = this.isNew(transaction) ? 'undecided' : 'skipped';
    // Changes that the sink already has may be of an older shape: those it shall not judge.
    if (this.#transaction === 'skipped') return undefined;
    if (relation !== this.#relation) this.#useRelation(relation);
    if (this.#transaction === 'undecided') {
      this.#transaction = 'taken';
      const time = clock > this.#floor ? clock : this.#floor;
      if (this.#open !== undefined && time !== this.#openTime) this.#queueOpen(true);
      this.#open ??= this.#emptyConsolidation();
      this.#openTime = time;
    }
    return this.#open;
  }

  /** The end of every transaction of the stream, whether it touched this sink or not. */
  commit(end: Position): void {
    const taken = this.#transaction === 'taken';
    this.#transaction = undefined;
    if (taken) {
      this.#openEnd = end;
      this.#openFilter = this.#filter;
    } else if (this.#open !== undefined && end.clock > this.#openTime) this.#queueOpen(true);
    if (end.endLsn >= this.#received) {
      this.#received = end.endLsn;
      this.#last = end;
    }
    if (this.#filter !== undefined && end.endLsn >= this.#filter.until) this.#filter = undefined;
  }

  /** Queues what has been gathered although the stream has not left its time behind. No effect within a transaction. */
  cut(): void {
    if (this.#open !== undefined && this.#transaction !== 'taken') this.#queueOpen(false);
  }

  /** Gives a written slice's memory back. */
  release(slice: Slice): void {
    this.#slicesBytes -= slice.bytes;
    slice.changes.reset();
    if (this.#free.length < KEPT_CONSOLIDATIONS) this.#free.push(slice.changes);
    else slice.changes.close();
  }

  close(): void {
    for (const slice of this.queue.splice(0)) slice.changes.close();
    for (const free of this.#free.splice(0)) free.close();
    this.#open?.close();
    this.#open = undefined;
  }

  /** False: the target has the transaction already, or the snapshot has shown it. */
  isNew(transaction: TransactionStart): boolean {
    // Records do not overlap, so a commit that begins before an end LSN also ends at or before it.
    if (transaction.commitLsn < this.#received) return false;
    return (
      this.#filter === undefined ||
      transaction.commitLsn >= this.#filter.until ||
      !isVisible(this.#filter, transaction.xid)
    );
  }

  #useRelation(relation: StreamRelation): void {
    const match = matchShape(this.definition, relation, this.#options.currentNames);
    if (relation.replicaIdentity !== 'f') throw identityChanged(nameOf(relation));
    this.#relation = relation;
    this.#pick = match.pick;
    if (this.#open !== undefined) this.#open.usePick(match.pick);
  }

  #emptyConsolidation(): Consolidation {
    const {definition, spillDirectory, sliceBytes} = this.#options;
    const consolidation =
      this.#free.pop() ??
      new Consolidation({shape: this.#shape, key: definition.key, spillDirectory, budgetBytes: sliceBytes});
    // A used one may have served the relation's shape of that time.
    consolidation.usePick(this.#pick);
    return consolidation;
  }

  #queueOpen(timeClosed: boolean): void {
    const changes = this.#open!;
    const bytes = changes.bytesUsed;
    this.#open = undefined;
    this.#slicesBytes += bytes;
    this.queue.push({changes, time: this.#openTime, timeClosed, end: this.#openEnd!, bytes, filter: this.#openFilter});
  }
}
