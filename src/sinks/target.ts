import type {Lsn} from '../base/lsn.ts';
import type {RowShape} from '../types/relation.ts';
import type {SnapshotFilter} from '../changes/snapshot-filter.ts';

/** A logical time: milliseconds since the Unix epoch, a function of the stream alone. */
export type LogicalTime = bigint;

/** How far a target provably got. All that a restart needs to continue without loss or repetition. */
export interface Progress {
  /** Every transaction whose end LSN is at most this is in the target. */
  readonly endLsn: Lsn;
  /** Logical time of the last transaction (or snapshot) that is in the target. Later ones carry at least this time. */
  readonly time: LogicalTime;
  /** True: no more changes of `time` itself can follow; the frontier that readers see is then time + 1, otherwise time. */
  readonly timeClosed: boolean;
  /** Raised by ALTER SINK; the sink loop lets no writer with a lower version than the recorded one go on. */
  readonly version: number;
  /** `pg_control_system().system_identifier` and timeline of the PostgreSQL that produced the data. */
  readonly system: bigint;
  readonly timeline: number;
  /** The life of the worker that wrote it; set by the target when it reads. Undefined: it does not say. */
  readonly writer?: string | undefined;
  /** Present until the stream has passed the snapshot: transactions that it already contained must be dropped. */
  readonly filter?: SnapshotFilter | undefined;
  /** Present while a snapshot that goes out in several commits is unfinished. */
  readonly snapshot?: SnapshotCursor | undefined;
}

/** The next time that may still change: everything strictly before it is in the target. */
export function frontierOf({time, timeClosed}: Pick<Progress, 'time' | 'timeClosed'>): LogicalTime {
  return timeClosed ? time + 1n : time;
}

/** How much of a spooled snapshot is in the target: all heap blocks below `nextBlock` of the spool table. */
export interface SnapshotCursor {
  readonly spool: number;
  readonly nextBlock: number;
}

/**
 * Net changes of one logical time and one row shape, in order; nothing in it may be kept after `write` has resolved.
 * Row i was `before[i]` and is `after[i]`: offsets of tuples in `bytes`, framed as `shape.framing` says, -1 where there is none.
 * Every tuple is whole: values that the log left out have been completed.
 */
export interface ChangeBatch {
  readonly shape: RowShape;
  readonly time: LogicalTime;
  readonly bytes: Buffer;
  readonly count: number;
  readonly before: Int32Array;
  readonly after: Int32Array;
}

export interface WrittenSoFar {
  readonly messages: number;
  readonly bytes: number;
}

/** How long an uncommitted span of writes may last: as in the stream, or minutes, if the target has that. */
export type Span = 'short' | 'long';

/** Where a sink writes. The sink loop owns ordering and retry; a target owns atomicity and proof. */
export interface Target {
  /** Takes ownership (fences any older writer), then says how far the target provably got; undefined = nothing yet. */
  open(span?: Span): Promise<Progress | undefined>;
  /**
   * Buffers or stages changes, in order. Resolves when there is room for more: that is the back-pressure.
   * Returns undefined where nothing has to be waited for, which spares the hot path a turn of the event loop.
   */
  write(batch: ChangeBatch): Promise<void> | undefined;
  /** Makes everything written so far visible together with `progress`, all or nothing. Throws `CommitUnknown` if it cannot tell. */
  commit(progress: Progress): Promise<void>;
  /** Messages and bytes handed over by `write` since `open`; the loop turns them into statistics. */
  written(): WrittenSoFar;
  /** In milliseconds, once it is open: one uncommitted span of writes that lasts for longer is given up by the target itself. */
  readonly transactionLimitMs: number;
  /** Gives up what is uncommitted. Never throws; safe to call twice and after any error. */
  close(): Promise<void>;
}
