import type {Logger} from 'pino';
import type {Clock} from '../base/clock.ts';
import {crashPoint} from '../base/crash-point.ts';
import {formatLsn, type Lsn} from '../base/lsn.ts';
import {AckGate} from '../changes/ack-gate.ts';
import {LogicalClock} from '../changes/logical-clock.ts';
import type {StreamListener} from '../changes/stream-listener.ts';
import {isConnectionError} from '../engine/connection-errors.ts';
import {isTransient} from './errors.ts';
import type {Position, SinkIntake} from './intake.ts';
import {backOffMs} from './reaction.ts';
import {Router} from './router.ts';

/** A running change stream. */
export interface OpenStream {
  /** Settles when the stream is over: rejects with its error, or with what the listener threw. */
  readonly ended: Promise<void>;
  pause(): void;
  resume(): void;
  /** The server may forget everything before `lsn`. */
  confirm(lsn: Lsn): void;
  close(): Promise<void>;
}

/** The cluster's slot, as far as the host needs it. */
export interface ChangeSource {
  open(start: Lsn, listener: StreamListener): Promise<OpenStream>;
  /** A recorded position of the clock, not behind what the slot still has and not ahead of `notAfter`. Throws `Stall`. */
  chooseStart(notAfter: Lsn): Promise<Position>;
  /** Durable before the position is confirmed. */
  recordClock(position: Position): Promise<void>;
  /** Says why the stream cannot be read any more, as a `Stall`; undefined while the slot is well. */
  diagnose(): Promise<Error | undefined>;
}

export interface StreamHostOptions {
  readonly source: ChangeSource;
  readonly heartbeatRelation: number;
  /** Where a stream can begin for certain: the slot's confirmed position, or a recorded one behind it. */
  readonly confirmed: Lsn;
  /** Bytes that all sinks together may have waiting before the stream is paused; it goes on at half of it. */
  readonly queueBytes: number;
  readonly log: Logger;
  readonly clock: Clock;
  readonly random: () => number;
  /** The sink's intake is detached; its runner has to begin again with this error. */
  readonly onFailure: (intake: SinkIntake, error: unknown) => void;
  readonly onBoundary: () => void;
  /** What to tell a runner whose intake holds half a transaction. */
  readonly torn: () => Error;
}

/** Thrown into the stream to leave it between two transactions. */
class Leave extends Error {
  override readonly name = 'Leave';
}

/**
 * Owns a cluster's change stream and the one place that acknowledges it. A sink that joins makes the stream begin again at
 * an earlier position; the others drop what they have. What is confirmed is behind every sink's proved progress.
 */
export class StreamHost {
  readonly #options: StreamHostOptions;
  readonly #gate: AckGate;
  readonly #intakes = new Set<SinkIntake>();
  #router: Router | undefined;
  #stream: OpenStream | undefined;
  #paused = false;
  #restartWanted = false;
  #changed: (() => void) | undefined;
  readonly #closing = new AbortController();
  #done: Promise<void> | undefined;
  #joined: (() => void)[] = [];

  constructor(options: StreamHostOptions) {
    this.#options = options;
    this.#gate = new AckGate(options.confirmed);
  }

  /** Where the stream is: everything before has been handed to the sinks that are attached. */
  get position(): Position | undefined {
    return this.#router?.position;
  }

  start(): void {
    this.#done ??= this.#run();
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#changed?.();
    await this.#stream?.close();
    await this.#done;
  }

  /** From now on nothing behind the returned position is confirmed until the sink has proved something, whether it runs or not. */
  hold(sink: string): Lsn {
    return this.#gate.hold(sink);
  }

  /** The sink is gone and holds nothing back any more. */
  release(sink: string): void {
    this.#gate.release(sink);
  }

  /** The sink's target has everything up to `endLsn`; `clock` where it is known. */
  prove(sink: string, endLsn: Lsn, clock: bigint | undefined): void {
    this.#gate.prove(sink, endLsn, clock);
  }

