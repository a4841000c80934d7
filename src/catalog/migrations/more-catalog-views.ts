import {emptyViews} from './empty-views.ts';
import type {Migration} from './migration.ts';

/** The rest of mz_catalog. What Sluice has none of is there and empty, because clients join it. */
export const moreCatalogViews: Migration = {
  version: 12,
  name: 'more views of mz_catalog',
  sql: `
${emptyViews({
  mz_sources:
    'id text, oid oid, schema_id text, name text, type text, connection_id text, size text, envelope_type text, key_format text, value_format text, cluster_id text, owner_id text, privileges mz_aclitem[], create_sql text, redacted_create_sql text',
  mz_kafka_sources: 'id text, group_id_prefix text, topic text',
  mz_iceberg_sinks: 'id text, namespace text, "table" text',
  mz_ssh_tunnel_connections: 'id text, public_key_1 text, public_key_2 text',
  mz_aws_privatelink_connections: 'id text, principal text',
  mz_list_types: 'id text, element_id text, element_modifiers uint8[]',
  mz_map_types: 'id text, key_id text, value_id text, key_modifiers uint8[], value_modifiers uint8[]',
  mz_egress_ips: 'egress_ip text, prefix_length integer, cidr text',
})}

CREATE VIEW mz_catalog.mz_materialized_views AS
SELECT id, oid, schema_id, name, NULL::text AS cluster_id, pg_get_viewdef(oid) AS definition, owner_id,
  mz_sluice.acl(relacl, 'table', relowner) AS privileges,
  mz_internal.relation_sql(oid, false) AS create_sql, mz_internal.relation_sql(oid, true) AS redacted_create_sql
FROM mz_sluice.relation WHERE type = 'materialized-view';

CREATE VIEW mz_catalog.mz_indexes AS
SELECT i.id, i.oid, i.name, r.id AS on_id, NULL::text AS cluster_id, i.owner_id,
  mz_internal.relation_sql(i.oid, false) AS create_sql, mz_internal.relation_sql(i.oid, true) AS redacted_create_sql
FROM mz_sluice.relation i JOIN pg_index x ON x.indexrelid = i.oid JOIN mz_sluice.relation r ON r.oid = x.indrelid WHERE i.type = 'index';

CREATE VIEW mz_catalog.mz_index_columns AS
SELECT i.id AS index_id, k.n::mz_catalog.uint8 AS index_position,
  (SELECT count(*) FROM pg_attribute b WHERE b.attrelid = x.indrelid AND b.attnum BETWEEN 1 AND a.attnum AND NOT b.attisdropped HAVING a.attnum IS NOT NULL)::mz_catalog.uint8 AS on_position,
  CASE WHEN k.attnum = 0 THEN pg_get_indexdef(x.indexrelid, k.n::integer, false) END AS on_expression,
  NOT coalesce(a.attnotnull, false) AS nullable
FROM mz_sluice.relation i JOIN pg_index x ON x.indexrelid = i.oid
CROSS JOIN LATERAL unnest(x.indkey::smallint[]) WITH ORDINALITY AS k (attnum, n)
LEFT JOIN pg_attribute a ON a.attrelid = x.indrelid AND a.attnum = k.attnum AND k.attnum > 0
WHERE i.type = 'index' AND k.n <= x.indnkeyatts;

-- Sizes are labels; the list is what others accept, and what is in use.
CREATE VIEW mz_catalog.mz_cluster_replica_sizes AS
SELECT size, 1::mz_catalog.uint8 AS processes, 1::mz_catalog.uint8 AS workers, NULL::mz_catalog.uint8 AS cpu_nano_cores,
  NULL::mz_catalog.uint8 AS memory_bytes, NULL::mz_catalog.uint8 AS disk_bytes, 0::numeric AS credits_per_hour
FROM (
  SELECT unnest('{25cc,50cc,100cc,200cc,300cc,400cc,600cc,800cc,1200cc,1600cc,3200cc,6400cc,128C,256C,512C}'::text[]) AS size
  UNION SELECT size FROM mz_catalog.mz_cluster_replicas
) AS s;

CREATE VIEW mz_catalog.mz_cluster_replica_frontiers AS
SELECT t.sink AS object_id, s.cluster AS replica_id, coalesce(t.time, 0)::mz_catalog.mz_timestamp AS write_frontier
FROM mz_sluice.sink_state t JOIN mz_sluice.sink s ON s.id = t.sink JOIN mz_sluice.live_item i ON i.id = t.sink;

CREATE VIEW mz_catalog.mz_role_members AS
SELECT mz_sluice.role_id(roleid) AS role_id, mz_sluice.role_id(member) AS member, mz_sluice.role_id(grantor) AS grantor FROM pg_auth_members;

CREATE VIEW mz_catalog.mz_role_parameters AS
SELECT mz_sluice.role_id(s.setrole) AS role_id, regexp_replace(split_part(c, '=', 1), '^sluice\\.', '') COLLATE "default" AS parameter_name, substr(c, strpos(c, '=') + 1) COLLATE "default" AS parameter_value
FROM pg_db_role_setting s, unnest(s.setconfig) AS c
WHERE s.setrole <> 0 AND s.setdatabase IN (0, (SELECT oid FROM pg_database WHERE datname = current_database()));

CREATE VIEW mz_catalog.mz_types AS
SELECT left(s.id, 1) || t.oid AS id, t.oid, s.id AS schema_id, t.typname::text COLLATE "default" AS name,
  CASE t.typcategory WHEN 'A' THEN 'array' WHEN 'B' THEN 'boolean' WHEN 'C' THEN 'composite' WHEN 'D' THEN 'date-time' WHEN 'E' THEN 'enum'
    WHEN 'G' THEN 'geometric' WHEN 'I' THEN 'network-address' WHEN 'N' THEN 'numeric' WHEN 'P' THEN 'pseudo' WHEN 'R' THEN 'range'
    WHEN 'S' THEN 'string' WHEN 'T' THEN 'timespan' WHEN 'V' THEN 'bit-string' ELSE 'user-defined' END AS category,
  mz_sluice.role_id(t.typowner) AS owner_id, mz_sluice.acl(t.typacl, 'type', t.typowner) AS privileges,
  CASE WHEN starts_with(s.id, 'u') THEN mz_internal.type_sql(t.oid, false) END AS create_sql,
  CASE WHEN starts_with(s.id, 'u') THEN mz_internal.type_sql(t.oid, true) END AS redacted_create_sql
FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace, LATERAL (SELECT mz_sluice.schema_id(n.oid) AS id) AS s
WHERE n.nspname <> 'mz_sluice' AND NOT starts_with(n.nspname::text, 'pg_toast') AND NOT starts_with(n.nspname::text, 'pg_temp')
  -- Not those that come with a relation.
  AND (t.typrelid = 0 OR EXISTS (SELECT FROM pg_class c WHERE c.oid = t.typrelid AND c.relkind = 'c'))
  AND NOT EXISTS (SELECT FROM pg_type e JOIN pg_class c ON c.oid = e.typrelid WHERE e.oid = t.typelem AND c.relkind <> 'c');

CREATE FUNCTION mz_sluice.type_id(type oid) RETURNS text LANGUAGE sql STABLE
RETURN (SELECT left(mz_sluice.schema_id(n.oid), 1) || t.oid FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace WHERE t.oid = type);

CREATE VIEW mz_catalog.mz_functions AS
SELECT left(s.id, 1) || p.oid AS id, p.oid, s.id AS schema_id, p.proname::text COLLATE "default" AS name,
  ARRAY(SELECT mz_sluice.type_id(a.type) FROM unnest(p.proargtypes::oid[]) WITH ORDINALITY AS a (type, n) ORDER BY a.n) AS argument_type_ids,
  mz_sluice.type_id(nullif(p.provariadic, 0)) AS variadic_argument_type_id, mz_sluice.type_id(p.prorettype) AS return_type_id,
  p.proretset AS returns_set, mz_sluice.role_id(p.proowner) AS owner_id
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace, LATERAL (SELECT mz_sluice.schema_id(n.oid) AS id) AS s
WHERE n.nspname <> 'mz_sluice';

CREATE VIEW mz_catalog.mz_objects AS
SELECT id, oid, schema_id, name, type, owner_id, NULL::text AS cluster_id,
  CASE WHEN type <> 'index' THEN mz_sluice.acl(relacl, 'table', relowner) END AS privileges
FROM mz_sluice.relation
UNION ALL
SELECT i.id, i.oid, i.schema_id, i.name, i.kind, i.owner_id, s.cluster, CASE WHEN i.kind <> 'sink' THEN i.privileges END
FROM mz_sluice.live_item i LEFT JOIN mz_sluice.sink s ON s.id = i.id
UNION ALL
SELECT id, oid, schema_id, name, 'type', owner_id, NULL, privileges FROM mz_catalog.mz_types
UNION ALL
SELECT id, oid, schema_id, name, 'function', owner_id, NULL, NULL FROM mz_catalog.mz_functions;

CREATE VIEW mz_catalog.mz_system_privileges AS
SELECT (grantee || '=' || string_agg(letter, '' ORDER BY letter) || '/' || grantor)::mz_catalog.mz_aclitem AS privileges
FROM (
  SELECT mz_sluice.role_id(x.grantee) AS grantee, mz_sluice.role_id(x.grantor) AS grantor,
    CASE x.privilege_type WHEN 'REFERENCES' THEN 'N' WHEN 'TRIGGER' THEN 'P' END AS letter
  FROM pg_class c, aclexplode(c.relacl) AS x WHERE c.oid = 'mz_sluice."system privileges"'::regclass
  UNION ALL
  SELECT mz_sluice.role_id(r.oid), 's10', a.letter
  FROM pg_roles r, LATERAL (VALUES (r.rolcreaterole OR r.rolsuper, 'R'), (r.rolcreatedb OR r.rolsuper, 'B')) AS a (has, letter) WHERE a.has
) AS each WHERE letter IS NOT NULL GROUP BY grantee, grantor;

CREATE VIEW mz_catalog.mz_default_privileges AS
SELECT role_id, CASE WHEN everywhere THEN NULL ELSE (SELECT 'u' || d.oid FROM pg_database d WHERE d.datname = current_database()) END AS database_id,
  schema_id, object_type, grantee, string_agg(letter, '' ORDER BY strpos('arwdUC', letter)) AS privileges
FROM (
  SELECT CASE WHEN d.everybody THEN 'p' ELSE mz_sluice.role_id(a.relowner) END AS role_id, d.kind = 'cluster' AS everywhere,
    (SELECT mz_sluice.schema_id(n.oid) FROM pg_namespace n WHERE n.oid = d.schema) AS schema_id, d.kind AS object_type,
    mz_sluice.role_id(x.grantee) AS grantee, CASE x.privilege_type WHEN 'REFERENCES' THEN 'U' WHEN 'TRIGGER' THEN 'C' END AS letter
  FROM mz_sluice.default_privilege d JOIN pg_class a ON a.oid = d.anchor, aclexplode(a.relacl) AS x
  WHERE x.grantee <> a.relowner AND (d.schema IS NULL OR EXISTS (SELECT FROM pg_namespace n WHERE n.oid = d.schema))
  UNION ALL
  SELECT mz_sluice.role_id(a.defaclrole), false, (SELECT mz_sluice.schema_id(n.oid) FROM pg_namespace n WHERE n.oid = a.defaclnamespace),
    CASE a.defaclobjtype WHEN 'r' THEN 'table' WHEN 'T' THEN 'type' WHEN 'n' THEN 'schema' WHEN 'f' THEN 'function' ELSE 'sequence' END,
    mz_sluice.role_id(x.grantee),
    CASE x.privilege_type WHEN 'SELECT' THEN 'r' WHEN 'INSERT' THEN 'a' WHEN 'UPDATE' THEN 'w' WHEN 'DELETE' THEN 'd' WHEN 'USAGE' THEN 'U' WHEN 'CREATE' THEN 'C' END
  FROM pg_default_acl a, aclexplode(a.defaclacl) AS x
) AS each WHERE letter IS NOT NULL GROUP BY 1, 2, 3, 4, 5;

CREATE VIEW mz_catalog.mz_audit_events AS
SELECT id::mz_catalog.uint8 AS id, event_type, object_type, details, role_name AS "user", occurred_at FROM mz_sluice.audit_event;

CREATE VIEW mz_catalog.mz_recent_storage_usage AS
SELECT id AS object_id, pg_table_size(oid)::mz_catalog.uint8 AS size_bytes
FROM mz_sluice.relation WHERE type IN ('table', 'materialized-view') AND starts_with(id, 'u') AND relkind <> 'f';

CREATE VIEW mz_catalog.mz_storage_usage AS
SELECT object_id, size_bytes, statement_timestamp() AS collection_timestamp FROM mz_catalog.mz_recent_storage_usage;

CREATE FUNCTION mz_catalog.mz_now() RETURNS mz_catalog.mz_timestamp LANGUAGE sql STABLE
RETURN floor(extract(epoch FROM statement_timestamp()) * 1000)::mz_catalog.mz_timestamp;
CREATE FUNCTION mz_catalog.mz_logical_timestamp() RETURNS mz_catalog.mz_timestamp LANGUAGE sql STABLE RETURN mz_catalog.mz_now();

GRANT SELECT ON ALL TABLES IN SCHEMA mz_catalog TO PUBLIC;
`,
};
