import type {Logger} from 'pino';
import {abortable} from '../base/abortable.ts';
import type {Clock} from '../base/clock.ts';
import {crashPoint} from '../base/crash-point.ts';
import type {Lsn} from '../base/lsn.ts';
import {afterCutOver, type SinkDefinition, type SinkInput, type SinkStatus} from '../catalog/definitions.ts';
import {Fenced, Stall} from './errors.ts';
import {SinkIntake} from './intake.ts';
import {SinkPump, type CatchUp} from './pump.ts';
import {backOffMs, explain, reaction} from './reaction.ts';
import type {CurrentColumnNames} from './shape.ts';
import type {SnapshotSource} from './snapshot-source.ts';
import {planSnapshot, type SnapshotPlan} from './snapshot-plan.ts';
import {TooSlow, writeSnapshot} from './snapshot-writer.ts';
import type {Progress, Span, Target, WrittenSoFar} from './target.ts';

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
  /** Throws `Stall` when changes that the sink needed may not have been published. */
  verifyPublished(definition: SinkDefinition): Promise<void>;
  /** From now on the intake hears the stream, from before its progress on. */
  attach(intake: SinkIntake): Promise<void>;
  detach(intake: SinkIntake): void;
  /** The target has `progress`; `clock` is the stream's at that position, where it is known. */
  prove(sink: string, progress: Progress, clock: bigint | undefined): void;
  roomAgain(): void;
  markCommittedOnce(sink: string): Promise<void>;
  /** From now on the target may have this version. False: it was, or is being, taken back. */
  beginCutOver(sink: string, version: number): Promise<boolean>;
  /** The target has this version. May be repeated. */
  finishCutOver(sink: string, version: number): Promise<void>;
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
  /** A larger relation gets a long span of writes for its snapshot. */
  readonly longBytes: number;
  /** A larger relation goes by way of the spool at once. */
  readonly spoolBytes: number;
  /** One for which a long span of writes has failed does so if it is larger than this. */
  readonly respoolBytes: number;
  readonly blocksPerCommit: number;
  /** How long a sink that waits for a person waits before it looks again. */
  readonly stallCheckMs: number;
}

const NOTHING: WrittenSoFar = {messages: 0, bytes: 0};

/** The stream was cut within a transaction that had partly been taken in. */
export class Torn extends Error {
  override readonly name = 'Torn';
}

/** What goes on beside a sink that is to go over to another relation. */
interface Preparation {
  readonly relation: number;
  readonly stop: AbortController;
  readonly done: Promise<void>;
}

/**
 * One sink's life in a worker: open, prove, snapshot, stream; after an error close everything, wait, and begin again.
 *
 * A sink that ALTER SINK … SET FROM has given another relation goes on until that one is published; then it ends at the next commit and
 * commits once more, without data, a progress of the new version. Everything that commits behind this progress is the new relation's,
 * and a start sees by the version which one it has to read. No transaction can be on both sides, because progress is the end of one.
 */
export class SinkRunner {
  #definition: SinkDefinition;
  /** What the target is to be opened for the next time. */
  #span: Span = 'short';
  /** A larger relation goes by way of the spool. */
  #directBytes: number;
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

  #preparation: Preparation | undefined;
  /** Where the pump ends by itself, the sink goes over to this. */
  #ending: SinkInput | undefined;

  constructor(definition: SinkDefinition, host: SinkHost) {
    this.#definition = definition;
    this.#host = host;
    this.#committedOnce = definition.committedOnce;
    this.#directBytes = host.tuning.spoolBytes;
    this.#log = host.log.child({sink: definition.id});
  }

  get definition(): SinkDefinition {
    return this.#definition;
  }

