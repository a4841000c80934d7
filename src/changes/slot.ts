import type pg from 'pg';
import {parseLsn, type Lsn} from '../base/lsn.ts';
import {SqlError} from '../base/sql-error.ts';
import {sleepUntil} from './wait.ts';

export interface SlotState {
  readonly plugin: string;
  /** Where decoding would begin again at the latest; undefined for a slot that has lost everything. */
  readonly restartLsn: Lsn | undefined;
  readonly confirmedLsn: Lsn;
  /** Process id of the walsender that reads it now. */
  readonly activePid: number | undefined;
  /** `reserved`, `extended`, `unreserved`, or `lost`: then the position still looks well, and is worth nothing. */
  readonly walStatus: string;
  /** Why the server gave the slot up (17 and newer), as `invalidation_reason` says it. */
  readonly invalidationReason: string | undefined;
  /** Bytes of log that the server keeps because of this slot. */
  readonly retainedBytes: number;
  /** Bytes that may still be written before the slot is lost; undefined = no limit is set. */
  readonly safeBytes: number | undefined;
}

interface SlotRow {
  readonly slot: {
    readonly plugin: string;
    readonly database: string;
    readonly restart_lsn: string | null;
    readonly confirmed_flush_lsn: string | null;
    readonly active_pid: number | null;
    readonly wal_status: string | null;
    readonly safe_wal_size: number | null;
    readonly invalidation_reason?: string | null;
    readonly temporary: boolean;
    readonly two_phase: boolean;
  };
  readonly retained: string | null;
}

/** The slot of this database with that name; undefined = there is none. */
export async function inspectSlot(client: pg.ClientBase, name: string): Promise<SlotState | undefined> {
  const {rows} = await client.query<SlotRow>(
    `SELECT to_jsonb(s) AS slot, pg_wal_lsn_diff(pg_current_wal_lsn(), restart_lsn)::text AS retained
     FROM pg_replication_slots s WHERE slot_name = $1 AND database = current_database()`,
    [name],
  );
  if (rows.length === 0) return undefined;
  const {slot, retained} = rows[0];
  return {
    plugin: slot.plugin,
    restartLsn: slot.restart_lsn === null ? undefined : parseLsn(slot.restart_lsn),
    // NULL only while another session is still making the slot: nothing has been read from it.
    confirmedLsn: slot.confirmed_flush_lsn === null ? 0n : parseLsn(slot.confirmed_flush_lsn),
    activePid: slot.active_pid ?? undefined,
    walStatus: slot.wal_status ?? 'lost',
    invalidationReason: slot.invalidation_reason ?? undefined,
    retainedBytes: Number(retained ?? 0),
    safeBytes: slot.safe_wal_size ?? undefined,
  };
}

/**
 * Makes the cluster's slot and returns the position from which it can be read. Waits for every transaction that is open in the
 * server; `pg_blocking_pids` of the client's backend says which.
 * Errors: 42710 it exists, 53400 all slots are in use, 55000 the server's wal_level is not logical.
 */
export async function createSlot(client: pg.ClientBase, name: string): Promise<Lsn> {
  const {rows} = await client.query<{version: number}>(`SELECT current_setting('server_version_num')::int AS version`);
  // From 17 on a physical standby may keep a copy of the slot, so that it survives a fail-over.
  const failover = rows[0].version >= 170000 ? ', failover => true' : '';
  const created = await client.query<{lsn: string}>(
    `SELECT lsn::text FROM pg_create_logical_replication_slot($1, 'pgoutput', temporary => false, twophase => false${failover})`,
    [name],
  );
  return parseLsn(created.rows[0].lsn);
}

/** Ends the session that reads the slot, if any, and waits until the slot is free. Throws 55006 when it is not after `timeoutMs`. */
export async function releaseSlot(client: pg.ClientBase, name: string, timeoutMs = 30_000): Promise<void> {
  const free = await sleepUntil(timeoutMs, async () => {
    const slot = await inspectSlot(client, name);
    if (slot?.activePid === undefined) return true;
    await client.query('SELECT pg_terminate_backend($1)', [slot.activePid]);
    return false;
  });
  if (!free) throw new SqlError('55006', `replication slot "${name}" is still in use by another session`);
}

/** Drops the slot, if it is there, after ending its reader. */
export async function dropSlot(client: pg.ClientBase, name: string): Promise<void> {
  await releaseSlot(client, name);
  await client.query(
    `SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE slot_name = $1 AND database = current_database()`,
    [name],
  );
}

/**
 * To be asked after a stream has been opened at `start`, when nobody else can move the slot: throws 55000 if the server has
 * already forgotten what lies before its confirmed position, because then it begins later than asked, without a word.
 */
export async function checkStart(client: pg.ClientBase, name: string, walsender: number, start: Lsn): Promise<void> {
  const slot = await inspectSlot(client, name);
  if (slot?.activePid !== walsender) {
    throw new SqlError('08006', `replication slot "${name}" is no longer held by the stream that was opened`);
  }
  if (slot.confirmedLsn > start) {
    throw new SqlError('55000', `replication slot "${name}" has been moved forward by somebody else`, {
      hint: 'Changes have been lost to the sinks of this cluster. Drop them and create them again.',
    });
  }
}
