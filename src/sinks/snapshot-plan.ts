import type {Lsn} from '../base/lsn.ts';
import {Stall} from './errors.ts';
import type {SnapshotSource, SpooledSnapshot} from './snapshot-source.ts';
import type {SnapshotCursor, Span} from './target.ts';

/** In which way a snapshot goes into the target, and what span of writes the target must be open for. */
export type SnapshotPlan =
  | {readonly way: 'direct'; readonly span: Span; readonly rows: number | undefined}
  | {
      readonly way: 'spool';
      readonly span: 'short';
      readonly left: SpooledSnapshot | undefined;
      readonly fromBlock: number;
    };

export interface PlanOptions {
  readonly source: SnapshotSource;
  /** Of the progress that the target has. */
  readonly cursor: SnapshotCursor;
  /** The stream can be read again from here on. */
  readonly hold: Lsn;
  /** WITH (SNAPSHOT = false): no rows, only the moment after which changes count. */
  readonly withRows: boolean;
  /** A relation of more bytes gets a long span of writes. */
  readonly longBytes: number;
  /** A relation of more bytes goes by way of the spool. */
  readonly directBytes: number;
}

/**
 * A relation goes out in one commit, straight from PostgreSQL, if that can be: after a crash nothing of it is visible, and another
 * snapshot is as good. One that is too large for that is first copied into a table of ours, because PostgreSQL forgets a snapshot with
 * the connection that took it; from there it goes out in several commits, each of which says which blocks are done.
 */
export async function planSnapshot(options: PlanOptions): Promise<SnapshotPlan> {
  const {source, cursor, hold, withRows, longBytes, directBytes} = options;
  const left = await source.findSpool();
  if (cursor.spool !== 0) {
    if (left?.id === cursor.spool) return {way: 'spool', span: 'short', left, fromBlock: cursor.nextBlock};
    throw new Stall('SL010', 'the spooled snapshot that this sink was writing is gone', {
      hint: 'A part of the snapshot is in the target and the rest can no longer be read as it was then. Drop the sink, empty the target, and create the sink again.',
    });
  }
  if (left !== undefined && left.holdLsn >= hold) return {way: 'spool', span: 'short', left, fromBlock: 0};
  if (left !== undefined) await source.dropSpool();
  if (!withRows) return {way: 'direct', span: 'short', rows: 0};
  const {bytes, rows} = await source.estimate();
  if (bytes > directBytes) return {way: 'spool', span: 'short', left: undefined, fromBlock: 0};
  return {way: 'direct', span: bytes > longBytes ? 'long' : 'short', rows};
}

/** Of the target's limit: the rest is for the commit, and for an hour in which everything is slower. */
const USABLE = 0.6;
/** The first seconds say little. */
const FIRST_LOOK_MS = 10_000;

export interface DirectPace {
  readonly elapsedMs: number;
  readonly limitMs: number;
  readonly rows: number;
  /** Undefined: nobody knows. */
  readonly ofRows: number | undefined;
}

/** Whether a direct snapshot does not fit into its span of writes, or will by far not, at the pace so far. */
export function isTooSlow({elapsedMs, limitMs, rows, ofRows = 0}: DirectPace): boolean {
  const usableMs = limitMs * USABLE;
  if (elapsedMs > usableMs) return true;
  return elapsedMs > Math.min(FIRST_LOOK_MS, usableMs / 4) && 2 * rows * (usableMs / elapsedMs) < ofRows;
}
