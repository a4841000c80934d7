import {crashPoint} from '../base/crash-point.ts';
import type {Lsn} from '../base/lsn.ts';
import type {SnapshotFilter} from '../changes/snapshot-filter.ts';
import type {Position, SinkIntake, Slice} from './intake.ts';
import type {LogicalTime, Progress, Target} from './target.ts';

export interface PumpOptions {
  readonly target: Target;
  readonly intake: SinkIntake;
  /** What the target has at the start. */
  readonly progress: Progress;
  /** Milliseconds of a clock that never goes back. */
  readonly now: () => number;
  /** A span of writes is committed when it is this old … */
  readonly commitIntervalMs: number;
  /** … or has this many messages. */
  readonly commitMessages: number;
  /** Undefined: the interval is the same however far behind the sink is. */
  readonly catchUp?: CatchUp | undefined;
  /** Without changes, progress is committed this often, so that the log may be forgotten. */
  readonly idleCommitMs: number;
  /** An open slice that is this old is cut: the stream has probably nothing more of its time. */
  readonly cutMs: number;
  readonly onCommitted: (progress: Progress, position: Position | undefined) => void;
  /** Room has become free in the queue. */
  readonly onDrained: () => void;
}

/**
 * A commit costs two processes some milliseconds whatever it holds. A sink that is behind loses by more of them and readers gain
 * nothing, so while changes flow its interval may be a quarter of the time that it is behind.
 */
export interface CatchUp {
  /** At most. */
  readonly intervalMs: number;
  /** Milliseconds since 1970, to compare with logical times. */
  readonly wallTime: () => number;
}

interface Written {
  readonly time: LogicalTime;
  readonly timeClosed: boolean;
  readonly end: Position;
  readonly filter: SnapshotFilter | undefined;
}

/**
 * Writes an intake's slices to a target and commits them, one sink's steady state. Ends when stopped, with the first error, or where
 * `endBehind` says.
 */
export class SinkPump {
  readonly #options: PumpOptions;
  #stopped = false;
  #wake: (() => void) | undefined;
  #written: Written | undefined;
  #messagesBefore: number;
  #firstWriteAt = 0;
  #lastCommitAt: number;
  #openSince: number | undefined;
  /** The stream has brought something since the last tick but one. */
  #flows = false;
  #seenLsn: Lsn | undefined;
  #progress: Progress;
  #endLsn: Lsn | undefined;

  constructor(options: PumpOptions) {
    this.#options = options;
    this.#progress = options.progress;
    this.#lastCommitAt = options.now();
    this.#messagesBefore = options.target.written().messages;
  }

  /** What the target has now. */
  get progress(): Progress {
    return this.#progress;
  }

