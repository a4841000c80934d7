/** Milliseconds between the Unix epoch and 2000-01-01, where PostgreSQL's timestamps begin. */
const POSTGRES_EPOCH_MS = 946_684_800_000n;

/** Rounds down to whole milliseconds since the Unix epoch; `commitTime` is in microseconds since 2000-01-01. */
export function commitMillis(commitTime: bigint): bigint {
  // BigInt division rounds towards zero.
  const millis = commitTime / 1000n;
  return POSTGRES_EPOCH_MS + (commitTime < 0n && millis * 1000n !== commitTime ? millis - 1n : millis);
}

/**
 * Gives every transaction of the stream its logical time. A function of the stream alone: fed the same transactions from a
 * position whose value it is given, it tells the same times again. Commit timestamps may run backwards, times never do;
 * heartbeats move it although the wall clock stands or was set back, so every time is closed sooner or later.
 */
export class LogicalClock {
  #now: bigint;

  /** `start`: the value at the position where the stream begins. */
  constructor(start: bigint) {
    this.#now = start;
  }

  /** The value after the last transaction: what is recorded with its end LSN. */
  get now(): bigint {
    return this.#now;
  }

  /** The time of an ordinary transaction, from the commit timestamp of the log. */
  transaction(commitTime: bigint): bigint {
    const millis = commitMillis(commitTime);
    if (millis > this.#now) this.#now = millis;
    return this.#now;
  }

  /** The time of a transaction that only moves the heartbeat row: greater than all before. */
  heartbeat(commitTime: bigint): bigint {
    const millis = commitMillis(commitTime);
    this.#now = millis > this.#now ? millis : this.#now + 1n;
    return this.#now;
  }
}
