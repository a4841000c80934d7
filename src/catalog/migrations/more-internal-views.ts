import {emptyViews} from './empty-views.ts';
import type {Migration} from './migration.ts';

const STATISTICS =
  'id text, replica_id text, messages_received uint8, bytes_received uint8, updates_staged uint8, updates_committed uint8, records_indexed uint8, bytes_indexed uint8, rehydration_latency interval, snapshot_records_known uint8, snapshot_records_staged uint8, snapshot_committed boolean, offset_known uint8, offset_committed uint8';
const SOURCE_TABLE = 'id text, schema_name text, table_name text';

/** The rest of mz_internal, as far as clients are known to ask for it. */
export const moreInternalViews: Migration = {
  version: 13,
  name: 'more views of mz_internal',
  sql: `
${emptyViews({
  'mz_internal.mz_source_statuses':
    'id text, name text, type text, last_status_change_at timestamptz, status text, error text, details jsonb',
  'mz_internal.mz_source_status_history':
    'occurred_at timestamptz, source_id text, status text, error text, details jsonb, replica_id text',
  'mz_internal.mz_source_statistics': STATISTICS,
  'mz_internal.mz_source_statistics_raw': STATISTICS,
  'mz_internal.mz_aws_connections':
    'id text, endpoint text, region text, access_key_id text, access_key_id_secret_id text, secret_access_key_secret_id text, session_token text, session_token_secret_id text, assume_role_arn text, assume_role_session_name text, principal text, external_id text, example_trust_policy jsonb',
  'mz_internal.mz_compute_dependencies': 'object_id text, dependency_id text',
  'mz_internal.mz_compute_hydration_statuses':
    'object_id text, replica_id text, hydrated boolean, hydration_time interval',
  'mz_internal.mz_history_retention_strategies': 'id text, strategy text, value jsonb',
  'mz_internal.mz_materialized_view_refresh_strategies':
    'materialized_view_id text, type text, interval interval, aligned_to timestamptz, at timestamptz',
  'mz_internal.mz_materialized_view_refreshes':
    'materialized_view_id text, last_completed_refresh mz_timestamp, next_refresh mz_timestamp',
  'mz_internal.mz_subscriptions':
    'id text, session_id uuid, cluster_id text, created_at timestamptz, referenced_object_ids text[]',
  'mz_internal.mz_cluster_replica_status_history':
    'replica_id text, process_id uint8, status text, reason text, occurred_at timestamptz',
  'mz_internal.mz_cluster_replica_metrics':
    'replica_id text, process_id uint8, cpu_nano_cores uint8, memory_bytes uint8, disk_bytes uint8',
  'mz_internal.mz_cluster_replica_utilization':
    'replica_id text, process_id uint8, cpu_percent float8, memory_percent float8, disk_percent float8',
  'mz_internal.mz_webhook_sources': 'id text, name text, url text',
  'mz_internal.mz_source_references':
    'source_id text, namespace text, name text, updated_at timestamptz, columns text[]',
  'mz_internal.mz_postgres_sources': 'id text, replication_slot text, timeline_id uint8',
  'mz_internal.mz_postgres_source_tables': SOURCE_TABLE,
  'mz_internal.mz_mysql_source_tables': SOURCE_TABLE,
  'mz_internal.mz_sql_server_source_tables': SOURCE_TABLE,
  'mz_internal.mz_kafka_source_tables': 'id text, topic text, envelope_type text, key_format text, value_format text',
  'mz_internal.mz_recent_activity_log':
    'execution_id uuid, sql text, statement_type text, application_name text, cluster_name text, database_name text, began_at timestamptz, finished_at timestamptz, finished_status text, error_message text, rows_returned bigint, session_id uuid',
  'mz_internal.mz_statement_execution_history':
    'id uuid, cluster_id text, application_name text, cluster_name text, began_at timestamptz, finished_at timestamptz, finished_status text, error_message text, rows_returned bigint',
  'mz_internal.mz_notices':
    'id text, notice_type text, message text, hint text, action text, object_id text, created_at timestamptz',
  'mz_internal.mz_network_policies': 'id text, name text, owner_id text, privileges mz_aclitem[], oid oid',
  'mz_internal.mz_network_policy_rules': 'name text, policy_id text, action text, address text, direction text',
  'mz_internal.mz_cluster_reconfigurations': 'cluster_id text, status text',
  'mz_internal.mz_cluster_auto_scaling_strategies': 'cluster_id text, strategy text',
})}

CREATE VIEW mz_internal.mz_object_transitive_dependencies AS
WITH RECURSIVE reach (object_id, referenced_object_id) AS (
  SELECT object_id, referenced_object_id FROM mz_internal.mz_object_dependencies
  UNION
  SELECT r.object_id, d.referenced_object_id FROM reach r JOIN mz_internal.mz_object_dependencies d ON d.object_id = r.referenced_object_id
)
SELECT object_id, referenced_object_id FROM reach;

CREATE VIEW mz_internal.mz_materialization_dependencies AS
SELECT i.id AS object_id, r.id AS dependency_id
FROM mz_sluice.sink s JOIN mz_sluice.live_item i ON i.id = s.id JOIN mz_sluice.relation r ON r.oid = s.relation;

-- A sink is hydrated when it has written its snapshot and follows the log.
CREATE VIEW mz_internal.mz_hydration_statuses AS
SELECT i.id AS object_id, s.cluster AS replica_id,
  EXISTS (SELECT FROM mz_sluice.sink_status_history h WHERE h.sink = i.id AND h.status = 'running') AS hydrated
FROM mz_sluice.sink s JOIN mz_sluice.live_item i ON i.id = s.id;

-- No history is kept of these: the present, at the minute that it belongs to.
CREATE VIEW mz_internal.mz_wallclock_global_lag_recent_history AS
SELECT object_id, lag, date_trunc('minute', statement_timestamp()) AS occurred_at FROM mz_internal.mz_wallclock_global_lag;

CREATE VIEW mz_internal.mz_wallclock_global_lag_history AS
SELECT object_id, lag, occurred_at FROM mz_internal.mz_wallclock_global_lag_recent_history;

CREATE VIEW mz_internal.mz_wallclock_lag_history AS
SELECT h.object_id, s.cluster AS replica_id, h.lag, h.occurred_at
FROM mz_internal.mz_wallclock_global_lag_recent_history h JOIN mz_sluice.sink s ON s.id = h.object_id;

CREATE VIEW mz_internal.mz_materialization_lag AS
SELECT l.object_id, l.lag AS local_lag, l.lag AS global_lag, d.dependency_id AS slowest_local_input_id, d.dependency_id AS slowest_global_input_id
FROM mz_internal.mz_wallclock_global_lag l JOIN mz_internal.mz_materialization_dependencies d ON d.object_id = l.object_id;

-- PostgreSQL shows a reader the addresses of his own sessions only.
CREATE VIEW mz_internal.mz_sessions AS
SELECT md5(pid || ' ' || coalesce(backend_start::text, ''))::uuid AS id, pid::mz_catalog.uint4 AS connection_id, mz_sluice.role_id(usesysid) AS role_id,
  host(client_addr) AS client_ip, backend_start AS connected_at
FROM pg_stat_activity WHERE backend_type = 'client backend' AND datname = current_database();

-- All replicas of a cluster are its one process, which holds the lease while it runs.
CREATE VIEW mz_internal.mz_cluster_replica_statuses AS
SELECT r.id AS replica_id, 0::mz_catalog.uint8 AS process_id,
  CASE WHEN l.expires_at > statement_timestamp() THEN 'online' ELSE 'offline' END AS status, NULL::text AS reason, statement_timestamp() AS updated_at
FROM mz_catalog.mz_cluster_replicas r LEFT JOIN mz_sluice.lease l ON l.cluster = r.cluster_id;

CREATE VIEW mz_internal.mz_cluster_schedules AS
SELECT id AS cluster_id, 'manual'::text AS type, NULL::interval AS refresh_hydration_time_estimate FROM mz_sluice.live_cluster;

CREATE VIEW mz_internal.mz_object_fully_qualified_names AS
SELECT o.id, o.name, o.type AS object_type, s.id AS schema_id, s.name AS schema_name, s.database_id,
  CASE WHEN s.database_id IS NOT NULL THEN current_database()::text COLLATE "default" END AS database_name, o.cluster_id
FROM mz_catalog.mz_objects o JOIN mz_catalog.mz_schemas s ON s.id = o.schema_id;

-- Each privilege in a row of its own, of everything that a user has made.
CREATE VIEW mz_sluice.privilege AS
SELECT g.name AS grantor, coalesce(r.name, 'PUBLIC') AS grantee, a.database, a.schema, a.name, a.object_type, l.privilege_type, r.oid AS grantee_oid
FROM (
  SELECT current_database()::text COLLATE "default" AS database, s.name AS schema, o.name, o.type AS object_type, unnest(o.privileges)::text AS item
  FROM mz_catalog.mz_objects o JOIN mz_catalog.mz_schemas s ON s.id = o.schema_id WHERE starts_with(o.id, 'u') AND starts_with(s.id, 'u')
  UNION ALL SELECT current_database()::text COLLATE "default", NULL, name, 'schema', unnest(privileges)::text FROM mz_catalog.mz_schemas WHERE starts_with(id, 'u')
  UNION ALL SELECT NULL, NULL, name, 'database', unnest(privileges)::text FROM mz_catalog.mz_databases
  UNION ALL SELECT NULL, NULL, name, 'cluster', unnest(privileges)::text FROM mz_catalog.mz_clusters
  UNION ALL SELECT NULL, NULL, NULL, 'system', privileges::text FROM mz_catalog.mz_system_privileges
) AS a
JOIN (VALUES ('r', 'SELECT'), ('a', 'INSERT'), ('w', 'UPDATE'), ('d', 'DELETE'), ('C', 'CREATE'), ('U', 'USAGE'), ('R', 'CREATEROLE'),
  ('B', 'CREATEDB'), ('N', 'CREATECLUSTER'), ('P', 'CREATENETWORKPOLICY')) AS l (letter, privilege_type)
  ON strpos(substring(a.item, '=(.*)/'), l.letter) > 0
JOIN mz_catalog.mz_roles g ON g.id = substring(a.item, '/(.*)$')
LEFT JOIN mz_catalog.mz_roles r ON r.id = substring(a.item, '^(.*)=');

CREATE VIEW mz_internal.mz_show_all_privileges AS
SELECT grantor, grantee, database, schema, name, object_type, privilege_type, grantee_oid FROM mz_sluice.privilege;

-- What the reader has himself, through membership, or as everybody has.
CREATE VIEW mz_internal.mz_show_my_object_privileges AS
SELECT grantor, grantee, database, schema, name, object_type, privilege_type FROM mz_sluice.privilege
WHERE object_type NOT IN ('schema', 'database', 'cluster', 'system') AND (grantee_oid IS NULL OR pg_has_role(grantee_oid, 'USAGE'));

CREATE VIEW mz_internal.mz_show_my_cluster_privileges AS
SELECT grantor, grantee, name, privilege_type FROM mz_sluice.privilege
WHERE object_type = 'cluster' AND (grantee_oid IS NULL OR pg_has_role(grantee_oid, 'USAGE'));

GRANT SELECT ON ALL TABLES IN SCHEMA mz_internal TO PUBLIC;
REVOKE ALL ON ALL FUNCTIONS IN SCHEMA mz_sluice FROM PUBLIC;
-- The views call these as whoever reads them.
GRANT EXECUTE ON FUNCTION mz_sluice.role_id, mz_sluice.schema_id, mz_sluice.type_id, mz_sluice.acl, mz_sluice.print_sql, mz_sluice.slot_name TO PUBLIC;
`,
};
