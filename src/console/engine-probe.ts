import type pg from 'pg';
import type {Logger} from 'pino';
import {SqlError} from '../base/sql-error.ts';
import {answerWithin, noAnswer} from '../engine/answer-within.ts';
import {errorCode} from '../engine/connection-errors.ts';
import type {EngineReport} from './engine-report.ts';
import {readEngine} from './engine-report.ts';
import {StallCounts} from './stall-counts.ts';

export type EngineAnswer =
  | {readonly up: true; readonly seconds: number; readonly report: EngineReport}
  | {readonly up: false; readonly reason: string};

export interface EngineProbeOptions {
  /** A connection of Sluice's own role. Has to give up within `limitMs` by itself. */
  readonly connect: () => Promise<pg.Client>;
  /** Whoever asks has an answer after that many milliseconds, whatever the engine does. */
  readonly limitMs: number;
  readonly log: Logger;
}

/** Asks the engine how everything is, over one connection that is kept. Who asks while a question is under way gets its answer. */
export class EngineProbe {
  readonly stalls = new StallCounts();
  readonly #options: EngineProbeOptions;
  #client: pg.Client | undefined;
  #asking: Promise<EngineAnswer> | undefined;
  #up = true;

  constructor(options: EngineProbeOptions) {
    this.#options = options;
  }

  ask(): Promise<EngineAnswer> {
    this.#asking ??= this.#ask().finally(() => {
      this.#asking = undefined;
    });
    return this.#asking;
  }

  /** The socket is cut and not closed politely: a hung engine would not answer that either. */
  close(): void {
    this.#client?.connection.stream.destroy();
    this.#client = undefined;
  }

  async #ask(): Promise<EngineAnswer> {
    const {limitMs, log} = this.#options;
    const started = performance.now();
    const overdue = new AbortController();
    try {
      const report = await answerWithin(limitMs, this.#read(overdue.signal));
      this.stalls.add(report.stalls);
      if (!this.#up) log.info('the engine answers again');
      this.#up = true;
      return {up: true, seconds: (performance.now() - started) / 1000, report};
    } catch (cause) {
      overdue.abort();
      this.close();
      // The connection's own limit may strike a moment before ours.
      const error = errorCode(cause) === '57014' ? noAnswer(limitMs) : cause;
      if (this.#up) log.warn({err: error}, 'the engine does not answer');
      this.#up = false;
      return {up: false, reason: error instanceof Error ? error.message : String(error)};
    }
  }

  async #read(overdue: AbortSignal): Promise<EngineReport> {
    if (this.#client === undefined) {
      const client = await this.#options.connect();
      if (overdue.aborted) {
        client.connection.stream.destroy();
        throw new SqlError('57014', 'the connection came too late');
      }
      client.once('end', () => {
        if (this.#client === client) this.#client = undefined;
      });
      this.#client = client;
    }
    return await readEngine(this.#client, this.stalls.known);
  }
}
