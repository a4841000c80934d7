import type pg from 'pg';

/**
 * Moves the cluster's heartbeat row. Each beat is a published transaction: it closes logical times and gives an idle
 * database's slot a position to advance to.
 */
export async function beat(client: pg.ClientBase, slot: string): Promise<void> {
  await client.query(
    `INSERT INTO mz_sluice.heartbeat AS h (slot, beat) VALUES ($1, 1) ON CONFLICT (slot) DO UPDATE SET beat = h.beat + 1`,
    [slot],
  );
}

export interface HeartbeatOptions {
  readonly client: pg.ClientBase;
  readonly slot: string;
  readonly onError: (error: unknown) => void;
  readonly intervalMs?: number | undefined;
}

/** Beats once a second, never two at a time, until stopped or until a beat fails: then `onError` is called once. */
export class Heartbeat {
  readonly #options: HeartbeatOptions;
  #timer: NodeJS.Timeout | undefined;
  #beating: Promise<void> | undefined;

  constructor(options: HeartbeatOptions) {
    this.#options = options;
  }

  start(): void {
    this.#timer = setInterval(() => {
      this.#beating ??= this.#beat();
    }, this.#options.intervalMs ?? 1000);
  }

  /** Resolves when no beat is under way any more. */
  async stop(): Promise<void> {
    clearInterval(this.#timer);
    await this.#beating;
  }

  async #beat(): Promise<void> {
    const {client, slot, onError} = this.#options;
    try {
      await beat(client, slot);
    } catch (error) {
      clearInterval(this.#timer);
      onError(error);
    } finally {
      this.#beating = undefined;
    }
  }
}
