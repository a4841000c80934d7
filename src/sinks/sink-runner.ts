import type {Logger} from 'pino';
import {abortable} from '../base/abortable.ts';
import type {Clock} from '../base/clock.ts';
import {crashPoint} from '../base/crash-point.ts';
import type {Lsn} from '../base/lsn.ts';
import type {SinkDefinition, SinkStatus} from '../catalog/definitions.ts';
import {Stall} from './errors.ts';
import {SinkIntake} from './intake.ts';
import {SinkPump, type CatchUp} from './pump.ts';
import {backOffMs, explain, reaction} from './reaction.ts';
import type {CurrentColumnNames} from './shape.ts';
import type {SnapshotSource} from './snapshot-source.ts';
import {writeSnapshot} from './snapshot-writer.ts';
import type {Progress, Target, WrittenSoFar} from './target.ts';

/** What one sink needs of the worker it runs in. */
export interface SinkHost {
  readonly system: bigint;
  readonly timeline: number;
  readonly spillDirectory: string;
  readonly log: Logger;
  readonly clock: Clock;
  readonly random: () => number;
  readonly tuning: SinkTuning;
  createTarget(definition: SinkDefinition): Target;
  snapshots(definition: SinkDefinition): SnapshotSource;
  /** The last confirmed position of the slot, which stays where it is until this sink has proved a later one. */
  hold(sink: string): Lsn;
  /** Throws `Stall` when the log no longer reaches back to `progress`, or another PostgreSQL wrote it. */
  verify(definition: SinkDefinition, progress: Progress): Promise<void>;
  /** Steps 1 to 3 of the hand-over; `waiting` hears whom it waits for. May be repeated, and given up. */
  publish(definition: SinkDefinition, waiting: (whom: string) => void, signal: AbortSignal): Promise<void>;
  columnNames(definition: SinkDefinition): Promise<CurrentColumnNames>;
  /** From now on the intake hears the stream, from before its progress on. */
  attach(intake: SinkIntake): Promise<void>;
  detach(intake: SinkIntake): void;
  /** The target has `progress`; `clock` is the stream's at that position, where it is known. */
  prove(sink: string, progress: Progress, clock: bigint | undefined): void;
  roomAgain(): void;
  markCommittedOnce(sink: string): Promise<void>;
  /** Where the log ends now. */
  logEnd(): Promise<Lsn>;
  /** What the history says of the sink so far. */
  lastStatus(sink: string): Promise<SinkStatus | undefined>;
  report(
    sink: string,
    status: SinkStatus,
    explanation?: {error?: string; details: Readonly<Record<string, unknown>>},
  ): Promise<void>;
  /** What the target has taken and what has been committed since the last call. */
  count(sink: string, staged: WrittenSoFar, committed: WrittenSoFar): void;
  /** False: another worker owns the cluster now, and this one must end. */
  askLease(): Promise<boolean>;
  loseLease(): void;
}

export interface SinkTuning {
  readonly commitIntervalMs: number;
  readonly commitMessages: number;
  readonly catchUp?: CatchUp | undefined;
  readonly idleCommitMs: number;
  readonly cutMs: number;
  readonly sliceBytes: number;
  readonly spoolBytes: number;
  readonly blocksPerCommit: number;
  /** How long a sink that waits for a person waits before it looks again. */
  readonly stallCheckMs: number;
}

const NOTHING: WrittenSoFar = {messages: 0, bytes: 0};

/** The stream was cut within a transaction that had partly been taken in. */
export class Torn extends Error {
  override readonly name = 'Torn';
}

/** One sink's life in a worker: open, prove, snapshot, stream; after an error close everything, wait, and begin again. */
export class SinkRunner {
  readonly definition: SinkDefinition;
  readonly #host: SinkHost;
  readonly #log: Logger;
  readonly #stopping = new AbortController();
  #stopped = false;
  #failure: ((error: unknown) => void) | undefined;
  #pump: SinkPump | undefined;
  #intake: SinkIntake | undefined;
  #committedOnce: boolean;
  #names: CurrentColumnNames | undefined;
  #done: Promise<void> | undefined;
  #counted = NOTHING;
  #uncommitted = NOTHING;
  /** What the history says last, as far as it is known here. */
  #shown: SinkStatus | undefined;
  #reporting: Promise<void> | undefined;
  /** Asked while the history says `stalled`: true once the sink has got over what stalled it. */
  #hasRecovered: (() => boolean) | undefined;

