import type pg from 'pg';
import {sleepUntil} from './wait.ts';

/** A transaction that holds a lock on a table. */
export interface LockHolder {
  /** Tells it from every other transaction of the server, past ones included. */
  readonly virtualTransaction: string;
  /** Undefined for a prepared transaction. */
  readonly pid: number | undefined;
  readonly gid: string | undefined;
}

export interface TableLocks {
  readonly relations: readonly number[];
  /** Names of `pg_locks.mode`. */
  readonly modes: readonly string[];
}

/** Whoever has changed rows holds the first of these until his transaction has left the list of running ones. */
export const WRITERS: readonly string[] = [
  'RowExclusiveLock',
  'ShareRowExclusiveLock',
  'ExclusiveLock',
  'AccessExclusiveLock',
];
export const EVERYBODY: readonly string[] = [
  'AccessShareLock',
  'RowShareLock',
  'ShareUpdateExclusiveLock',
  'ShareLock',
  ...WRITERS,
];

export async function lockHolders(client: pg.ClientBase, {relations, modes}: TableLocks): Promise<LockHolder[]> {
  const {rows} = await client.query<{virtual: string; pid: number | null; gid: string | null}>(
    // A prepared transaction is found by its own id, on which it holds a lock too.
    `SELECT DISTINCT l.virtualtransaction AS virtual, l.pid, p.gid FROM pg_locks l
     LEFT JOIN pg_locks x ON l.pid IS NULL AND x.pid IS NULL AND x.locktype = 'transactionid' AND x.granted
       AND x.virtualtransaction = l.virtualtransaction
     LEFT JOIN pg_prepared_xacts p ON p.transaction = x.transactionid
     WHERE l.locktype = 'relation' AND l.granted AND l.relation = ANY ($1::oid[]) AND l.mode = ANY ($2)
       AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
       AND l.pid IS DISTINCT FROM pg_backend_pid()`,
    [relations, modes],
  );
  return rows.map(({virtual, pid, gid}) => ({
    virtualTransaction: virtual,
    pid: pid ?? undefined,
    gid: gid ?? undefined,
  }));
}

/** For people: `transaction of pid 4711, prepared transaction "x"`. */
export function describeHolders(holders: readonly LockHolder[]): string {
  return holders
    .map(({pid, gid, virtualTransaction}) => {
      if (pid !== undefined) return `transaction of pid ${pid}`;
      return gid === undefined ? `prepared transaction ${virtualTransaction}` : `prepared transaction "${gid}"`;
    })
    .join(', ');
}

/** The same of what `pg_blocking_pids` says, where 0 stands for a prepared transaction. */
export function describeBlockers(pids: readonly number[]): string {
  const processes = pids.filter(pid => pid !== 0);
  const said = processes.length > 0 ? [`transactions of pid ${processes.join(', ')}`] : [];
  if (processes.length < pids.length) said.push('prepared transactions (see pg_prepared_xacts)');
  return said.join(', ');
}

/** Waits until everybody who holds such a lock now has ended his transaction, however long that takes. Later holders do not count. */
export async function waitForHolders(
  client: pg.ClientBase,
  locks: TableLocks,
  waiting: (holders: readonly LockHolder[]) => void,
  signal?: AbortSignal,
): Promise<void> {
  let remaining: LockHolder[] | undefined;
  let told = '';
  await sleepUntil(
    Infinity,
    async () => {
      const holders = await lockHolders(client, locks);
      const now = new Set(holders.map(holder => holder.virtualTransaction));
      remaining = (remaining ?? holders).filter(holder => now.has(holder.virtualTransaction));
      const text = describeHolders(remaining);
      if (remaining.length > 0 && text !== told) waiting(remaining);
      told = text;
      return remaining.length === 0;
    },
    signal,
  );
}
