import type pg from 'pg';
import {parseLsn, type Lsn} from '../base/lsn.ts';
import {connect} from '../engine/connect.ts';
import type {EngineAddress} from '../engine/address.ts';

/** Which PostgreSQL wrote a position: LSNs of another system, or of a timeline that forked off before, mean nothing here. */
export interface SystemIdentity {
  readonly system: bigint;
  readonly timeline: number;
}

/** The timeline is that of the log being written now, not of the last checkpoint. Fails on a standby (55000). */
export async function identifySystem(client: pg.ClientBase): Promise<SystemIdentity> {
  const {rows} = await client.query<{system: string; timeline: string}>(
    `SELECT system_identifier::text AS system, substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8) AS timeline
     FROM pg_control_system()`,
  );
  return {system: BigInt(rows[0].system), timeline: Number.parseInt(rows[0].timeline, 16)};
}

/** Where the log left a timeline for the next one. */
export interface TimelineSwitch {
  readonly timeline: number;
  /** The timeline's last position: what was written on it behind this is not in our past. */
  readonly end: Lsn;
}

/** Reads a timeline history file: lines of timeline, switch position and reason; `#` begins a comment. */
export function parseTimelineHistory(text: string): TimelineSwitch[] {
  return text.split('\n').flatMap(line => {
    const match = /^\s*(\d+)\s+([0-9A-Fa-f]+\/[0-9A-Fa-f]+)/.exec(line);
    return match === null ? [] : [{timeline: Number(match[1]), end: parseLsn(match[2])}];
  });
}

/** How the server came to its present timeline. Needs the REPLICATION attribute. */
export async function readTimelineHistory(address: EngineAddress, timeline: number): Promise<TimelineSwitch[]> {
  // The first timeline has no history file.
  if (timeline === 1) return [];
  const client = await connect(address, {applicationName: 'sluice timeline history', replication: 'database'});
  try {
    const {rows} = await client.query<{content: string | Buffer}>(`TIMELINE_HISTORY ${timeline}`);
    return parseTimelineHistory(rows[0].content.toString());
  } finally {
    await client.end();
  }
}

/** Whether the position was reached on the way to the server's present state. */
export function isInOurPast(
  position: SystemIdentity & {readonly endLsn: Lsn},
  present: SystemIdentity,
  history: readonly TimelineSwitch[],
): boolean {
  if (position.system !== present.system) return false;
  if (position.timeline === present.timeline) return true;
  const left = history.find(({timeline}) => timeline === position.timeline);
  return left !== undefined && position.endLsn <= left.end;
}
