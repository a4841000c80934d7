/**
 * Statements that would create PostgreSQL's own relations and types again, for SHOW CREATE and the `create_sql` of mz_catalog. What
 * belongs to a relation but is a statement of its own (owner, privileges, triggers, comments) is not in there. Names are complete, because
 * PostgreSQL prints with the schema whatever a search_path of pg_catalog does not find.
 */
export const RELATION_SQL = `
-- What stands in double quotes is a name, whatever it contains.
CREATE FUNCTION mz_sluice.redacted(sql text) RETURNS text LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT string_agg(CASE WHEN starts_with(p.part[1], '''') THEN '''<REDACTED>''' ELSE p.part[1] END, '' ORDER BY p.n)
  FROM regexp_matches(sql, '"(?:[^"]|"")*"|''(?:[^'']|'''')*''|[^"'']+', 'g') WITH ORDINALITY AS p (part, n)
$$;

CREATE FUNCTION mz_sluice.sql_name(schema oid, name name) RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT format('%I.%I.%I', current_database(), nspname, name) FROM pg_namespace WHERE oid = schema
$$;

-- WITH (…) of a relation.
CREATE FUNCTION mz_sluice.storage_options(options text[]) RETURNS text LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT 'WITH (' || string_agg(quote_ident(o.name) || '=' || CASE WHEN o.value ~ '^[A-Za-z0-9_.-]+$' THEN o.value ELSE quote_literal(o.value) END, ', ' ORDER BY o.n) || ')'
  FROM (SELECT split_part(option, '=', 1) AS name, substr(option, strpos(option, '=') + 1) AS value, n FROM unnest(options) WITH ORDINALITY AS u (option, n)) AS o
$$;

-- OPTIONS (…) of a foreign table or its column.
CREATE FUNCTION mz_sluice.foreign_options(options text[]) RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT 'OPTIONS (' || string_agg(quote_ident(option_name) || ' ' || quote_literal(option_value), ', ') || ')' FROM pg_options_to_table(options)
$$;

-- (…) behind AS IDENTITY, where it is not what PostgreSQL would choose.
CREATE FUNCTION mz_sluice.identity_options(relation oid, attnum smallint) RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT format('(START WITH %s INCREMENT BY %s MINVALUE %s MAXVALUE %s CACHE %s%s)', s.seqstart, s.seqincrement, s.seqmin, s.seqmax, s.seqcache,
    CASE WHEN s.seqcycle THEN ' CYCLE' END)
  FROM pg_depend d JOIN pg_sequence s ON s.seqrelid = d.objid
  WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.deptype = 'i'
    AND d.refobjid = relation AND d.refobjsubid = identity_options.attnum
    AND (s.seqstart, s.seqincrement, s.seqmin, s.seqcache, s.seqcycle, s.seqmax) IS DISTINCT FROM
      (1::bigint, 1::bigint, 1::bigint, 1::bigint, false, CASE s.seqtypid WHEN 'smallint'::regtype THEN 32767 WHEN 'integer'::regtype THEN 2147483647 ELSE 9223372036854775807 END)
$$;

CREATE FUNCTION mz_sluice.column_sql(a pg_attribute) RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT concat_ws(' ', quote_ident((a).attname), format_type((a).atttypid, (a).atttypmod),
    -- In CREATE TABLE since PostgreSQL 16.
    CASE WHEN (a).attstorage <> t.typstorage AND current_setting('server_version_num')::integer >= 160000 THEN
      'STORAGE ' || CASE (a).attstorage WHEN 'p' THEN 'PLAIN' WHEN 'e' THEN 'EXTERNAL' WHEN 'm' THEN 'MAIN' ELSE 'EXTENDED' END END,
    CASE (a).attcompression WHEN 'p' THEN 'COMPRESSION pglz' WHEN 'l' THEN 'COMPRESSION lz4' END,
    mz_sluice.foreign_options((a).attfdwoptions),
    CASE WHEN (a).attcollation <> t.typcollation THEN 'COLLATE ' || (a).attcollation::regcollation END,
    CASE WHEN (a).attgenerated <> '' THEN format('GENERATED ALWAYS AS (%s)%s', pg_get_expr(d.adbin, d.adrelid), CASE (a).attgenerated WHEN 's' THEN ' STORED' ELSE ' VIRTUAL' END)
      WHEN (a).attidentity <> '' THEN concat_ws(' ', format('GENERATED %s AS IDENTITY', CASE (a).attidentity WHEN 'a' THEN 'ALWAYS' ELSE 'BY DEFAULT' END),
        mz_sluice.identity_options((a).attrelid, (a).attnum))
      WHEN d.adbin IS NOT NULL THEN 'DEFAULT ' || pg_get_expr(d.adbin, d.adrelid) END,
    CASE WHEN (a).attnotnull THEN 'NOT NULL' END)
  FROM pg_type t LEFT JOIN pg_attrdef d ON d.adrelid = (a).attrelid AND d.adnum = (a).attnum WHERE t.oid = (a).atttypid
$$;

-- What is between the parentheses of CREATE TABLE. What comes from a parent comes with it; a partition may have other defaults.
CREATE FUNCTION mz_sluice.table_elements(relation oid, is_partition boolean) RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT concat_ws(', ',
    (SELECT string_agg(CASE WHEN is_partition THEN quote_ident(a.attname) || ' WITH OPTIONS DEFAULT ' || pg_get_expr(d.adbin, d.adrelid) ELSE mz_sluice.column_sql(a) END, ', ' ORDER BY a.attnum)
     FROM pg_attribute a LEFT JOIN pg_attrdef d ON is_partition AND d.adrelid = a.attrelid AND d.adnum = a.attnum AND a.attgenerated = ''
     WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped AND CASE WHEN is_partition THEN d.adbin IS NOT NULL ELSE a.attislocal END),
    (SELECT string_agg(format('CONSTRAINT %I %s', k.conname, pg_get_constraintdef(k.oid)), ', ' ORDER BY strpos('pucfx', k.contype::text), k.conname)
     FROM pg_constraint k WHERE k.conrelid = relation AND k.contype IN ('p', 'u', 'c', 'f', 'x') AND k.conislocal AND k.conparentid = 0))
$$;

CREATE FUNCTION mz_sluice.table_sql(c pg_class) RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT concat_ws(' ', 'CREATE',
    CASE (c).relpersistence WHEN 'u' THEN 'UNLOGGED' WHEN 't' THEN 'TEMPORARY' END, CASE (c).relkind WHEN 'f' THEN 'FOREIGN' END, 'TABLE',
    CASE (c).relpersistence WHEN 't' THEN quote_ident((c).relname) ELSE mz_sluice.sql_name((c).relnamespace, (c).relname) END,
    CASE WHEN (c).relispartition THEN 'PARTITION OF ' || (SELECT inhparent::regclass FROM pg_inherits WHERE inhrelid = (c).oid) END,
    CASE WHEN NOT (c).relispartition OR elements <> '' THEN '(' || elements || ')' END,
    CASE WHEN (c).relispartition THEN pg_get_expr((c).relpartbound, (c).oid)
      ELSE (SELECT 'INHERITS (' || string_agg(inhparent::regclass::text, ', ' ORDER BY inhseqno) || ')' FROM pg_inherits WHERE inhrelid = (c).oid) END,
    'PARTITION BY ' || pg_get_partkeydef((c).oid),
    (SELECT concat_ws(' ', 'SERVER ' || quote_ident(s.srvname), mz_sluice.foreign_options(f.ftoptions))
     FROM pg_foreign_table f JOIN pg_foreign_server s ON s.oid = f.ftserver WHERE f.ftrelid = (c).oid),
    (SELECT 'USING ' || quote_ident(amname) FROM pg_am WHERE oid = (c).relam AND amname <> 'heap'),
    mz_sluice.storage_options((c).reloptions),
    (SELECT 'TABLESPACE ' || quote_ident(spcname) FROM pg_tablespace WHERE oid = (c).reltablespace))
  FROM (SELECT mz_sluice.table_elements((c).oid, (c).relispartition)) AS e (elements)
$$;

CREATE FUNCTION mz_sluice.view_sql(c pg_class) RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT concat_ws(' ', 'CREATE', CASE (c).relpersistence WHEN 't' THEN 'TEMPORARY' END, CASE (c).relkind WHEN 'm' THEN 'MATERIALIZED' END, 'VIEW',
    CASE (c).relpersistence WHEN 't' THEN quote_ident((c).relname) ELSE mz_sluice.sql_name((c).relnamespace, (c).relname) END,
    (SELECT 'USING ' || quote_ident(amname) FROM pg_am WHERE oid = (c).relam AND amname <> 'heap'),
    mz_sluice.storage_options((c).reloptions),
    (SELECT 'TABLESPACE ' || quote_ident(spcname) FROM pg_tablespace WHERE oid = (c).reltablespace),
    'AS', btrim(pg_get_viewdef((c).oid), ' ;'),
    CASE WHEN NOT (c).relispopulated THEN 'WITH NO DATA' END)
$$;

CREATE FUNCTION mz_internal.relation_sql(relation oid, redacted boolean) RETURNS text LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE WHEN redacted THEN mz_sluice.redacted(sql) ELSE sql END
  FROM pg_class c, LATERAL (SELECT CASE WHEN c.relkind IN ('r', 'p', 'f') THEN mz_sluice.table_sql(c) WHEN c.relkind IN ('v', 'm') THEN mz_sluice.view_sql(c)
    WHEN c.relkind IN ('i', 'I') THEN pg_get_indexdef(c.oid) END AS sql) AS s
  WHERE c.oid = relation
$$;

CREATE FUNCTION mz_sluice.domain_sql(t pg_type) RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT concat_ws(' ', 'CREATE DOMAIN', mz_sluice.sql_name((t).typnamespace, (t).typname), 'AS', format_type((t).typbasetype, (t).typtypmod),
    (SELECT 'COLLATE ' || (t).typcollation::regcollation FROM pg_type b WHERE b.oid = (t).typbasetype AND b.typcollation <> (t).typcollation),
    'DEFAULT ' || (t).typdefault, CASE WHEN (t).typnotnull THEN 'NOT NULL' END,
    (SELECT string_agg(format('CONSTRAINT %I %s', k.conname, pg_get_constraintdef(k.oid)), ' ' ORDER BY k.conname)
     FROM pg_constraint k WHERE k.contypid = (t).oid AND k.contype = 'c'))
$$;

-- What stands in the parentheses of CREATE TYPE … AS RANGE.
CREATE FUNCTION mz_sluice.range_options(range oid) RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT concat_ws(', ', 'SUBTYPE = ' || r.rngsubtype::regtype,
    (SELECT format('SUBTYPE_OPCLASS = %I.%I', n.nspname, o.opcname) FROM pg_opclass o JOIN pg_namespace n ON n.oid = o.opcnamespace WHERE o.oid = r.rngsubopc AND NOT o.opcdefault),
    (SELECT 'COLLATION = ' || r.rngcollation::regcollation FROM pg_type b WHERE b.oid = r.rngsubtype AND b.typcollation <> r.rngcollation),
    'CANONICAL = ' || nullif(r.rngcanonical::oid, 0)::regproc, 'SUBTYPE_DIFF = ' || nullif(r.rngsubdiff::oid, 0)::regproc,
    'MULTIRANGE_TYPE_NAME = ' || r.rngmultitypid::regtype)
  FROM pg_range r WHERE r.rngtypid = range
$$;

CREATE FUNCTION mz_sluice.base_type_options(t pg_type) RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT concat_ws(', ', 'INPUT = ' || (t).typinput, 'OUTPUT = ' || (t).typoutput, 'RECEIVE = ' || nullif((t).typreceive::oid, 0)::regproc,
    'SEND = ' || nullif((t).typsend::oid, 0)::regproc, 'TYPMOD_IN = ' || nullif((t).typmodin::oid, 0)::regproc, 'TYPMOD_OUT = ' || nullif((t).typmodout::oid, 0)::regproc,
    'ANALYZE = ' || nullif((t).typanalyze::oid, 0)::regproc, 'SUBSCRIPT = ' || nullif((t).typsubscript::oid, 0)::regproc,
    'INTERNALLENGTH = ' || CASE (t).typlen WHEN -1 THEN 'VARIABLE' ELSE (t).typlen::text END, CASE WHEN (t).typbyval THEN 'PASSEDBYVALUE' END,
    'ALIGNMENT = ' || CASE (t).typalign WHEN 'c' THEN 'char' WHEN 's' THEN 'int2' WHEN 'i' THEN 'int4' ELSE 'double' END,
    'STORAGE = ' || CASE (t).typstorage WHEN 'p' THEN 'plain' WHEN 'e' THEN 'external' WHEN 'm' THEN 'main' ELSE 'extended' END,
    'CATEGORY = ' || quote_literal((t).typcategory::text), CASE WHEN (t).typispreferred THEN 'PREFERRED = true' END,
    'DEFAULT = ' || quote_literal((t).typdefault), 'ELEMENT = ' || nullif((t).typelem, 0)::regtype, 'DELIMITER = ' || quote_literal((t).typdelim::text),
    CASE WHEN (t).typcollation <> 0 THEN 'COLLATABLE = true' END)
$$;

-- NULL for what comes with something else: arrays, multiranges, rows of relations; and for pseudotypes.
CREATE FUNCTION mz_internal.type_sql(type oid, redacted boolean) RETURNS text LANGUAGE sql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE WHEN redacted THEN mz_sluice.redacted(sql) ELSE sql END
  FROM pg_type t, LATERAL (SELECT mz_sluice.sql_name(t.typnamespace, t.typname) AS name) AS n, LATERAL (SELECT CASE
    WHEN t.typcategory = 'A' THEN NULL
    WHEN t.typtype = 'e' THEN format('CREATE TYPE %s AS ENUM (%s)', name,
      (SELECT string_agg(quote_literal(enumlabel), ', ' ORDER BY enumsortorder) FROM pg_enum WHERE enumtypid = t.oid))
    WHEN t.typtype = 'c' AND EXISTS (SELECT FROM pg_class c WHERE c.oid = t.typrelid AND c.relkind = 'c') THEN
      format('CREATE TYPE %s AS (%s)', name, mz_sluice.table_elements(t.typrelid, false))
    WHEN t.typtype = 'd' THEN mz_sluice.domain_sql(t)
    WHEN t.typtype = 'r' THEN format('CREATE TYPE %s AS RANGE (%s)', name, mz_sluice.range_options(t.oid))
    WHEN t.typtype = 'b' THEN format('CREATE TYPE %s (%s)', name, mz_sluice.base_type_options(t))
    END AS sql) AS s
  WHERE t.oid = type
$$;
`;
