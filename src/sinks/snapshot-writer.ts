import {crashPoint} from '../base/crash-point.ts';
import type {Lsn} from '../base/lsn.ts';
import {Stall} from './errors.ts';
import type {SnapshotMoment, SnapshotRows, SnapshotSource, SpooledSnapshot} from './snapshot-source.ts';
import type {Progress, Target} from './target.ts';

export interface SnapshotWriterOptions {
  readonly source: SnapshotSource;
  readonly target: Target;
  /** Gives the target up and opens it again, after a direct snapshot that took too long. */
  readonly reopen: () => Promise<Target>;
  /** What the target has now: a progress with a snapshot cursor. */
  readonly progress: Progress;
  /** The stream can be read again from here on. */
  readonly hold: Lsn;
  /** WITH (SNAPSHOT = false): no rows, only the moment after which changes count. */
  readonly withRows: boolean;
  /** A relation of more bytes goes by way of the spool at once. */
  readonly spoolBytes: number;
  /** One commit holds about this many heap blocks of the spool. */
  readonly blocksPerCommit: number;
  readonly now: () => number;
  /** Aborted when the sink is stopped; the snapshot is then given up by an exception. */
  readonly signal: AbortSignal;
  readonly onCommitted: (progress: Progress) => void;
}

/** The direct snapshot did not fit into one transaction of the target. Nothing of it is visible. */
class TooSlow extends Error {
  override readonly name = 'TooSlow';
}

/**
 * Brings a relation's rows as of one moment into the target and returns the progress from which the stream goes on.
 *
 * A relation that is small enough goes out in one commit, straight from PostgreSQL: after a crash nothing of it is visible,
 * and another snapshot is as good. A larger one is first copied into a table of ours, because PostgreSQL forgets a snapshot
 * with the connection that took it; from there it goes out in several commits, each of which says which blocks are done.
 */
export async function writeSnapshot(options: SnapshotWriterOptions): Promise<{progress: Progress; target: Target}> {
  const {source, progress, hold, withRows, spoolBytes} = options;
  let {target} = options;
  const cursor = progress.snapshot;
  if (cursor !== undefined && cursor.spool !== 0) {
    const spool = await source.findSpool();
    if (spool?.id !== cursor.spool) {
      throw new Stall('SL010', 'the spooled snapshot that this sink was writing is gone', {
        hint: 'A part of the snapshot is in the target and the rest can no longer be read as it was then. Drop the sink, empty the target, and create the sink again.',
      });
    }
    return {target, progress: await writeSpool(options, target, spool, cursor.nextBlock)};
  }
  const leftOver = await source.findSpool();
  if (leftOver !== undefined && leftOver.holdLsn >= hold) {
    return {target, progress: await writeSpool(options, target, leftOver, 0)};
  }
  if (leftOver !== undefined) await source.dropSpool();

  if (!withRows || (await source.estimateBytes()) <= spoolBytes) {
    try {
      return {target, progress: await writeDirect(options, target)};
    } catch (error) {
      if (!(error instanceof TooSlow)) throw error;
      target = await options.reopen();
    }
  }
  const spool = await source.makeSpool(hold);
  crashPoint('snapshot-spooled');
  return {target, progress: await writeSpool(options, target, spool, 0)};
}

async function writeDirect(options: SnapshotWriterOptions, target: Target): Promise<Progress> {
  const {source, hold, now, withRows, onCommitted} = options;
  const startedAt = now();
  const snapshot = await source.take();
  try {
    crashPoint('snapshot-taken');
    if (withRows) {
      for await (const rows of snapshot.rows()) {
        options.signal.throwIfAborted();
        await writeRows(target, snapshot, rows);
        if (now() - startedAt > target.transactionLimitMs * 0.6) throw new TooSlow();
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
  target: Target,
  spool: SpooledSnapshot,
  fromBlock: number,
): Promise<Progress> {
  const {source, blocksPerCommit, onCommitted} = options;
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
