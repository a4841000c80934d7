import type pg from 'pg';
import {SqlError} from '../base/sql-error.ts';
import type {EngineAddress} from './address.ts';
import {answerWithin, DEAD_MS} from './answer-within.ts';
import {connect} from './connect.ts';
import type {ConnectOptions} from './connect.ts';
import {endClient} from './end-client.ts';

/**
 * A few connections for control work, opened when first needed and kept. A connection on which something failed in a way that
 * leaves its state unknown is thrown away, and one that no longer answers.
 */
export class Connections {
  readonly #address: EngineAddress;
  readonly #options: ConnectOptions;
  readonly #limit: number;
  readonly #deadMs: number;
  readonly #idle: pg.Client[] = [];
  readonly #waiting: PromiseWithResolvers<void>[] = [];
  #taken = 0;
  #closed = false;

  constructor(address: EngineAddress, options: ConnectOptions, limit = 4, deadMs = DEAD_MS) {
    this.#address = address;
    this.#options = options;
    this.#limit = limit;
    this.#deadMs = deadMs;
  }

  /** Waits while all connections are in use. Session state that `work` leaves behind stays with the connection. */
  async run<T>(work: (client: pg.Client) => Promise<T>): Promise<T> {
    const client = await this.#take();
    try {
      return await work(client);
    } finally {
      this.#give(client);
    }
  }

  /** Running work ends undisturbed; its connections are closed afterwards. Waiting work fails with 57P01. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const waiting of this.#waiting.splice(0)) waiting.reject(closedError());
    await Promise.all(this.#idle.splice(0).map(endClient));
  }

  async #take(): Promise<pg.Client> {
    while (this.#taken >= this.#limit && !this.#closed) {
      const turn = withResolvers();
      this.#waiting.push(turn);
      await turn.promise;
    }
    if (this.#closed) throw closedError();
    this.#taken++;
    try {
      return (await this.#kept()) ?? (await this.#open());
    } catch (error) {
      this.#taken--;
      this.#waiting.shift()?.resolve();
      throw error;
    }
  }

  #give(client: pg.Client): void {
    this.#taken--;
    const usable = !this.#closed && client.getTransactionStatus() === 'I' && !this.#lost.has(client);
    if (usable) this.#idle.push(client);
    else void endClient(client);
    this.#waiting.shift()?.resolve();
  }

  async #kept(): Promise<pg.Client | undefined> {
    for (let client = this.#idle.pop(); client !== undefined; client = this.#idle.pop()) {
      try {
        // A machine or a network between may have forgotten it.
        await answerWithin(this.#deadMs, client.query(''));
        return client;
      } catch {
        // It would not answer a farewell either.
        client.connection.stream.destroy();
      }
    }
    return undefined;
  }

  readonly #lost = new WeakSet<pg.Client>();

  async #open(): Promise<pg.Client> {
    const client = await connect(this.#address, this.#options);
    client.once('end', () => {
      this.#lost.add(client);
      const at = this.#idle.indexOf(client);
      if (at >= 0) this.#idle.splice(at, 1);
    });
    return client;
  }
}

function closedError(): SqlError {
  return new SqlError('57P01', 'the connections are being closed');
}

interface PromiseWithResolvers<T> {
  readonly promise: Promise<T>;
  readonly resolve: (value: T) => void;
  readonly reject: (error: unknown) => void;
}

/** `Promise.withResolvers` of Node 22. */
function withResolvers(): PromiseWithResolvers<void> {
  let resolve: () => void = () => undefined;
  let reject: (error: unknown) => void = () => undefined;
  const promise = new Promise<void>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  return {promise, resolve, reject};
}