  /** The relation that is being published for the sink to go over to. */
  get preparing(): number | undefined {
    return this.#preparation?.relation;
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

  /** What the catalog says now: what the relation is called, and what the sink shall go over to, if anything. */
  async follow({relationName, next}: Pick<SinkDefinition, 'relationName' | 'next'>): Promise<void> {
    if (relationName !== this.#definition.relationName) {
      this.#definition = {...this.#definition, relationName};
      this.#intake?.rename(relationName);
    }
    if (next?.version === this.#definition.next?.version) return;
    await this.#stopPreparing();
    this.#definition = {...this.#definition, next};
    if (this.#pump !== undefined) await this.#sayPreparing(undefined);
    this.#startPreparing();
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
    if (error instanceof TooSlow) this.#directBytes = -1;
    if (error instanceof TooSlow || error instanceof Torn || (await this.#namesAreOld(error))) return;
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
    const now = await this.#host.columnNames(this.#definition).catch(() => used);
    return now.size !== used.size || [...now].some(([attnum, name]) => used.get(attnum) !== name);
  }

  async #live(): Promise<void> {
    const definition = this.#definition;
    const host = this.#host;
    this.#names = undefined;
    if (this.#shown === undefined) {
      this.#shown = await host.lastStatus(definition.id);
      if (this.#shown !== 'stalled') await this.#report('starting');
    }
    // A sink that waits for a person tries again now and then, and that is no news until it gets further than the last time.
    const stalledUntil = this.#shown === 'stalled' ? await host.logEnd() : undefined;
    const span = this.#span;
    this.#span = 'short';
    const target = this.#newTarget();
    const failed = new Promise<never>((_, reject) => {
      this.#failure = reject;
    });
    failed.catch(() => undefined);
    let pumping: Promise<void> | undefined;
    try {
      let progress = await this.#open(target, span);
      if (progress.version === definition.next?.version) {
        await this.#goneOver(definition.next);
        return;
      }
      const source = host.snapshots(definition);
      const plan = await this.#planSnapshot(source, progress);
      const needed = plan?.span ?? 'short';
      if (needed !== span) {
        // Opened anew, because only who fences and reads knows what the target has.
        this.#span = needed;
        return;
      }
      if (plan !== undefined) {
        await host.publish(definition, whom => void this.#sayWaiting(whom), this.#stopping.signal);
        crashPoint('sink-published');
        await host.columnNames(definition);
        if (span === 'long') this.#directBytes = Math.min(this.#directBytes, host.tuning.respoolBytes);
        progress = await writeSnapshot({
          source,
          plan,
          target,
          progress,
          hold: host.hold(definition.id),
          withRows: definition.snapshot,
          blocksPerCommit: host.tuning.blocksPerCommit,
          now: host.clock.now,
          signal: this.#stopping.signal,
          onCommitted: () => this.#count(target, true),
        });
        // The stream goes on with short ones.
        if (span === 'long') return;
      } else {
        await source.dropSpool();
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
        clock: host.clock,
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
      this.#startPreparing();
      await Promise.race([pumping, failed]);
      if (this.#ending !== undefined && !this.#stopped) {
        // Behind the last change that is needed; the next version would not notice any more.
        await host.verifyPublished(definition);
        await target.commit({...pump.progress, version: this.#ending.version});
        crashPoint('cut-over-committed');
        await this.#goneOver(this.#ending);
      }
    } finally {
      this.#failure = undefined;
      this.#hasRecovered = undefined;
      this.#pump?.stop();
      // Before anything is waited for: what `follow` begins meanwhile would end this pump and never the next one.
      this.#pump = undefined;
      await this.#stopPreparing();
      this.#ending = undefined;
      // No call into the target may be under way when it is closed.
      await pumping?.catch(() => undefined);
      if (this.#intake !== undefined) host.detach(this.#intake);
      this.#intake?.close();
      this.#intake = undefined;
      this.#count(target, false);
      await target.close();
    }
  }

  /** Undefined: the target has the whole snapshot. */
  async #planSnapshot(source: SnapshotSource, {snapshot: cursor}: Progress): Promise<SnapshotPlan | undefined> {
    if (cursor === undefined) return undefined;
    const {id, snapshot: withRows} = this.#definition;
    const {longBytes} = this.#host.tuning;
    const hold = this.#host.hold(id);
    return planSnapshot({source, cursor, hold, withRows, longBytes, directBytes: this.#directBytes});
  }

  #startPreparing(): void {
    const {next} = this.#definition;
    const pump = this.#pump;
    if (next === undefined || pump === undefined || this.#preparation !== undefined) return;
    const stop = new AbortController();
    const done = this.#prepare(next, pump, stop.signal).catch((error: unknown) => this.fail(error));
    this.#preparation = {relation: next.relation, stop, done};
  }

  async #stopPreparing(): Promise<void> {
    const preparation = this.#preparation;
    preparation?.stop.abort();
    await preparation?.done;
    if (this.#preparation === preparation) this.#preparation = undefined;
  }

  /** While the sink goes on writing: every change of the next relation has to be in the log before the point where it goes over. */
  async #prepare(next: SinkInput, pump: SinkPump, signal: AbortSignal): Promise<void> {
    const host = this.#host;
    const definition = afterCutOver(this.#definition, next);
    for (let attempt = 0; !signal.aborted; attempt++) {
      try {
        await host.publish(definition, whom => void this.#sayPreparing({details: {waiting_for: whom}}), signal);
        crashPoint('cut-over-published');
        await host.columnNames(definition);
        if (!signal.aborted && (await host.beginCutOver(definition.id, next.version))) {
          const end = await host.logEnd();
          this.#ending = next;
          pump.endBehind(end);
          return;
        }
      } catch (error) {
        if (signal.aborted) return;
        this.#log.warn({err: error, relation: next.relationName}, 'sink cannot go over to its next relation');
        const {error: message, details} = explain(error);
        await this.#sayPreparing({error: `cannot go over to ${next.relationName}: ${message}`, details});
      }
      await host.clock.sleep(backOffMs(attempt, host.random), signal).catch(() => undefined);
    }
  }

  /** The progress in the target has the version of `next`. */
  async #goneOver(next: SinkInput): Promise<void> {
    const definition = this.#definition;
    await this.#host.finishCutOver(definition.id, next.version);
    crashPoint('cut-over-recorded');
    this.#log.info({from: definition.relationName, to: next.relationName}, 'sink has gone over to another relation');
    this.#definition = afterCutOver(definition, next);
    // What has been said of the preparation is over.
    this.#shown = undefined;
  }

  /** Fences, reads what the target has, and makes sure that the catalog knows of the target's first progress before any data. */
  async #open(target: Target, span: Span): Promise<Progress> {
    const definition = this.#definition;
    const host = this.#host;
    let progress = await target.open(span);
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
      const version = definition.next?.version ?? definition.version;
      // Only now: after the restore of an older backup nobody of this catalog has written it, and it stays newer for ever.
      if (progress.version > version) {
        throw new Fenced(`Fenced off by newer version of the sink. ours=${version} theirs=${progress.version}`);
      }
    }
    if (!this.#committedOnce) {
      await host.markCommittedOnce(definition.id);
      this.#committedOnce = true;
      crashPoint('sink-first-commit-recorded');
    }
    if (progress.version === definition.version || progress.version === definition.next?.version) return progress;
    throw new Stall('SL011', `the target has the progress of version ${progress.version} of the sink only`, {
      hint: `The sink has come to version ${definition.version}, so the target has lost what was written since. Drop the sink, empty the target, and create the sink again.`,
    });
  }

  #newTarget(): Target {
    this.#counted = NOTHING;
    this.#uncommitted = NOTHING;
    const {version, next} = this.#definition;
    return this.#host.createTarget({
      ...this.#definition,
      version: next?.version ?? version,
      committedOnce: this.#committedOnce,
    });
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
    this.#host.count(this.#definition.id, staged, committed ? open : NOTHING);
  }

  /** From where nobody can wait: an error fails the sink. */
  #showRunning(): void {
    this.#hasRecovered = undefined;
    this.#report('running').catch((error: unknown) => this.fail(error));
  }

  /** One after the other, because not everybody waits for his own. */
  async #report(status: SinkStatus, explanation?: Parameters<SinkHost['report']>[2]): Promise<void> {
    if (status === 'running' && this.#shown === 'running' && explanation === undefined) return;
    this.#shown = status;
    const before = this.#reporting;
    this.#reporting = (async () => {
      await before?.catch(() => undefined);
      await this.#host.report(this.#definition.id, status, explanation);
    })();
    await this.#reporting;
  }

  /** Of a sink that runs meanwhile; undefined = nothing. */
  async #sayPreparing(explanation: Parameters<SinkHost['report']>[2]): Promise<void> {
    if (this.#shown !== 'running') return;
    if (explanation === undefined) this.#shown = undefined;
    await this.#report('running', explanation).catch((error: unknown) => {
      this.#log.warn({err: error}, 'status could not be recorded');
    });
  }

  async #sayWaiting(whom: string): Promise<void> {
    await this.#report('starting', {details: {waiting_for: whom}}).catch((error: unknown) => {
      this.#log.warn({err: error}, 'status could not be recorded');
    });
  }
}
