import {randomBytes} from 'node:crypto';
import type {BackendCalls} from './backend-calls.ts';
import type {ControlConnection, ControlLink} from './control-link.ts';

/**
 * The session's `lock_timeout` is meant for locks of others, so it is off while we wait; both happen in one statement, because a
 * cancelled one leaves nothing behind. `off` needs `saved`, and `waited` needs `off`, hence the order.
 */
const WAIT = `WITH saved AS MATERIALIZED (SELECT pg_catalog.current_setting('lock_timeout') AS value),
off AS MATERIALIZED (SELECT pg_catalog.set_config('lock_timeout', '0', true) AS done FROM saved),
waited AS MATERIALIZED (SELECT pg_catalog.pg_advisory_xact_lock_shared($1) AS done FROM off)
SELECT pg_catalog.set_config('lock_timeout', value, true) FROM waited, saved`;

/** Ends whoever still holds the lock of this key, which can only be a connection of ours. */
const END_HOLDER = `SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_locks
WHERE locktype = 'advisory' AND granted AND mode = 'ExclusiveLock' AND objsubid = 1
  AND (classid::bigint << 32 | objid::bigint) = $1::bigint
  AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = pg_catalog.current_database())`;

/**
 * Runs `work` while the session's backend waits on an advisory lock that the control connection holds, so that whatever would end
 * a statement of PostgreSQL there (cancel request, `pg_cancel_backend`, `statement_timeout`, termination) ends ours: then `signal` is
 * aborted and the backend's error thrown. If the control connection is lost, PostgreSQL frees the lock: we wait again with
 * another one, and where none can be had the work goes on without that protection. If it is dead without a word, PostgreSQL
 * does not know and keeps the lock: then its holder is ended.
 */
export async function runWhileWaiting<T>(
  calls: BackendCalls,
  control: ControlLink,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const abort = new AbortController();
  let lock = await HeldLock.take(control);
  let finished = false;
  const outcome = work(abort.signal).finally(async () => {
    finished = true;
    await lock?.release();
  });
  // Observed below; meanwhile a failure must not count as unhandled.
  outcome.catch(() => undefined);
  try {
    while (!finished && lock !== undefined) {
      await calls.query(WAIT, [lock.key]);
      if (finished || (await lock.isHeld())) break;
      lock = await HeldLock.take(control);
    }
    return await outcome;
  } catch (error) {
    abort.abort(error);
    throw error;
  } finally {
    await lock?.release();
  }
}

class HeldLock {
  /** Any key that nobody else uses: signed 64 bit. */
  readonly key: string;
  readonly #control: ControlLink;
  readonly #connection: ControlConnection;
  #released = false;

  private constructor(control: ControlLink, connection: ControlConnection, key: string) {
    this.#control = control;
    this.#connection = connection;
    this.key = key;
  }

  /** Undefined where there is no connection that works. */
  static async take(control: ControlLink): Promise<HeldLock | undefined> {
    // The one that is kept may be dead, the next one is new.
    for (let attempt = 0; attempt < 2; attempt++) {
      const key = randomBytes(8).readBigInt64BE().toString();
      try {
        const connection = await control.connection();
        await connection.query('SELECT pg_catalog.pg_advisory_lock($1)', [key]);
        return new HeldLock(control, connection, key);
      } catch {
        continue;
      }
    }
    return undefined;
  }

  async isHeld(): Promise<boolean> {
    try {
      await this.#connection.query('SELECT 1');
      return true;
    } catch {
      return false;
    }
  }

  async release(): Promise<void> {
    if (this.#released) return;
    this.#released = true;
    try {
      await this.#connection.query('SELECT pg_catalog.pg_advisory_unlock($1)', [this.key]);
    } catch {
      await this.#control.query(END_HOLDER, [this.key]).catch(() => undefined);
    }
  }
}