  async run(): Promise<void> {
    const {intake, target, onDrained} = this.#options;
    while (!this.#stopped && !this.#atEnd()) {
      const slice = intake.queue.shift();
      if (slice !== undefined) {
        await this.#write(slice, target);
        onDrained();
        if (this.#commitDue()) await this.#commit();
      } else if (this.#commitDue() || this.#idleCommitDue() || this.#lastCommitDue()) {
        await this.#commit();
      } else {
        await new Promise<void>(resolve => {
          this.#wake = resolve;
        });
      }
    }
  }

  /** Something may have been queued: called at every boundary of the stream. */
  wake(): void {
    if (this.#wake !== undefined && this.#options.intake.queue.length > 0) this.#resume();
  }

  /** Time has passed: called some fifty times a second. */
  tick(): void {
    const {intake, now, cutMs} = this.#options;
    if (!intake.hasOpenSlice) this.#openSince = undefined;
    else if (this.#openSince === undefined) this.#openSince = now();
    else if (now() - this.#openSince >= cutMs) {
      intake.cut();
      this.#openSince = undefined;
    }
    this.#flows = intake.hasOpenSlice || intake.receivedLsn !== this.#seenLsn;
    this.#seenLsn = intake.receivedLsn;
    if (this.#wake === undefined) return;
    const due = this.#commitDue() || this.#idleCommitDue() || this.#lastCommitDue() || this.#atEnd();
    if (intake.queue.length > 0 || due) this.#resume();
  }

  /** Ends `run` with the first commit at or behind `lsn` that has left the snapshot behind. What is queued then is given up. */
  endBehind(lsn: Lsn): void {
    const {filter} = this.#progress;
    this.#endLsn = filter !== undefined && filter.until > lsn ? filter.until : lsn;
  }

  /** Nothing is written and not committed, and the target has all that it shall have. */
  #atEnd(): boolean {
    return this.#endLsn !== undefined && this.#written === undefined && this.#progress.endLsn >= this.#endLsn;
  }

  /** Nobody has to wait for the commit of an idle sink that is to end. */
  #lastCommitDue(): boolean {
    const {intake} = this.#options;
    if (this.#endLsn === undefined || intake.hasOpenSlice || intake.queue.length > 0) return false;
    return (intake.received?.endLsn ?? 0n) >= this.#endLsn;
  }

  stop(): void {
    this.#stopped = true;
    this.#resume();
  }

  #resume(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }

  async #write(slice: Slice, target: Target): Promise<void> {
    const {intake, now} = this.#options;
    if (this.#written === undefined) this.#firstWriteAt = now();
    if (slice.changes.isSpilled) {
      for await (const batch of slice.changes.drain(slice.time)) {
        const room = target.write(batch);
        if (room !== undefined) await room;
      }
    } else {
      const batch = slice.changes.take(slice.time);
      const room = batch.count === 0 ? undefined : target.write(batch);
      if (room !== undefined) await room;
    }
    this.#written = slice;
    intake.release(slice);
    crashPoint('sink-after-write');
  }

  #commitDue(): boolean {
    if (this.#written === undefined) return false;
    const {now, target, commitIntervalMs, commitMessages} = this.#options;
    // Measured from the last commit, so a lone change after a quiet time does not wait.
    const age = now() - Math.max(this.#lastCommitAt, this.#firstWriteAt - commitIntervalMs);
    if (target.written().messages - this.#messagesBefore >= commitMessages) return true;
    return age >= commitIntervalMs && age >= this.#catchUpInterval(this.#written);
  }

  #catchUpInterval({time}: Written): number {
    const {catchUp, intake} = this.#options;
    if (catchUp === undefined || (intake.queue.length === 0 && !this.#flows)) return 0;
    return Math.min(catchUp.intervalMs, (catchUp.wallTime() - Number(time)) / 4);
  }

  #idleCommitDue(): boolean {
    const {intake, now, idleCommitMs} = this.#options;
    const received = intake.received;
    // What is open or queued is on its way and makes a commit of its own; its end is not known here.
    if (intake.hasOpenSlice || intake.queue.length > 0) return false;
    return (
      received !== undefined && received.endLsn > this.#progress.endLsn && now() - this.#lastCommitAt >= idleCommitMs
    );
  }

  async #commit(): Promise<void> {
    const {target, now, onCommitted} = this.#options;
    const {progress, position} = this.#nextProgress();
    crashPoint('sink-before-commit');
    await target.commit(progress);
    crashPoint('sink-after-commit');
    this.#written = undefined;
    this.#lastCommitAt = now();
    this.#messagesBefore = target.written().messages;
    this.#progress = progress;
    onCommitted(progress, position);
  }

  /** As far as possible: where nothing waits, up to the last transaction that the stream has ended. */
  #nextProgress(): {progress: Progress; position: Position | undefined} {
    const {intake} = this.#options;
    const previous = this.#progress;
    const received = intake.received;
    const caughtUp = intake.queue.length === 0 && !intake.hasOpenSlice && received !== undefined;
    const written = this.#written;
    const floor = written === undefined || written.time < previous.time ? previous.time : written.time;
    const base = {version: previous.version, system: previous.system, timeline: previous.timeline};
    if (caughtUp) {
      // The clock may stay where it is for the next transaction, so this time is still open.
      const time = received.clock > floor ? received.clock : floor;
      const filter = pending(intake.filter, received);
      return {progress: {...base, endLsn: received.endLsn, time, timeClosed: false, ...filter}, position: received};
    }
    const {end, timeClosed} = written!;
    return {
      progress: {...base, endLsn: end.endLsn, time: floor, timeClosed, ...pending(written!.filter, end)},
      position: end,
    };
  }
}

function pending(filter: SnapshotFilter | undefined, at: Position): {filter?: SnapshotFilter} {
  return filter === undefined || at.endLsn >= filter.until ? {} : {filter};
}
