import type {Migration} from './migration.ts';
import {RELATION_SQL} from './relation-sql.ts';

/**
 * `mz_catalog`: relations, columns and id forms that Materialize's clients know. PostgreSQL's own objects come straight from
 * pg_catalog, ours from mz_sluice; both only as far as they exist at the moment of the query.
 * Ids: objects of the system `s<n>`, of users `u<n>`, PUBLIC `p`. Everybody may read everything here, as in PostgreSQL.
 */
export const catalogViews: Migration = {
  version: 7,
  name: 'views of mz_catalog',
  sql: `
CREATE DOMAIN mz_catalog.uint2 AS integer CHECK (VALUE BETWEEN 0 AND 65535);
CREATE DOMAIN mz_catalog.uint4 AS bigint CHECK (VALUE BETWEEN 0 AND 4294967295);
CREATE DOMAIN mz_catalog.uint8 AS numeric(20, 0) CHECK (VALUE BETWEEN 0 AND 18446744073709551615);
-- Milliseconds since the Unix epoch. Numeric, as SUBSCRIBE sends it, because the greatest one is 2^64 - 1.
CREATE DOMAIN mz_catalog.mz_timestamp AS numeric(20, 0) CHECK (VALUE BETWEEN 0 AND 18446744073709551615);
CREATE DOMAIN mz_catalog.mz_aclitem AS text;

CREATE FUNCTION mz_sluice.role_id(role oid) RETURNS text LANGUAGE sql IMMUTABLE
RETURN CASE WHEN role = 0 THEN 'p' WHEN role < 16384 THEN 's' || role ELSE 'u' || role END;

-- Of the name it takes nothing but the answer: the collation of names is "C", and clients mix ids with text of the default one. For the
-- same reason names and whatever else PostgreSQL's catalog has in "C" get the default collation below.
CREATE FUNCTION mz_sluice.schema_id(schema oid) RETURNS text LANGUAGE sql STABLE
RETURN (
  SELECT CASE WHEN starts_with(nspname::text, 'pg_') OR nspname IN ('information_schema', 'mz_catalog', 'mz_internal', 'mz_sluice')
    THEN 's' ELSE 'u' END || oid
  FROM pg_namespace WHERE oid = schema
);

-- grantee=letters/grantor. On an anchor REFERENCES stands for USAGE, TRIGGER for CREATE.
CREATE FUNCTION mz_sluice.acl(acl aclitem[], kind text, owner oid) RETURNS mz_catalog.mz_aclitem[] LANGUAGE sql STABLE
RETURN (
  SELECT array_agg(grantee || '=' || letters || '/' || grantor ORDER BY grantee)::mz_catalog.mz_aclitem[]
  FROM (
    SELECT mz_sluice.role_id(x.grantee) AS grantee, mz_sluice.role_id(x.grantor) AS grantor, string_agg(letter, '' ORDER BY strpos('arwdUC', letter)) AS letters
    FROM aclexplode(coalesce(acl, acldefault((CASE kind WHEN 'schema' THEN 'n' WHEN 'database' THEN 'd' WHEN 'type' THEN 'T' ELSE 'r' END)::"char", owner))) AS x,
      LATERAL (SELECT CASE
        WHEN kind IN ('item', 'cluster') AND x.privilege_type = 'REFERENCES' THEN 'U'
        WHEN kind = 'cluster' AND x.privilege_type = 'TRIGGER' THEN 'C'
        WHEN kind = 'table' THEN CASE x.privilege_type WHEN 'SELECT' THEN 'r' WHEN 'INSERT' THEN 'a' WHEN 'UPDATE' THEN 'w' WHEN 'DELETE' THEN 'd' END
        WHEN kind IN ('schema', 'database', 'type') THEN CASE x.privilege_type WHEN 'USAGE' THEN 'U' WHEN 'CREATE' THEN 'C' END
      END AS letter) AS l
    WHERE letter IS NOT NULL
    GROUP BY 1, 2
  ) AS lines
);

${RELATION_SQL}
-- Relations of PostgreSQL, without our private ones.
CREATE VIEW mz_sluice.relation AS
SELECT c.oid, mz_sluice.schema_id(n.oid) AS schema_id, c.relname::text COLLATE "default" AS name, mz_sluice.role_id(c.relowner) AS owner_id,
  left(mz_sluice.schema_id(n.oid), 1) || c.oid AS id, n.nspname, c.relkind, c.relowner, c.relacl,
  CASE WHEN c.relkind IN ('r', 'p', 'f') THEN 'table' WHEN c.relkind = 'v' THEN 'view' WHEN c.relkind = 'm' THEN 'materialized-view' ELSE 'index' END AS type
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'f', 'v', 'm', 'i', 'I') AND n.nspname <> 'mz_sluice' AND NOT starts_with(n.nspname::text, 'pg_toast');

-- Items of ours, as far as they exist.
CREATE VIEW mz_sluice.live_item AS
SELECT i.id, i.kind, i.anchor AS oid, mz_sluice.schema_id(n.oid) AS schema_id, n.nspname, i.name, mz_sluice.role_id(a.relowner) AS owner_id,
  mz_sluice.acl(a.relacl, 'item', a.relowner) AS privileges, i.definition, i.create_sql
FROM mz_sluice.item i JOIN pg_class a ON a.oid = i.anchor JOIN pg_namespace n ON n.oid = i.schema;

CREATE VIEW mz_sluice.live_cluster AS
SELECT c.id, c.anchor, c.name, c.size, c.replication_factor, c.managed, a.relowner, a.relacl
FROM mz_sluice.cluster c JOIN pg_class a ON a.oid = c.anchor;

CREATE VIEW mz_catalog.mz_databases AS
SELECT 'u' || oid AS id, oid, datname::text COLLATE "default" AS name, mz_sluice.role_id(datdba) AS owner_id, mz_sluice.acl(datacl, 'database', datdba) AS privileges
FROM pg_database WHERE NOT datistemplate;

CREATE VIEW mz_catalog.mz_schemas AS
SELECT s.id, n.oid, CASE WHEN starts_with(s.id, 'u') THEN (SELECT 'u' || d.oid FROM pg_database d WHERE d.datname = current_database()) END AS database_id,
  n.nspname::text COLLATE "default" AS name, mz_sluice.role_id(n.nspowner) AS owner_id, mz_sluice.acl(n.nspacl, 'schema', n.nspowner) AS privileges
FROM pg_namespace n, LATERAL (SELECT mz_sluice.schema_id(n.oid) AS id) AS s
WHERE n.nspname <> 'mz_sluice' AND NOT starts_with(n.nspname::text, 'pg_toast') AND NOT starts_with(n.nspname::text, 'pg_temp');

CREATE VIEW mz_catalog.mz_roles AS
SELECT mz_sluice.role_id(oid) AS id, oid, rolname::text COLLATE "default" AS name, rolinherit AS inherit, rolcanlogin, rolsuper, NULL::text AS autoprovisionsource
FROM pg_roles;

CREATE VIEW mz_catalog.mz_relations AS
SELECT id, oid, schema_id, name, type, owner_id, NULL::text AS cluster_id, mz_sluice.acl(relacl, 'table', relowner) AS privileges
FROM mz_sluice.relation WHERE type <> 'index';

CREATE VIEW mz_catalog.mz_tables AS
SELECT id, oid, schema_id, name, owner_id, mz_sluice.acl(relacl, 'table', relowner) AS privileges,
  CASE WHEN starts_with(id, 'u') THEN mz_internal.relation_sql(oid, false) END AS create_sql,
  CASE WHEN starts_with(id, 'u') THEN mz_internal.relation_sql(oid, true) END AS redacted_create_sql, NULL::text AS source_id
FROM mz_sluice.relation WHERE type = 'table';

CREATE VIEW mz_catalog.mz_views AS
SELECT id, oid, schema_id, name, pg_get_viewdef(oid) AS definition, owner_id, mz_sluice.acl(relacl, 'table', relowner) AS privileges,
  mz_internal.relation_sql(oid, false) AS create_sql, mz_internal.relation_sql(oid, true) AS redacted_create_sql
FROM mz_sluice.relation WHERE type = 'view';

CREATE VIEW mz_catalog.mz_columns AS
SELECT r.id, a.attname::text COLLATE "default" AS name,
  (SELECT count(*) FROM pg_attribute b WHERE b.attrelid = a.attrelid AND b.attnum BETWEEN 1 AND a.attnum AND NOT b.attisdropped)::mz_catalog.uint8 AS position,
  NOT a.attnotnull AS nullable, format_type(a.atttypid, NULL) AS type, pg_get_expr(d.adbin, d.adrelid) COLLATE "default" AS default,
  a.atttypid AS type_oid, a.atttypmod AS type_mod
FROM pg_attribute a JOIN mz_sluice.relation r ON r.oid = a.attrelid AND r.type <> 'index'
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.attgenerated = ''
WHERE a.attnum > 0 AND NOT a.attisdropped;

CREATE VIEW mz_catalog.mz_clusters AS
SELECT id, name, mz_sluice.role_id(relowner) AS owner_id, mz_sluice.acl(relacl, 'cluster', relowner) AS privileges, managed,
  CASE WHEN managed THEN size END AS size, CASE WHEN managed THEN replication_factor END::mz_catalog.uint4 AS replication_factor, false AS disk, NULL::text[] AS availability_zones,
  false AS introspection_debugging, NULL::interval AS introspection_interval
FROM mz_sluice.live_cluster;

-- One process serves a cluster, whatever its replication factor says; the first replica's id is the cluster's.
CREATE VIEW mz_catalog.mz_cluster_replicas AS
SELECT 'u' || substr(c.id, 2)::numeric + (r.n - 1) * 4294967296 AS id, r.name, c.id AS cluster_id, r.size,
  NULL::text AS availability_zone, mz_sluice.role_id(c.relowner) AS owner_id, false AS disk
FROM mz_sluice.live_cluster c CROSS JOIN LATERAL (
  SELECT n::bigint, 'r' || n AS name, c.size FROM generate_series(1, c.replication_factor) AS n WHERE c.managed
  UNION ALL
  SELECT row_number() OVER (ORDER BY r.id), r.name, r.size FROM mz_sluice.cluster_replica r WHERE r.cluster = c.id AND NOT c.managed
) AS r;

CREATE VIEW mz_catalog.mz_secrets AS
SELECT id, oid, schema_id, name, owner_id, privileges FROM mz_sluice.live_item WHERE kind = 'secret';

CREATE VIEW mz_catalog.mz_connections AS
SELECT id, oid, schema_id, name, definition ->> 'type' AS type, owner_id, privileges,
  mz_sluice.print_sql(create_sql, id, false) AS create_sql, mz_sluice.print_sql(create_sql, id, true) AS redacted_create_sql
FROM mz_sluice.live_item WHERE kind = 'connection';

CREATE VIEW mz_catalog.mz_kafka_connections AS
SELECT i.id,
  ARRAY(SELECT jsonb_array_elements_text(CASE jsonb_typeof(i.definition -> 'brokers') WHEN 'array' THEN i.definition -> 'brokers' ELSE '[]' END)) AS brokers,
  coalesce(i.definition ->> 'progressTopic', format('_materialize-progress-%s-%s', e.environment_id, i.id)) AS sink_progress_topic
FROM mz_sluice.live_item i CROSS JOIN mz_sluice.installation e
WHERE i.kind = 'connection' AND i.definition ->> 'type' = 'kafka';

CREATE VIEW mz_catalog.mz_sinks AS
SELECT i.id, i.oid, i.schema_id, i.name, t.type, s.connection AS connection_id, NULL::text AS size, i.definition ->> 'envelope' AS envelope_type,
  CASE WHEN t.key_format IS NULL OR t.key_format = t.value_format AND t.value_format IN ('json', 'avro') THEN t.value_format
    ELSE format('key-%s-value-%s', t.key_format, t.value_format) END AS format,
  t.key_format, t.value_format, s.cluster AS cluster_id, i.owner_id,
  mz_sluice.print_sql(i.create_sql, i.id, false) AS create_sql, mz_sluice.print_sql(i.create_sql, i.id, true) AS redacted_create_sql
FROM mz_sluice.live_item i JOIN mz_sluice.sink s ON s.id = i.id,
  LATERAL (SELECT i.definition #>> '{target,type}' AS type, CASE WHEN s.key IS NOT NULL THEN i.definition #>> '{target,keyFormat}' END AS key_format,
    i.definition #>> '{target,valueFormat}' AS value_format) AS t;

CREATE VIEW mz_catalog.mz_kafka_sinks AS
SELECT id, definition #>> '{target,topic}' AS topic FROM mz_sluice.live_item
WHERE kind = 'sink' AND definition #>> '{target,type}' = 'kafka';

CREATE FUNCTION mz_catalog.mz_environment_id() RETURNS text LANGUAGE sql STABLE SECURITY DEFINER
RETURN (SELECT environment_id FROM mz_sluice.installation);
CREATE FUNCTION mz_catalog.mz_version() RETURNS text LANGUAGE sql IMMUTABLE RETURN 'v26.1.0 (sluice)'::text;
CREATE FUNCTION mz_catalog.mz_version_num() RETURNS integer LANGUAGE sql IMMUTABLE RETURN 2600100;
CREATE FUNCTION mz_catalog.mz_uptime() RETURNS interval LANGUAGE sql VOLATILE RETURN clock_timestamp() - pg_postmaster_start_time();
CREATE FUNCTION mz_catalog.mz_is_superuser() RETURNS boolean LANGUAGE sql STABLE
RETURN (SELECT rolsuper FROM pg_roles WHERE rolname = current_user);
-- Functions in SQL take no record.
CREATE FUNCTION mz_catalog.mz_row_size("row" record) RETURNS integer LANGUAGE plpgsql STABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  RETURN pg_column_size("row");
END
$$;

REVOKE ALL ON ALL FUNCTIONS IN SCHEMA mz_sluice FROM PUBLIC;
-- The views call these as whoever reads them.
GRANT EXECUTE ON FUNCTION mz_sluice.role_id, mz_sluice.schema_id, mz_sluice.acl, mz_sluice.print_sql TO PUBLIC;
GRANT SELECT ON ALL TABLES IN SCHEMA mz_catalog TO PUBLIC;
`,
};
