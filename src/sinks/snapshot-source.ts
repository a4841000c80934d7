import type {Lsn} from '../base/lsn.ts';
import type {SnapshotFilter} from '../changes/snapshot-filter.ts';
import type {RowShape} from '../types/relation.ts';
import type {LogicalTime} from './target.ts';

/** Rows of a snapshot: `offsets[0 … count)` are where tuples begin in `bytes`. Valid until the next one is asked for. */
export interface SnapshotRows {
  readonly bytes: Buffer;
  readonly offsets: Int32Array;
  readonly count: number;
}

/** What one snapshot of a relation shows, and which transactions of the stream it has already shown. */
export interface SnapshotMoment {
  readonly filter: SnapshotFilter;
  readonly time: LogicalTime;
  readonly shape: RowShape;
}

/** A snapshot that lives as long as its transaction: gone after a crash, and then taken anew. */
export interface DirectSnapshot extends SnapshotMoment {
  rows(): AsyncIterable<SnapshotRows>;
  close(): Promise<void>;
}

/** A snapshot kept in a table of ours: the same rows in the same order, however often it is read. */
export interface SpooledSnapshot extends SnapshotMoment {
  readonly id: number;
  readonly holdLsn: Lsn;
  readonly blocks: number;
  /** Rows of the heap blocks `from … to`, `to` excluded. */
  rows(from: number, to: number): AsyncIterable<SnapshotRows>;
}

export interface RelationSize {
  /** On disk. */
  readonly bytes: number;
  /** As the last ANALYZE or VACUUM has counted them; undefined where there was none. */
  readonly rows: number | undefined;
}

/** Where snapshots of one sink's relation come from. The relation has been published before one is taken. */
export interface SnapshotSource {
  estimate(): Promise<RelationSize>;
  take(): Promise<DirectSnapshot>;
  /** The spool that an earlier life of this sink has left, if any. */
  findSpool(): Promise<SpooledSnapshot | undefined>;
  /** `hold`: the stream can be read again from here on, and will be. */
  makeSpool(hold: Lsn): Promise<SpooledSnapshot>;
  dropSpool(): Promise<void>;
}
