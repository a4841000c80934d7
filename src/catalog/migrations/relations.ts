import {partitionTree} from '../../engine/partition-tree.ts';
import type {Migration} from './migration.ts';

/** What a relation must be so that a sink can carry it whole, and who may read it all (DESIGN section 3, Own tables of the user). */
export const relations: Migration = {
  version: 3,
  name: 'relations that sinks read',
  sql: `
CREATE FUNCTION mz_sluice.find_relation(acting oid, name text[], path text[]) RETURNS oid LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  parts record := mz_sluice.split_name(name);
  relation oid;
  item text;
BEGIN
  IF parts.schema_name IS NOT NULL THEN
    PERFORM mz_sluice.schema_named(acting, parts.schema_name);
    path := ARRAY[parts.schema_name];
  END IF;
  SELECT c.oid INTO relation FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
  WHERE n.nspname = ANY (path) AND c.relname = parts.object_name AND has_schema_privilege(acting, n.oid, 'USAGE')
  ORDER BY array_position(path, n.nspname::text) LIMIT 1;
  IF relation IS NOT NULL THEN
    RETURN relation;
  END IF;
  SELECT format('catalog item ''%s'' is a %s and so cannot be depended upon', mz_sluice.full_name(i.schema, i.name), i.kind) INTO item
  FROM mz_sluice.item i JOIN pg_namespace n ON n.oid = i.schema JOIN pg_class a ON a.oid = i.anchor
  WHERE n.nspname = ANY (path) AND i.name = parts.object_name
  ORDER BY array_position(path, n.nspname::text) LIMIT 1;
  IF item IS NOT NULL THEN
    RAISE '%', item USING ERRCODE = '42809';
  END IF;
  RAISE 'relation "%" does not exist', array_to_string(name, '.') USING ERRCODE = '42P01';
END
$$;

-- Whether DDL is announced in its own transaction, also by replicas and by whoever sets session_replication_role.
CREATE FUNCTION mz_sluice.hears_ddl() RETURNS boolean LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT count(*) = 3 FROM pg_event_trigger e JOIN pg_proc p ON p.oid = e.evtfoid
  WHERE e.evtname IN ('sluice_after_ddl', 'sluice_after_drop', 'sluice_on_rewrite') AND e.evtenabled = 'A'
    AND p.pronamespace = 'mz_sluice'::regnamespace
$$;

CREATE FUNCTION mz_sluice.check_relation(acting oid, relation oid) RETURNS void LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  rel record;
  full_name text;
  part record;
BEGIN
  SELECT c.*, n.nspname, pg_has_role(acting, c.relowner, 'USAGE') AS owned INTO rel
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = relation;
  IF rel.oid IS NULL THEN
    RAISE 'relation with OID % does not exist', relation USING ERRCODE = '42P01';
  END IF;
  full_name := mz_sluice.full_name(rel.relnamespace, rel.relname);
  IF mz_sluice.is_system_schema(rel.nspname) AND rel.relpersistence <> 't' THEN
    RAISE 'creating a sink directly on a catalog object not yet supported' USING ERRCODE = '0A000';
  END IF;
  IF rel.relkind NOT IN ('r', 'p') THEN
    RAISE '% % cannot be exported as a sink', mz_sluice.kind_of(rel.relkind), full_name USING ERRCODE = '42809',
      HINT = 'A sink reads a table.';
  END IF;

  PERFORM mz_sluice.require_schema_usage(acting, rel.relnamespace);
  IF has_table_privilege(acting, relation, 'SELECT') IS NOT TRUE AND EXISTS (
    SELECT FROM pg_attribute WHERE attrelid = relation AND attnum > 0 AND NOT attisdropped
      AND has_column_privilege(acting, relation, attnum, 'SELECT') IS NOT TRUE
  ) THEN
    PERFORM mz_sluice.deny(acting, 'SELECT', 'table', ARRAY[rel.nspname, rel.relname]::text[], 'A sink needs SELECT on every column.');
  END IF;
  IF rel.relrowsecurity AND NOT (rel.owned AND NOT rel.relforcerowsecurity)
     AND NOT EXISTS (SELECT FROM pg_roles WHERE oid = acting AND (rolsuper OR rolbypassrls)) THEN
    RAISE 'row-level security of table % would hide rows that the sink shows', full_name USING ERRCODE = '42501',
      HINT = 'Create the sink as the owner of the table or as a role with BYPASSRLS.';
  END IF;

  IF NOT pg_has_role(rel.relowner, 'USAGE') THEN
    RAISE 'Sluice may not publish table %', full_name USING ERRCODE = '42501',
      DETAIL = format('Sluice runs as role "%s", which is no member of the owner of the table.', current_user),
      HINT = format('Run GRANT %s TO %I as an administrator of PostgreSQL.', rel.relowner::regrole, current_user);
  END IF;
  IF rel.relrowsecurity AND rel.relforcerowsecurity AND NOT EXISTS (
    SELECT FROM pg_roles WHERE rolname = current_user AND (rolsuper OR rolbypassrls)
  ) THEN
    RAISE 'row-level security of table % would hide rows from Sluice', full_name USING ERRCODE = '42501',
      HINT = format('Run ALTER ROLE %I BYPASSRLS as a superuser, or ALTER TABLE … NO FORCE ROW LEVEL SECURITY.', current_user);
  END IF;
  IF rel.relkind = 'p' AND NOT mz_sluice.hears_ddl() AND NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
    RAISE 'partitioned table % cannot be exported as a sink without event triggers', full_name USING ERRCODE = '0A000',
      DETAIL = 'Partitions that come and go would not be noticed.',
      HINT = 'A superuser has to create the event triggers of Sluice once: "sluice doctor" prints the statements.';
  END IF;

  IF rel.relpersistence = 't' THEN
    RAISE 'temporary table % cannot be exported as a sink', full_name USING ERRCODE = '0A000';
  END IF;
  IF rel.relispartition THEN
    RAISE 'partition % cannot be exported as a sink', full_name USING ERRCODE = '0A000',
      HINT = 'Create the sink on the partitioned table that it belongs to.';
  END IF;
  IF EXISTS (SELECT FROM pg_inherits WHERE inhrelid = relation OR inhparent = relation AND rel.relkind = 'r') THEN
    RAISE 'table % takes part in inheritance and cannot be exported as a sink', full_name USING ERRCODE = '0A000',
      DETAIL = 'The write-ahead log does not carry rows of child tables as rows of their parent.',
      HINT = 'Use a partitioned table.';
  END IF;
  FOR part IN SELECT c.relkind, c.relpersistence, mz_sluice.full_name(c.relnamespace, c.relname) AS full_name
              FROM ${partitionTree('relation')} t JOIN pg_class c ON c.oid = t.relid LOOP
    IF part.relkind = 'f' THEN
      RAISE 'foreign table % cannot be exported as a sink', part.full_name USING ERRCODE = '0A000',
        DETAIL = 'Changes of a foreign table are not in the write-ahead log.';
    ELSIF part.relpersistence = 'u' THEN
      RAISE 'unlogged table % cannot be exported as a sink', part.full_name USING ERRCODE = '0A000',
        DETAIL = 'Changes of an unlogged table are not in the write-ahead log.',
        HINT = format('ALTER TABLE %s SET LOGGED makes it an ordinary table.', part.full_name);
    END IF;
  END LOOP;
  IF EXISTS (SELECT FROM pg_attribute WHERE attrelid = relation AND attnum > 0 AND NOT attisdropped AND attgenerated <> ''
             AND (attgenerated = 'v' OR current_setting('server_version_num')::integer < 180000)) THEN
    RAISE 'table % has generated columns that the write-ahead log does not carry', full_name USING ERRCODE = '0A000',
      DETAIL = 'Stored generated columns need PostgreSQL 18; virtual ones are never in the log.',
      HINT = 'Drop the column''s expression, or fill an ordinary column by a trigger.';
  END IF;
  -- With REPLICA IDENTITY FULL PostgreSQL would refuse the user's UPDATE and DELETE.
  FOR part IN SELECT p.pubname FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
              WHERE r.prattrs IS NOT NULL AND (p.pubupdate OR p.pubdelete)
                AND r.prrelid IN ${partitionTree('relation')} LOOP
    RAISE 'table % is in publication "%" with a column list', full_name, part.pubname USING ERRCODE = '0A000',
      DETAIL = 'A sink needs REPLICA IDENTITY FULL, and with that a column list makes every UPDATE and DELETE of the table fail.',
      HINT = format('Publish all columns: ALTER PUBLICATION %I SET TABLE …', part.pubname);
  END LOOP;
END
$$;

-- Since PostgreSQL 18 attnotnull is also true for a constraint that has not been validated.
CREATE FUNCTION mz_sluice.is_not_null(a pg_attribute) RETURNS boolean LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT (a).attnotnull AND NOT EXISTS (
    SELECT FROM pg_constraint c WHERE c.conrelid = (a).attrelid AND c.contype = 'n' AND c.conkey = ARRAY[(a).attnum] AND NOT c.convalidated)
$$;

CREATE FUNCTION mz_sluice.relation_columns(relation oid) RETURNS jsonb LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce(jsonb_agg(jsonb_build_object('name', attname, 'attnum', attnum, 'typeOid', atttypid::bigint,
    'typmod', atttypmod, 'typeName', format_type(atttypid, atttypmod), 'notNull', mz_sluice.is_not_null(a)) ORDER BY attnum), '[]')
  FROM pg_attribute a WHERE attrelid = relation AND attnum > 0 AND NOT attisdropped
$$;

-- Unique indexes that prove something about every row at every moment; the primary key first. A key WITHOUT OVERLAPS (18) is an
-- exclusion constraint that pg_index also calls unique.
CREATE FUNCTION mz_sluice.relation_keys(relation oid) RETURNS jsonb LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce(jsonb_agg(names ORDER BY indisprimary DESC, indexrelid), '[]')
  FROM (
    SELECT i.indisprimary, i.indexrelid, jsonb_agg(a.attname ORDER BY k.n) AS names
    FROM pg_index i
    CROSS JOIN unnest(i.indkey::smallint[]) WITH ORDINALITY AS k (attnum, n)
    JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum
    WHERE i.indrelid = relation AND i.indisunique AND NOT i.indisexclusion AND i.indisvalid AND i.indimmediate
      AND i.indpred IS NULL AND i.indexprs IS NULL AND k.n <= i.indnkeyatts
    GROUP BY i.indexrelid, i.indisprimary, i.indnullsnotdistinct
    HAVING i.indnullsnotdistinct OR bool_and(mz_sluice.is_not_null(a))
  ) AS keys
$$;
`,
};
