import {hostname} from 'node:os';
import {setTimeout as sleep} from 'node:timers/promises';
import type pg from 'pg';
import type {Logger} from 'pino';

export const LEASE_MS = 10_000;
const RETRY_MS = 200;

/** First half of the advisory lock's key: "slui". The second half is the cluster's number. */
const LOCK_CLASS = 0x736c7569;

/** The two halves of the key of a cluster's advisory lock. */
export function leaseLock(cluster: string): [number, number] {
  return [LOCK_CLASS, Number(cluster.slice(1))];
}

export interface LeaseOptions {
  readonly client: pg.Client;
  readonly cluster: string;
  /** A UUID of this life of the worker. */
  readonly owner: string;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** Every connection of a worker carries this name, so that a successor can find and end all of them. */
export function workerApplicationName(cluster: string, owner: string): string {
  return `sluice worker ${cluster} ${owner.slice(0, 8)}`;
}

/** LIKE pattern of the names of all connections of all workers of a cluster. */
export function workerApplicationNames(cluster: string): string {
  return `sluice worker ${cluster} %`;
}

/**
 * Makes a cluster single. The advisory lock belongs to the worker's control connection and is free as soon as the worker is
 * dead; the lease row runs out when the worker lives but does not move. A worker that owns both has ended every connection
 * of its predecessor, so that the slot is free and nothing of the old one writes to PostgreSQL any more; the targets are
 * fenced afterwards, when each sink opens.
 */
export class Lease {
  readonly #options: LeaseOptions;
  #epoch = 0n;

  private constructor(options: LeaseOptions) {
    this.#options = options;
  }

  /** Waits until the cluster is ours. Throws when `signal` is aborted. */
  static async acquire(options: LeaseOptions): Promise<Lease> {
    const lease = new Lease(options);
    let waiting = false;
    while (!(await lease.#tryLock())) {
      if (!waiting) options.log.info('another worker owns the cluster, waiting');
      waiting = true;
      // Only of him who let it run out: whoever has just got the lock, and takes the lease next, is none of them.
      const hung = await lease.#expiredOwner();
      if (hung !== undefined) await lease.#end(workerApplicationName(options.cluster, hung));
      await sleep(RETRY_MS, undefined, {signal: options.signal});
    }
    await lease.#end(workerApplicationNames(options.cluster));
    await lease.#take();
    return lease;
  }

  /** False: the lease was taken by another worker, and this one must end at once. */
  async renew(): Promise<boolean> {
    const {client, cluster, owner} = this.#options;
    const result = await client.query(
      `UPDATE mz_sluice.lease SET expires_at = clock_timestamp() + $4 * interval '1 ms'
       WHERE cluster = $1 AND owner = $2 AND epoch = $3`,
      [cluster, owner, this.#epoch.toString(), LEASE_MS],
    );
    return result.rowCount === 1;
  }

  /** Lets a successor in without a wait. */
  async release(): Promise<void> {
    const {client, cluster, owner} = this.#options;
    await client.query(`DELETE FROM mz_sluice.lease WHERE cluster = $1 AND owner = $2 AND epoch = $3`, [
      cluster,
      owner,
      this.#epoch.toString(),
    ]);
  }

  async #tryLock(): Promise<boolean> {
    const {client, cluster} = this.#options;
    const {rows} = await client.query<{got: boolean}>('SELECT pg_try_advisory_lock($1, $2) AS got', leaseLock(cluster));
    return rows[0].got;
  }

  async #expiredOwner(): Promise<string | undefined> {
    const {client, cluster} = this.#options;
    const {rows} = await client.query<{owner: string}>(
      'SELECT owner::text FROM mz_sluice.lease WHERE cluster = $1 AND expires_at < clock_timestamp()',
      [cluster],
    );
    return rows[0]?.owner;
  }

  /** Ends connections of other workers by the pattern of their names. */
  async #end(names: string): Promise<void> {
    const {client, cluster, owner} = this.#options;
    const {rows} = await client.query<{pid: number}>(
      `SELECT pid FROM pg_stat_activity
       WHERE datname = current_database() AND application_name LIKE $1 AND application_name <> $2
         -- Anybody may call his session so; one that we may not end is none of ours.
         AND pg_has_role(usesysid, 'USAGE')
         AND pg_terminate_backend(pid, 5000)`,
      [names, workerApplicationName(cluster, owner)],
    );
    if (rows.length > 0) {
      this.#options.log.warn({pids: rows.map(row => row.pid)}, 'ended the connections of an earlier worker');
    }
  }

  async #take(): Promise<void> {
    const {client, cluster, owner} = this.#options;
    const {rows} = await client.query<{epoch: string}>(
      `INSERT INTO mz_sluice.lease AS l (cluster, owner, epoch, backend_pid, host, pid, expires_at)
       VALUES ($1, $2, 1, pg_backend_pid(), $3, $4, clock_timestamp() + $5 * interval '1 ms')
       ON CONFLICT (cluster) DO UPDATE SET owner = excluded.owner, epoch = l.epoch + 1, backend_pid = excluded.backend_pid,
         host = excluded.host, pid = excluded.pid, expires_at = excluded.expires_at
       RETURNING epoch`,
      [cluster, owner, hostname(), process.pid, LEASE_MS],
    );
    this.#epoch = BigInt(rows[0].epoch);
  }
}
