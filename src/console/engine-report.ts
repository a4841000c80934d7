import type pg from 'pg';
import type {ObjectId, SinkStatus} from '../catalog/definitions.ts';

export interface ClusterReport {
  readonly id: ObjectId;
  readonly name: string;
  /** False: REPLICATION FACTOR 0, nothing of it runs. */
  readonly wanted: boolean;
  readonly leaseLive: boolean;
}

export interface SlotReport {
  readonly cluster: ObjectId;
  readonly active: boolean;
  readonly retainedBytes: number | null;
  /** What may still be written before PostgreSQL gives the slot up; null without a limit. */
  readonly safeBytes: number | null;
}

export interface SinkReport {
  readonly id: ObjectId;
  /** `database.schema.name` */
  readonly name: string;
  readonly cluster: ObjectId;
  readonly status: SinkStatus;
  /** Of a stalled sink: SLxxx, or null where there is none. */
  readonly code: string | null;
  readonly retrying: boolean;
  readonly messagesStaged: number;
  readonly messagesCommitted: number;
  readonly bytesStaged: number;
  readonly bytesCommitted: number;
  /** Null: nothing is committed yet. */
  readonly lagBytes: number | null;
  readonly lagSeconds: number | null;
}

/** One row of the status history that says `stalled`. Numbers of one sink rise. */
export interface StallReport {
  readonly number: number;
  readonly sink: ObjectId;
  readonly code: string | null;
}

/** What the tables of Sluice say at one moment. */
export interface EngineReport {
  readonly clusters: readonly ClusterReport[];
  readonly slots: readonly SlotReport[];
  readonly sinks: readonly SinkReport[];
  /** Those since the numbers that were given. */
  readonly stalls: readonly StallReport[];
}

const REPORT = `
SELECT json_build_object(
  'clusters', (SELECT coalesce(json_agg(json_build_object('id', c.id, 'name', c.name, 'wanted', c.replication_factor > 0,
      'leaseLive', coalesce(l.expires_at >= clock_timestamp(), false)) ORDER BY c.id), '[]')
    FROM mz_sluice.live_cluster c LEFT JOIN mz_sluice.lease l ON l.cluster = c.id),
  'slots', (SELECT coalesce(json_agg(json_build_object('cluster', cluster_id, 'active', active, 'retainedBytes', retained_bytes,
      'safeBytes', safe_wal_size) ORDER BY cluster_id), '[]')
    FROM mz_internal.mz_sluice_slots),
  'sinks', (SELECT coalesce(json_agg(json_build_object('id', st.id, 'name', mz_sluice.full_name(i.schema, i.name), 'cluster', s.cluster,
      'status', st.status, 'code', st.details ->> 'code', 'retrying', coalesce((st.details -> 'retrying')::boolean, false),
      'messagesStaged', n.messages_staged, 'messagesCommitted', n.messages_committed,
      'bytesStaged', n.bytes_staged, 'bytesCommitted', n.bytes_committed,
      'lagBytes', lag.lag_bytes,
      'lagSeconds', lag.lag_seconds) ORDER BY i.created_at, st.id), '[]')
    FROM mz_internal.mz_sink_statuses st
    JOIN mz_sluice.item i ON i.id = st.id
    JOIN mz_sluice.sink s ON s.id = st.id
    JOIN mz_sluice.sink_statistics n ON n.sink = st.id
    LEFT JOIN mz_internal.mz_sluice_lag lag ON lag.sink_id = st.id),
  'stalls', (SELECT coalesce(json_agg(json_build_object('number', h.id, 'sink', h.sink, 'code', h.details ->> 'code') ORDER BY h.id), '[]')
    FROM mz_sluice.sink s
    JOIN mz_sluice.sink_status_history h ON h.sink = s.id AND h.id > coalesce(($1::jsonb ->> s.id)::bigint, 0)
    WHERE h.status = 'stalled')) AS report`;

/** `after`: the number of the last stall that is known, by sink. */
export async function readEngine(client: pg.Client, after: ReadonlyMap<ObjectId, number>): Promise<EngineReport> {
  const {rows} = await client.query<{report: EngineReport}>(REPORT, [JSON.stringify(Object.fromEntries(after))]);
  return rows[0].report;
}
