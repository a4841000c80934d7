import {crashPoint} from '../base/crash-point.ts';
import type {Lsn} from '../base/lsn.ts';
import {isTooSlow, type SnapshotPlan} from './snapshot-plan.ts';
import type {SnapshotMoment, SnapshotRows, SnapshotSource, SpooledSnapshot} from './snapshot-source.ts';
import type {Progress, Target} from './target.ts';

export interface SnapshotWriterOptions {
  readonly source: SnapshotSource;
  readonly plan: SnapshotPlan;
  /** Open for the plan's span of writes. */
  readonly target: Target;
  /** What the target has now: a progress with a snapshot cursor. */
  readonly progress: Progress;
  /** The stream can be read again from here on. */
  readonly hold: Lsn;
  /** WITH (SNAPSHOT = false): no rows, only the moment after which changes count. */
  readonly withRows: boolean;
  /** One commit holds about this many heap blocks of the spool. */
  readonly blocksPerCommit: number;
  readonly now: () => number;
  /** Aborted when the sink is stopped; the snapshot is then given up by an exception. */
  readonly signal: AbortSignal;
  readonly onCommitted: (progress: Progress) => void;
}

/** The direct snapshot does not fit into one span of writes of the target. Nothing of it is visible. */
export class TooSlow extends Error {
  override readonly name = 'TooSlow';
}

/** Brings a relation's rows as of one moment into the target and returns the progress from which the stream goes on. */
export async function writeSnapshot(options: SnapshotWriterOptions): Promise<Progress> {
  const {source, plan, hold} = options;
  if (plan.way === 'direct') return writeDirect(options, plan.rows);
  let spool = plan.left;
  if (spool === undefined) {
    spool = await source.makeSpool(hold);
    crashPoint('snapshot-spooled');
  }
  return writeSpool(options, spool, plan.fromBlock);
}

async function writeDirect(options: SnapshotWriterOptions, ofRows: number | undefined): Promise<Progress> {
  const {source, target, hold, now, withRows, onCommitted} = options;
  const limitMs = target.transactionLimitMs;
  const startedAt = now();
  const snapshot = await source.take();
  try {
    crashPoint('snapshot-taken');
    if (withRows) {
      let written = 0;
      for await (const rows of snapshot.rows()) {
        options.signal.throwIfAborted();
        await writeRows(target, snapshot, rows);
        written += rows.count;
        if (isTooSlow({elapsedMs: now() - startedAt, limitMs, rows: written, ofRows})) throw new TooSlow();
        crashPoint('snapshot-rows-written');
      }
    }
  } finally {
    await snapshot.close();
  }
  const progress = finished(options.progress, snapshot, hold);
  await target.commit(progress);
  crashPoint('snapshot-committed');
  onCommitted(progress);
  return progress;
}

async function writeSpool(
  options: SnapshotWriterOptions,
  spool: SpooledSnapshot,
  fromBlock: number,
): Promise<Progress> {
  const {source, target, blocksPerCommit, onCommitted} = options;
  let progress = options.progress;
  let block = fromBlock;
  do {
    const to = Math.min(spool.blocks, block + blocksPerCommit);
    for await (const rows of spool.rows(block, to)) {
      options.signal.throwIfAborted();
      await writeRows(target, spool, rows);
    }
    block = to;
    const done = block >= spool.blocks;
    progress = done
      ? finished(progress, spool, spool.holdLsn)
      : {
          ...progress,
          endLsn: spool.holdLsn,
          time: spool.time,
          filter: spool.filter,
          snapshot: {spool: spool.id, nextBlock: block},
        };
    await target.commit(progress);
    crashPoint('snapshot-part-committed');
    onCommitted(progress);
  } while (block < spool.blocks);
  await source.dropSpool();
  return progress;
}

/** Without the cursor: the stream goes on from `hold`, less what the snapshot has shown. */
function finished(before: Progress, moment: SnapshotMoment, hold: Lsn): Progress {
  const {version, system, timeline} = before;
  return {endLsn: hold, time: moment.time, timeClosed: false, version, system, timeline, filter: moment.filter};
}

let none = new Int32Array(0).fill(-1);

async function writeRows(target: Target, {shape, time}: SnapshotMoment, rows: SnapshotRows): Promise<void> {
  if (none.length < rows.count) none = new Int32Array(rows.count).fill(-1);
  const room = target.write({shape, time, bytes: rows.bytes, count: rows.count, before: none, after: rows.offsets});
  if (room !== undefined) await room;
}
