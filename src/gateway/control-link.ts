import type pg from 'pg';

/** One connection of the engine's administrator that many sessions use, one query after the other. */
export class ControlConnection {
  /** Resolves when the connection has ended, for whatever reason. */
  readonly lost: Promise<void>;
  readonly #client: pg.Client;
  #last: Promise<unknown> = Promise.resolve();

  constructor(client: pg.Client) {
    this.#client = client;
    this.lost = new Promise(resolve => {
      client.on('error', () => resolve());
      client.on('end', () => resolve());
    });
  }

  /** Rejects when the connection is lost. */
  query(text: string, values: readonly string[] = []): Promise<pg.QueryResult> {
    const result = this.#last.then(() => this.#client.query(text, [...values]));
    this.#last = result.catch(() => undefined);
    return result;
  }

  async end(): Promise<void> {
    await this.#client.end().catch(() => undefined);
  }
}

/** The gateway's own connection to the engine: opened when it is first needed, and again when it was lost. */
export class ControlLink {
  readonly #connect: () => Promise<pg.Client>;
  #connection: Promise<ControlConnection> | undefined;
  #closed = false;

  constructor(connect: () => Promise<pg.Client>) {
    this.#connect = connect;
  }

  /** Throws what `connect` throws. */
  async connection(): Promise<ControlConnection> {
    if (this.#closed) throw new Error('the gateway is closed');
    return await (this.#connection ??= this.#keep(this.#open()));
  }

  async close(): Promise<void> {
    this.#closed = true;
    const connection = await this.#connection?.catch(() => undefined);
    await connection?.end();
  }

  async #open(): Promise<ControlConnection> {
    return new ControlConnection(await this.#connect());
  }

  #keep(opening: Promise<ControlConnection>): Promise<ControlConnection> {
    const forget = () => {
      if (this.#connection === opening) this.#connection = undefined;
    };
    opening.then(({lost}) => lost.then(forget), forget);
    return opening;
  }
}
