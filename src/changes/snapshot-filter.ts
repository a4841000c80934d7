import type {Lsn} from '../base/lsn.ts';

/** `pg_snapshot` in numbers: which top-level transactions a snapshot sees. */
export interface VisibleXids {
  readonly xmin: bigint;
  readonly xmax: bigint;
  /** Transactions between xmin and xmax that were running. */
  readonly running: readonly bigint[];
}

/** Decides which transactions of the stream a snapshot has already shown. Forgotten once the stream has passed `until`. */
export interface SnapshotFilter {
  readonly visible: VisibleXids;
  /** `pg_current_wal_insert_lsn()` taken after the snapshot: no transaction that commits at or behind it was in the snapshot. */
  readonly until: Lsn;
}
