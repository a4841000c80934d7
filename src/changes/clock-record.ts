import type pg from 'pg';
import {formatLsn, parseLsn, type Lsn} from '../base/lsn.ts';
import type {StreamPosition} from './ack-gate.ts';
import {isInOurPast, type SystemIdentity, type TimelineSwitch} from './system-identity.ts';

/** The logical clock's value at an end LSN that may be confirmed. */
export interface ClockRecord extends StreamPosition, SystemIdentity {}

/**
 * Where the stream may begin again so that it tells the same times as before: the furthest recorded position that the slot can
 * still be read from and that no sink has passed. Undefined: there is none, and the sinks cannot go on.
 */
export function chooseStart(
  records: readonly ClockRecord[],
  bounds: {
    readonly confirmed: Lsn;
    /** Smallest end LSN of the sinks' progress; undefined when no sink has any. */
    readonly progress: Lsn | undefined;
    readonly present: SystemIdentity;
    readonly history: readonly TimelineSwitch[];
  },
): ClockRecord | undefined {
  const {confirmed, progress, present, history} = bounds;
  let best: ClockRecord | undefined;
  for (const record of records) {
    if (record.endLsn < confirmed || (progress !== undefined && record.endLsn > progress)) continue;
    if (!isInOurPast(record, present, history)) continue;
    if (best === undefined || record.endLsn > best.endLsn) best = record;
  }
  return best;
}

export async function readClockRecords(client: pg.ClientBase, slot: string): Promise<ClockRecord[]> {
  const {rows} = await client.query<{system: string; timeline: number; lsn: string; time: string}>(
    `SELECT system::text, timeline, c.lsn::text, time::text FROM mz_sluice.clock c WHERE slot = $1 ORDER BY c.lsn`,
    [slot],
  );
  return rows.map(({system, timeline, lsn, time}) => ({
    system: BigInt(system),
    timeline,
    endLsn: parseLsn(lsn),
    clock: BigInt(time),
  }));
}

/** To be durable before the slot is told. Repeating it changes nothing: the same position has the same time. */
export async function recordClock(client: pg.ClientBase, slot: string, record: ClockRecord): Promise<void> {
  const {system, timeline, endLsn, clock} = record;
  await client.query(
    `INSERT INTO mz_sluice.clock (slot, system, timeline, lsn, time) VALUES ($1, $2, $3, $4, $5)
     ON CONFLICT (slot, lsn) DO UPDATE SET system = excluded.system, timeline = excluded.timeline, time = excluded.time,
       recorded_at = excluded.recorded_at`,
    [slot, system.toString(), timeline, formatLsn(endLsn), clock.toString()],
  );
}

/**
 * Forgets positions below `confirmed`, from which nothing can be read again. Not the highest of them: the slot on disk may lag behind
 * what it was told, and after a crash it says so.
 */
export async function forgetClockRecords(client: pg.ClientBase, slot: string, confirmed: Lsn): Promise<void> {
  await client.query(
    `DELETE FROM mz_sluice.clock WHERE slot = $1 AND lsn < $2::pg_lsn AND recorded_at < now() - interval '1 hour'`,
    [slot, formatLsn(confirmed)],
  );
}

/** After the slot has been dropped: its successor of the same name begins with other positions. */
export async function clearClockRecords(client: pg.ClientBase, slot: string): Promise<void> {
  await client.query('DELETE FROM mz_sluice.clock WHERE slot = $1', [slot]);
}
