import type pg from 'pg';
import {SqlError} from '../base/sql-error.ts';
import {answerWithin, DEAD_MS} from '../engine/answer-within.ts';
import {isConnectionError} from '../engine/connection-errors.ts';
import {endClient} from '../engine/end-client.ts';

/** One connection of the engine's administrator that many sessions use, one query after the other. None of them waits for a lock of others. */
export class ControlConnection {
  readonly #client: pg.Client;
  readonly #deadMs: number;
  readonly #onLost: () => void;
  #lost = false;
  #last: Promise<unknown> = Promise.resolve();

  constructor(client: pg.Client, deadMs: number, onLost: () => void) {
    this.#client = client;
    this.#deadMs = deadMs;
    this.#onLost = onLost;
    client.on('error', () => this.#lose());
    client.on('end', () => this.#lose());
  }

  /**
   * Rejects with 08006 when the connection is lost, or when nothing has been heard for so long that it must be. A query with a name is
   * prepared under it, once.
   */
  query(text: string, values: readonly unknown[] = [], name?: string): Promise<pg.QueryResult> {
    const result = this.#last.then(() => this.#ask(text, values, name));
    this.#last = result.catch(() => undefined);
    return result;
  }

  get lost(): boolean {
    return this.#lost;
  }

  async end(): Promise<void> {
    await endClient(this.#client);
  }

  async #ask(text: string, values: readonly unknown[], name: string | undefined): Promise<pg.QueryResult> {
    if (this.#lost) throw new SqlError('08006', 'the connection to PostgreSQL was lost');
    try {
      return await answerWithin(this.#deadMs, this.#client.query({text, values: [...values], name}));
    } catch (error) {
      // Those who have queued up behind a dead connection need not find it out one after the other.
      if (isConnectionError(error)) this.#lose();
      throw error;
    }
  }

  #lose(): void {
    if (this.#lost) return;
    this.#lost = true;
    this.#client.connection.stream.destroy();
    this.#onLost();
  }
}

export interface ControlLinkOptions {
  readonly connect: () => Promise<pg.Client>;
  /** A connection that is silent for so long is given up. Default `DEAD_MS`. */
  readonly deadMs?: number | undefined;
}

/** The gateway's own connection to the engine: opened when it is first needed, and again when it was lost. */
export class ControlLink {
  readonly #options: ControlLinkOptions;
  #connection: Promise<ControlConnection> | undefined;
  #closed = false;

  constructor(options: ControlLinkOptions) {
    this.#options = options;
  }

  /** Throws what `connect` throws. */
  connection(): Promise<ControlConnection> {
    if (this.#closed) return Promise.reject(new Error('the gateway is closed'));
    if (this.#connection !== undefined) return this.#connection;
    const forget = () => {
      if (this.#connection === opening) this.#connection = undefined;
    };
    const opening = this.#open(forget);
    opening.catch(forget);
    this.#connection = opening;
    return opening;
  }

  /** Of a query that may be carried out twice: where its connection is lost it is asked again, once, on another one. */
  async query(text: string, values: readonly unknown[] = [], name?: string): Promise<pg.QueryResult> {
    const connection = await this.connection();
    try {
      return await connection.query(text, values, name);
    } catch (error) {
      if (!connection.lost) throw error;
      return await (await this.connection()).query(text, values, name);
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    const connection = await this.#connection?.catch(() => undefined);
    await connection?.end();
  }

  async #open(onLost: () => void): Promise<ControlConnection> {
    const {connect, deadMs = DEAD_MS} = this.#options;
    return new ControlConnection(await connect(), deadMs, onLost);
  }
}
