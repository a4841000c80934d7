import type {Clock} from '../base/clock.ts';
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
  readonly clock: Pick<Clock, 'now' | 'sleep'>;
  /** A commit begins so that it will probably end so long after the last one began (and never less than half of it after the end of that one) … */
  readonly commitIntervalMs: number;
  /** … or when so many messages are written. */
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
  #commitBeganAt: number;
  #commitEndedAt: number;
  /** How long a commit takes: the mean of those of late. */
  #commitMs = 0;
  #open: {readonly time: LogicalTime; readonly since: number} | undefined;
  /** When the pump looks by itself what is due. */
  #alarmAt = Infinity;
  /** The stream has brought something since the last tick but one. */
  #flows = false;
  #seenLsn: Lsn | undefined;
  #progress: Progress;
  #endLsn: Lsn | undefined;

  constructor(options: PumpOptions) {
    this.#options = options;
    this.#progress = options.progress;
    this.#commitBeganAt = this.#commitEndedAt = options.clock.now();
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
          this.#setAlarm();
        });
      }
    }
  }

  /** Something may have been queued or begun: called at every boundary of the stream. */
  wake(): void {
    const {intake, clock} = this.#options;
    const time = intake.openTime;
    if (time !== this.#open?.time) this.#open = time === undefined ? undefined : {time, since: clock.now()};
    if (this.#wake === undefined) return;
    if (intake.queue.length > 0) this.#resume();
    else this.#setAlarm();
  }

  /** Time has passed: called some fifty times a second. */
  tick(): void {
    const {intake} = this.#options;
    this.#flows = intake.hasOpenSlice || intake.receivedLsn !== this.#seenLsn;
    this.#seenLsn = intake.receivedLsn;
    this.#look();
  }

  #look(): void {
    const {intake, clock, cutMs} = this.#options;
    if (this.#open !== undefined && clock.now() - this.#open.since >= cutMs) this.#cut();
    if (this.#wake === undefined) return;
    const due = this.#commitDue() || this.#idleCommitDue() || this.#lastCommitDue() || this.#atEnd();
    if (intake.queue.length > 0 || due) this.#resume();
    else this.#setAlarm();
  }

  #cut(): void {
    this.#options.intake.cut();
    this.#open = undefined;
  }

  /** For what falls due between two ticks. */
  #setAlarm(): void {
    const {clock, cutMs} = this.#options;
    const now = clock.now();
    const cutAt = this.#open === undefined ? Infinity : this.#open.since + cutMs;
    const commitAt = this.#written === undefined ? Infinity : this.#commitAt();
    // What has been due before waits for something that is seen at ticks only.
    const at = Math.min(cutAt > now ? cutAt : Infinity, commitAt > now ? commitAt : Infinity);
    if (at >= this.#alarmAt) return;
    this.#alarmAt = at;
    void clock.sleep(at - now).then(() => {
      if (this.#alarmAt !== at) return;
      this.#alarmAt = Infinity;
      if (!this.#stopped) this.#look();
    });
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
    const {intake, clock} = this.#options;
    if (this.#written === undefined) this.#firstWriteAt = clock.now();
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

  /**
   * So that a change which just missed the last commit is visible one interval later; the rest behind a commit is for brokers that are
   * slower than that. Measured from the last commit, so a lone change after a quiet time does not wait.
   */
  #commitAt(): number {
    const {commitIntervalMs} = this.#options;
    return Math.max(
      this.#commitBeganAt + commitIntervalMs - this.#commitMs,
      this.#commitEndedAt + commitIntervalMs / 2,
    );
  }

  #commitDue(): boolean {
    if (this.#written === undefined) return false;
    const {clock, target, commitIntervalMs, commitMessages} = this.#options;
    if (target.written().messages - this.#messagesBefore >= commitMessages) return true;
    const now = clock.now();
    const age = now - Math.max(this.#commitEndedAt, this.#firstWriteAt - commitIntervalMs);
    return now >= this.#commitAt() && age >= this.#catchUpInterval(this.#written);
  }

  #catchUpInterval({time}: Written): number {
    const {catchUp, intake} = this.#options;
    if (catchUp === undefined || (intake.queue.length === 0 && !this.#flows)) return 0;
    return Math.min(catchUp.intervalMs, (catchUp.wallTime() - Number(time)) / 4);
  }

  #idleCommitDue(): boolean {
    const {intake, clock, idleCommitMs} = this.#options;
    const received = intake.received;
    // What is open or queued is on its way and makes a commit of its own; its end is not known here.
    if (intake.hasOpenSlice || intake.queue.length > 0) return false;
    return (
      received !== undefined &&
      received.endLsn > this.#progress.endLsn &&
      clock.now() - this.#commitEndedAt >= idleCommitMs
    );
  }

  async #commit(): Promise<void> {
    const {target, clock, onCommitted} = this.#options;
    this.#commitBeganAt = clock.now();
    const {progress, position} = this.#nextProgress();
    crashPoint('sink-before-commit');
    await target.commit(progress);
    crashPoint('sink-after-commit');
    this.#written = undefined;
    this.#commitEndedAt = clock.now();
    this.#commitMs += (this.#commitEndedAt - this.#commitBeganAt - this.#commitMs) / 8;
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
      // The clock may stay where it is for the next transaction, so this time is still open: unless an earlier stream had left it when it
      // was last committed, and this one has come back to what others have changed in it.
      const time = received.clock > floor ? received.clock : floor;
      const timeClosed = previous.timeClosed && time === previous.time;
      const filter = pending(intake.filter, received);
      return {progress: {...base, endLsn: received.endLsn, time, timeClosed, ...filter}, position: received};
    }
    const {end} = written!;
    // Behind `end` there may be more of this time, if only of the relation that the sink goes over to.
    const timeClosed = written!.timeClosed && this.#endLsn === undefined;
    return {
      progress: {...base, endLsn: end.endLsn, time: floor, timeClosed, ...pending(written!.filter, end)},
      position: end,
    };
  }
}

function pending(filter: SnapshotFilter | undefined, at: Position): {filter?: SnapshotFilter} {
  return filter === undefined || at.endLsn >= filter.until ? {} : {filter};
}