  constructor(definition: SinkDefinition, host: SinkHost) {
    this.definition = definition;
    this.#host = host;
    this.#committedOnce = definition.committedOnce;
    this.#log = host.log.child({sink: definition.id});
  }

  get intake(): SinkIntake | undefined {
    return this.#intake;
  }

  get progress(): Progress | undefined {
    return this.#pump?.progress;
  }

  /** Resolves after `stop`; rejects when not even the sink's status can be recorded. */
  start(): Promise<void> {
    return (this.#done ??= this.#run());
  }

  /** Ends whatever the sink is doing; what is uncommitted is given up. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#stopping.abort();
    this.#pump?.stop();
    await this.#done?.catch(() => undefined);
  }

  /** Something outside of the sink's own loop has failed it. */
  fail(error: unknown): void {
    this.#failure?.(error);
  }

  wake(): void {
    this.#pump?.wake();
    if (this.#hasRecovered?.() === true) this.#showRunning();
  }

  tick(): void {
    this.#pump?.tick();
  }

  async #run(): Promise<void> {
    let attempt = 0;
    while (!this.#stopped) {
      const startedAt = this.#host.clock.now();
      try {
        await this.#live();
      } catch (error) {
        if (this.#stopped) break;
        if (this.#host.clock.now() - startedAt > 60_000) attempt = 0;
        await this.#afterError(error, attempt++);
      }
    }
  }

  async #afterError(error: unknown, attempt: number): Promise<void> {
    const host = this.#host;
    if (error instanceof Torn || (await this.#namesAreOld(error))) return;
    const react = reaction(error);
    this.#log.warn({err: error, react, attempt}, 'sink stopped');
    if (react === 'askLease' && !(await host.askLease())) {
      host.loseLease();
      this.#stopped = true;
      return;
    }
    const waitMs = react === 'stall' ? host.tuning.stallCheckMs : backOffMs(attempt, host.random);
    // A commit of unknown outcome, or a first fencing by a late request of our own past, is nothing that a user has to see.
    if (react === 'stall' || react === 'retry' || attempt > 0) {
      await this.#report('stalled', explain(error));
    }
    await host.clock.sleep(waitMs, this.#stopping.signal).catch(() => undefined);
  }

  /** A column that seems to be gone or mixed up may have been renamed since the names were read: then the new names decide. */
  async #namesAreOld(error: unknown): Promise<boolean> {
    const used = this.#names;
    if (used === undefined || !(error instanceof Stall) || !['SL001', 'SL003'].includes(error.code)) return false;
    const now = await this.#host.columnNames(this.definition).catch(() => used);
    return now.size !== used.size || [...now].some(([attnum, name]) => used.get(attnum) !== name);
  }

  async #live(): Promise<void> {
    const {definition} = this;
    const host = this.#host;
    this.#names = undefined;
    if (this.#shown === undefined) {
      this.#shown = await host.lastStatus(definition.id);
      if (this.#shown !== 'stalled') await this.#report('starting');
    }
    // A sink that waits for a person tries again now and then, and that is no news until it gets further than the last time.
    const stalledUntil = this.#shown === 'stalled' ? await host.logEnd() : undefined;
    let target = this.#newTarget();
    const failed = new Promise<never>((_, reject) => {
      this.#failure = reject;
    });
    failed.catch(() => undefined);
    let pumping: Promise<void> | undefined;
    try {
      let progress = await this.#open(target);
      if (progress.snapshot !== undefined) {
        await host.publish(definition, whom => void this.#sayWaiting(whom), this.#stopping.signal);
        crashPoint('sink-published');
        await host.columnNames(definition);
        const written = await writeSnapshot({
          source: host.snapshots(definition),
          target,
          reopen: async () => {
            await target.close();
            target = this.#newTarget();
            await this.#open(target);
            return target;
          },
          progress,
          hold: host.hold(definition.id),
          withRows: definition.snapshot,
          spoolBytes: host.tuning.spoolBytes,
          blocksPerCommit: host.tuning.blocksPerCommit,
          now: host.clock.now,
          signal: this.#stopping.signal,
          onCommitted: () => this.#count(target, true),
        });
        ({progress} = written);
      } else {
        await host.snapshots(definition).dropSpool();
      }
      if (this.#stopped) return;
      this.#names = await host.columnNames(definition);
      const intake = new SinkIntake({
        definition,
        progress,
        currentNames: this.#names,
        spillDirectory: host.spillDirectory,
        sliceBytes: host.tuning.sliceBytes,
      });
      this.#intake = intake;
      const pump = new SinkPump({
        target,
        intake,
        progress,
        now: host.clock.now,
        ...host.tuning,
        onCommitted: (committed, position) => {
          this.#count(target, true);
          host.prove(definition.id, committed, position?.clock);
          this.#showRunning();
        },
        onDrained: () => host.roomAgain(),
      });
      this.#pump = pump;
      host.prove(definition.id, progress, undefined);
      await abortable(host.attach(intake), this.#stopping.signal);
      if (stalledUntil === undefined) await this.#report('running');
      else {
        this.#hasRecovered = () =>
          intake.received !== undefined &&
          intake.received.endLsn >= stalledUntil &&
          !intake.hasOpenSlice &&
          intake.queue.length === 0 &&
          target.written().messages === this.#counted.messages;
      }
      pumping = pump.run();
      await Promise.race([pumping, failed]);
    } finally {
      this.#failure = undefined;
      this.#hasRecovered = undefined;
      this.#pump?.stop();
      // No call into the target may be under way when it is closed.
      await pumping?.catch(() => undefined);
      this.#pump = undefined;
      if (this.#intake !== undefined) host.detach(this.#intake);
      this.#intake?.close();
      this.#intake = undefined;
      this.#count(target, false);
      await target.close();
    }
  }

  /** Fences, reads what the target has, and makes sure that the catalog knows of the target's first progress before any data. */
  async #open(target: Target): Promise<Progress> {
    const {definition} = this;
    const host = this.#host;
    let progress = await target.open();
    crashPoint('sink-opened');
    if (progress === undefined) {
      if (this.#committedOnce) {
        throw new Stall('SL011', 'the target has lost the progress of this sink', {
          hint: 'Its progress record was deleted or has expired. Whether the target still holds all data cannot be known: drop the sink, empty the target, and create the sink again.',
        });
      }
      const {system, timeline} = host;
      progress = {
        endLsn: host.hold(definition.id),
        time: 0n,
        timeClosed: false,
        version: definition.version,
        system,
        timeline,
        snapshot: {spool: 0, nextBlock: 0},
      };
      await target.commit(progress);
      crashPoint('sink-begun');
    } else {
      await host.verify(definition, progress);
    }
    if (!this.#committedOnce) {
      await host.markCommittedOnce(definition.id);
      this.#committedOnce = true;
      crashPoint('sink-first-commit-recorded');
    }
    return {...progress, version: definition.version};
  }

  #newTarget(): Target {
    this.#counted = NOTHING;
    this.#uncommitted = NOTHING;
    return this.#host.createTarget({...this.definition, committedOnce: this.#committedOnce});
  }

  #count(target: Target, committed: boolean): void {
    const total = target.written();
    const before = this.#counted;
    const staged = {messages: total.messages - before.messages, bytes: total.bytes - before.bytes};
    this.#counted = total;
    const open = {
      messages: this.#uncommitted.messages + staged.messages,
      bytes: this.#uncommitted.bytes + staged.bytes,
    };
    this.#uncommitted = committed ? NOTHING : open;
    this.#host.count(this.definition.id, staged, committed ? open : NOTHING);
  }

  /** From where nobody can wait: an error fails the sink. */
  #showRunning(): void {
    this.#hasRecovered = undefined;
    this.#report('running').catch((error: unknown) => this.fail(error));
  }

  /** One after the other, because not everybody waits for his own. */
  async #report(status: SinkStatus, explanation?: Parameters<SinkHost['report']>[2]): Promise<void> {
    if (status === 'running' && this.#shown === 'running') return;
    this.#shown = status;
    const before = this.#reporting;
    this.#reporting = (async () => {
      await before?.catch(() => undefined);
      await this.#host.report(this.definition.id, status, explanation);
    })();
    await this.#reporting;
  }

  async #sayWaiting(whom: string): Promise<void> {
    await this.#report('starting', {details: {waiting_for: whom}}).catch((error: unknown) => {
      this.#log.warn({err: error}, 'status could not be recorded');
    });
  }
}
