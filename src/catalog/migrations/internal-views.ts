import type {Migration} from './migration.ts';

/** `mz_internal`: how sinks are doing. `mz_sluice_…` are ours; the other names and columns are Materialize's. */
export const internalViews: Migration = {
  version: 8,
  name: 'views of mz_internal',
  sql: `
CREATE VIEW mz_internal.mz_sink_status_history AS
SELECT occurred_at, sink AS sink_id, status, error, details, replica AS replica_id FROM mz_sluice.sink_status_history;

-- A cluster without replicas runs nothing, whatever its worker said last.
CREATE VIEW mz_internal.mz_sink_statuses AS
SELECT i.id, i.name, i.definition #>> '{target,type}' AS type, coalesce(h.occurred_at, i.created_at) AS last_status_change_at,
  CASE WHEN c.replication_factor = 0 THEN 'paused' ELSE coalesce(h.status, 'created') END AS status,
  CASE WHEN c.replication_factor > 0 THEN h.error END AS error, CASE WHEN c.replication_factor > 0 THEN h.details END AS details
FROM mz_sluice.item i JOIN mz_sluice.live_item l ON l.id = i.id JOIN mz_sluice.sink s ON s.id = i.id
LEFT JOIN mz_sluice.cluster c ON c.id = s.cluster
LEFT JOIN LATERAL (
  SELECT h.occurred_at, h.status, h.error, h.details FROM mz_sluice.sink_status_history h WHERE h.sink = i.id ORDER BY h.id DESC LIMIT 1
) AS h ON true;

CREATE VIEW mz_internal.mz_sink_statistics AS
SELECT t.sink AS id, s.cluster AS replica_id, messages_staged::mz_catalog.uint8, messages_committed::mz_catalog.uint8,
  bytes_staged::mz_catalog.uint8, bytes_committed::mz_catalog.uint8
FROM mz_sluice.sink_statistics t JOIN mz_sluice.sink s ON s.id = t.sink JOIN mz_sluice.live_item i ON i.id = t.sink;

CREATE VIEW mz_internal.mz_sink_statistics_raw AS SELECT * FROM mz_internal.mz_sink_statistics;

-- 0: nothing committed yet. What is not in here is gone.
CREATE VIEW mz_internal.mz_frontiers AS
SELECT t.sink AS object_id, NULL::mz_catalog.mz_timestamp AS read_frontier, coalesce(t.time, 0)::mz_catalog.mz_timestamp AS write_frontier
FROM mz_sluice.sink_state t JOIN mz_sluice.live_item i ON i.id = t.sink
UNION ALL
SELECT r.id, (now.ms - 1)::mz_catalog.mz_timestamp, now.ms::mz_catalog.mz_timestamp
FROM mz_sluice.relation r, (SELECT floor(extract(epoch FROM statement_timestamp()) * 1000) AS ms) AS now
WHERE r.type = 'table' AND starts_with(r.id, 'u');

CREATE VIEW mz_internal.mz_wallclock_global_lag AS
SELECT t.sink AS object_id,
  CASE WHEN t.time IS NOT NULL THEN greatest(statement_timestamp() - to_timestamp(t.time / 1000.0), interval '0') END AS lag
FROM mz_sluice.sink_state t JOIN mz_sluice.live_item i ON i.id = t.sink;

-- How far each sink is behind: bytes of the log between what it has committed and the log's end, and seconds of its clock. Null: it has not
-- committed anything yet.
CREATE VIEW mz_internal.mz_sluice_lag AS
SELECT t.sink AS sink_id, i.name, s.cluster AS cluster_id, t.end_lsn,
  CASE WHEN t.end_lsn IS NOT NULL THEN greatest(pg_current_wal_insert_lsn() - t.end_lsn, 0) END AS lag_bytes,
  CASE WHEN t.time IS NOT NULL THEN greatest(extract(epoch FROM statement_timestamp()) - t.time / 1000.0, 0) END::double precision AS lag_seconds,
  t.updated_at
FROM mz_sluice.sink_state t JOIN mz_sluice.sink s ON s.id = t.sink JOIN mz_sluice.live_item i ON i.id = t.sink;

-- Names of slots belong to the whole server.
CREATE FUNCTION mz_sluice.slot_name(cluster text) RETURNS name LANGUAGE sql STABLE
RETURN format('sluice_%s_%s', (SELECT oid FROM pg_database WHERE datname = current_database()), cluster)::name;

-- Each cluster's replication slot and the log that it keeps from being removed.
CREATE VIEW mz_internal.mz_sluice_slots AS
SELECT c.id AS cluster_id, c.name, r.slot_name::text COLLATE "default", r.active, r.restart_lsn, r.confirmed_flush_lsn, r.wal_status, r.safe_wal_size,
  pg_current_wal_insert_lsn() - r.restart_lsn AS retained_bytes
FROM mz_sluice.live_cluster c JOIN pg_replication_slots r ON r.slot_name = mz_sluice.slot_name(c.id);

-- Names of objects by OID: relations, and items by their anchors.
CREATE VIEW mz_sluice.object_of_oid AS
SELECT oid, id, type FROM mz_sluice.relation
UNION ALL
SELECT oid, id, kind FROM mz_sluice.live_item;

CREATE VIEW mz_internal.mz_object_dependencies AS
SELECT o.id AS object_id, r.id AS referenced_object_id
FROM mz_sluice.anchor_dependency d
JOIN mz_sluice.object_of_oid o ON o.oid = d.anchor
JOIN mz_sluice.object_of_oid r ON r.oid = d.refobjid
WHERE d.refclassid = 'pg_class'::regclass AND starts_with(o.id, 'u');

CREATE VIEW mz_internal.mz_comments AS
SELECT o.id, o.type AS object_type,
  CASE WHEN d.objsubid > 0 THEN
    (SELECT count(*)::integer FROM pg_attribute b WHERE b.attrelid = d.objoid AND b.attnum BETWEEN 1 AND d.objsubid AND NOT b.attisdropped)
  END AS object_sub_id, d.description COLLATE "default" AS comment
FROM pg_description d JOIN mz_sluice.object_of_oid o ON o.oid = d.objoid
WHERE d.classoid = 'pg_class'::regclass AND starts_with(o.id, 'u')
UNION ALL
SELECT c.id, 'cluster', NULL, d.description COLLATE "default"
FROM pg_description d JOIN mz_sluice.live_cluster c ON c.anchor = d.objoid WHERE d.classoid = 'pg_class'::regclass
UNION ALL
SELECT 'u' || t.oid, 'type', NULL, d.description COLLATE "default"
FROM pg_description d JOIN pg_type t ON t.oid = d.objoid
WHERE d.classoid = 'pg_type'::regclass AND starts_with(mz_sluice.schema_id(t.typnamespace), 'u')
UNION ALL
SELECT 'u' || p.oid, 'function', NULL, d.description COLLATE "default"
FROM pg_description d JOIN pg_proc p ON p.oid = d.objoid
WHERE d.classoid = 'pg_proc'::regclass AND starts_with(mz_sluice.schema_id(p.pronamespace), 'u')
UNION ALL
SELECT mz_sluice.schema_id(n.oid), 'schema', NULL, d.description COLLATE "default"
FROM pg_description d JOIN pg_namespace n ON n.oid = d.objoid WHERE d.classoid = 'pg_namespace'::regclass AND n.nspname <> 'mz_sluice'
UNION ALL
SELECT 'u' || b.oid, 'database', NULL, d.description COLLATE "default"
FROM pg_shdescription d JOIN pg_database b ON b.oid = d.objoid WHERE d.classoid = 'pg_database'::regclass AND NOT b.datistemplate
UNION ALL
SELECT mz_sluice.role_id(a.oid), 'role', NULL, d.description COLLATE "default"
FROM pg_shdescription d JOIN pg_roles a ON a.oid = d.objoid WHERE d.classoid = 'pg_authid'::regclass;

GRANT SELECT ON ALL TABLES IN SCHEMA mz_internal TO PUBLIC;
`,
};