  /** Resolves when the stream has begun again with this intake in it. */
  async attach(intake: SinkIntake): Promise<void> {
    this.#intakes.add(intake);
    const joined = new Promise<void>(resolve => this.#joined.push(resolve));
    this.#restartWanted = true;
    if (this.#router?.inTransaction === false) await this.#stream?.close();
    this.#changed?.();
    await joined;
  }

  detach(intake: SinkIntake): void {
    this.#intakes.delete(intake);
    this.#router?.detach(intake);
    if (this.#intakes.size === 0) void this.#stream?.close();
    else this.checkRoom();
  }

  /** Pauses the stream while too much waits to be written, and lets it go on when there is room. */
  checkRoom(): void {
    if (this.#stream === undefined) return;
    let bytes = 0;
    for (const intake of this.#intakes) bytes += intake.queuedBytes;
    if (!this.#paused && bytes > this.#options.queueBytes) {
      this.#paused = true;
      this.#stream.pause();
    } else if (this.#paused && bytes < this.#options.queueBytes / 2) {
      this.#paused = false;
      this.#stream.resume();
    }
  }

  /** Records the clock at the furthest position that is safe, then lets the slot forget what is before it. About once a second. */
  async confirm(): Promise<void> {
    const safe = this.#gate.safe(this.#router?.position);
    if (safe === undefined || this.#stream === undefined) return;
    // First the gate, so that no sink is given a hold behind a position that is on its way to the server.
    this.#gate.confirm(safe.endLsn);
    await this.#options.source.recordClock(safe);
    crashPoint('worker-clock-recorded');
    this.#stream?.confirm(safe.endLsn);
    crashPoint('worker-confirmed');
  }

  async #run(): Promise<void> {
    let attempt = 0;
    while (!this.#closing.signal.aborted) {
      if (this.#intakes.size === 0) {
        await new Promise<void>(resolve => {
          this.#changed = resolve;
        });
        continue;
      }
      try {
        await this.#readOnce();
        attempt = 0;
      } catch (error) {
        if (this.#closing.signal.aborted) return;
        await this.#afterError(error, attempt++);
      }
    }
  }

  /** One connection of the stream, from the choice of its start to its end. */
  async #readOnce(): Promise<void> {
    this.#restartWanted = false;
    const joined = this.#joined.splice(0);
    const stream = await this.#open([...this.#intakes]).catch((error: unknown) => {
      // They still wait: for the next attempt, or to hear that there is none.
      this.#joined.unshift(...joined);
      throw error;
    });
    this.#stream = stream;
    for (const resolve of joined) resolve();
    try {
      if (this.#restartWanted || this.#closing.signal.aborted) await stream.close();
      await stream.ended;
    } catch (error) {
      if (!(error instanceof Leave)) throw error;
    } finally {
      this.#stream = undefined;
      this.#router = undefined;
      await stream.close();
      this.#dropTorn();
    }
  }

  /** Opens the stream where the one of these that is furthest behind needs it. */
  async #open(intakes: readonly SinkIntake[]): Promise<OpenStream> {
    const {source, log} = this.#options;
    const lowest = intakes.map(intake => intake.receivedLsn).reduce((a, b) => (a < b ? a : b));
    const start = await source.chooseStart(lowest);
    const router = new Router(
      {
        clock: new LogicalClock(start.clock),
        heartbeatRelation: this.#options.heartbeatRelation,
        onFailure: (intake, error) => {
          this.#intakes.delete(intake);
          this.#options.onFailure(intake, error);
        },
        onBoundary: () => {
          this.#options.onBoundary();
          this.checkRoom();
          if (this.#restartWanted) throw new Leave();
        },
      },
      start,
    );
    for (const intake of intakes) router.attach(intake);
    this.#router = router;
    this.#paused = false;
    const stream = await source.open(start.endLsn, router);
    log.info({start: formatLsn(start.endLsn), sinks: intakes.length}, 'reading the change stream');
    return stream;
  }

  /** An intake that holds a part of a transaction cannot give it back, and the next stream sends the transaction again. */
  #dropTorn(): void {
    for (const intake of this.#intakes) {
      if (!intake.isTorn) continue;
      this.#intakes.delete(intake);
      this.#options.onFailure(intake, this.#options.torn());
    }
  }

  async #afterError(error: unknown, attempt: number): Promise<void> {
    const {source, log, clock, random} = this.#options;
    log.warn({err: error}, 'change stream ended');
    const reason = isTransient(error) ? await source.diagnose().catch(() => undefined) : error;
    // A lost connection is nothing that a user has to see; a disk that stays full is.
    const toTell = reason ?? (attempt > 0 && !isConnectionError(error) ? error : undefined);
    if (toTell !== undefined) {
      for (const intake of [...this.#intakes]) {
        this.#intakes.delete(intake);
        this.#options.onFailure(intake, toTell);
      }
      for (const resolve of this.#joined.splice(0)) resolve();
    }
    await clock.sleep(backOffMs(attempt, random), this.#closing.signal).catch(() => undefined);
  }
}
