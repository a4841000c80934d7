import type {Migration} from './migration.ts';

/**
 * Who asks, what a name means to him, and the anchors. Everything here is called by the functions of commands.ts only, which run
 * as Sluice's own role: nothing may depend on the caller's settings, and nothing may trust an argument.
 *
 * An anchor is a view in mz_sluice that selects no column. It depends on what its object needs, so PostgreSQL's own DROP TABLE,
 * DROP SCHEMA, DROP OWNED, DROP ROLE and CASCADE see the object; it carries the owner (REASSIGN OWNED works) and the privileges:
 * REFERENCES stands for USAGE, TRIGGER for CREATE, because pg_read_all_data and pg_write_all_data do not include them. Without its anchor an object does not exist, whatever the tables still say.
 */
export const privileges: Migration = {
  version: 2,
  name: 'names, privileges and anchors',
  sql: `
CREATE FUNCTION mz_sluice.acting_role() RETURNS oid LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT oid FROM pg_roles
  WHERE rolname = CASE current_setting('role') WHEN 'none' THEN session_user ELSE current_setting('role')::name END
$$;

-- The same for a command that changes something. An index expression at ANALYZE, or the query of a materialized view at REFRESH, is code
-- of the owner of the table, whoever the session is: autovacuum's is a superuser. PostgreSQL refuses UNLISTEN in there; elsewhere it does nothing.
CREATE FUNCTION mz_sluice.changing_role() RETURNS oid LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  UNLISTEN "mz_sluice: nothing";
  RETURN mz_sluice.acting_role();
EXCEPTION WHEN insufficient_privilege THEN
  RAISE 'objects of Sluice cannot be changed within a security-restricted operation' USING ERRCODE = '42501',
    DETAIL = 'Index expressions and the queries of materialized views, for example, are run in such operations.';
END
$$;

CREATE FUNCTION mz_sluice.is_system_schema(schema_name name) RETURNS boolean LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp AS $$
  SELECT starts_with(schema_name::text, 'pg_') OR schema_name IN ('information_schema', 'mz_catalog', 'mz_internal', 'mz_sluice')
$$;

CREATE FUNCTION mz_sluice.full_name(schema oid, name text) RETURNS text LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp AS $$
  SELECT concat_ws('.', current_database(), (SELECT nspname FROM pg_namespace WHERE oid = schema), name)
$$;

CREATE FUNCTION mz_sluice.kind_of(relkind "char") RETURNS text LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE relkind WHEN 'r' THEN 'table' WHEN 'p' THEN 'table' WHEN 'f' THEN 'foreign table' WHEN 'v' THEN 'view'
    WHEN 'm' THEN 'materialized view' WHEN 'i' THEN 'index' WHEN 'I' THEN 'index' WHEN 'S' THEN 'sequence'
    WHEN 'c' THEN 'type' ELSE 'relation' END
$$;

-- Refuses names of another database, then gives back the last two parts: schema (NULL if not given) and object.
CREATE FUNCTION mz_sluice.split_name(name text[], OUT schema_name text, OUT object_name text) LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  parts integer := coalesce(cardinality(name), 0);
BEGIN
  IF parts NOT BETWEEN 1 AND 3 OR array_position(name, NULL) IS NOT NULL THEN
    RAISE 'improper qualified name (too many dotted names): %', array_to_string(name, '.') USING ERRCODE = '42601';
  END IF;
  IF parts = 3 AND name[1] <> current_database() THEN
    RAISE 'cross-database references are not implemented: "%"', array_to_string(name, '.') USING ERRCODE = '0A000';
  END IF;
  schema_name := name[parts - 1];
  object_name := name[parts];
  IF object_name IN ('', '.', '..') OR octet_length(object_name) > 255 THEN
    RAISE 'invalid name "%"', object_name USING ERRCODE = '42602', HINT = 'A name has 1 to 255 bytes and is neither . nor ..';
  END IF;
END
$$;

-- By which privilege of its anchor an object of this kind, or the system, has each of its own.
CREATE FUNCTION mz_sluice.privileges_of(kind text) RETURNS jsonb LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE kind
    WHEN 'cluster' THEN '{"USAGE": "REFERENCES", "CREATE": "TRIGGER"}'
    WHEN 'system' THEN '{"CREATECLUSTER": "REFERENCES", "CREATENETWORKPOLICY": "TRIGGER"}'
    ELSE '{"USAGE": "REFERENCES"}' END::jsonb
$$;

-- NULL for what is being dropped at this moment. Owners may grant what they have.
CREATE FUNCTION mz_sluice.has_privilege(role oid, kind text, anchor oid, privilege text, with_grant_option boolean DEFAULT false)
RETURNS boolean LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT has_table_privilege(role, anchor,
    (mz_sluice.privileges_of(kind) ->> privilege) || CASE WHEN with_grant_option THEN ' WITH GRANT OPTION' ELSE '' END)
$$;

-- 'name' as GRANT takes it; the message has its last part.
CREATE FUNCTION mz_sluice.deny(role oid, privilege text, kind text, name text[], detail text DEFAULT NULL) RETURNS void LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  hint text := format('Its owner can run GRANT %s ON %s %s TO %s.', privilege, upper(kind),
    (SELECT string_agg(quote_ident(part), '.' ORDER BY n) FROM unnest(name) WITH ORDINALITY AS p (part, n)), role::regrole);
BEGIN
  IF detail IS NULL THEN
    RAISE 'permission denied for % %', kind, name[cardinality(name)] USING ERRCODE = '42501', HINT = hint;
  END IF;
  RAISE 'permission denied for % %', kind, name[cardinality(name)] USING ERRCODE = '42501', HINT = hint, DETAIL = detail;
END
$$;

CREATE FUNCTION mz_sluice.require_schema_usage(acting oid, schema oid) RETURNS void LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF has_schema_privilege(acting, schema, 'USAGE') IS NOT TRUE THEN
    PERFORM mz_sluice.deny(acting, 'USAGE', 'schema', ARRAY[(SELECT nspname::text FROM pg_namespace WHERE oid = schema)]);
  END IF;
END
$$;

CREATE FUNCTION mz_sluice.schema_named(acting oid, schema_name text) RETURNS oid LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  schema oid := (SELECT oid FROM pg_namespace WHERE nspname = schema_name);
BEGIN
  IF schema IS NULL THEN
    RAISE 'schema "%" does not exist', schema_name USING ERRCODE = '3F000';
  END IF;
  PERFORM mz_sluice.require_schema_usage(acting, schema);
  RETURN schema;
END
$$;

-- Where an object of this name would be created, locked against DROP SCHEMA as by PostgreSQL's own commands. An unqualified name goes into
-- the first schema of the caller's path.
CREATE FUNCTION mz_sluice.schema_for_new(acting oid, schema_name text, path text[]) RETURNS oid LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  schema oid;
BEGIN
  schema_name := coalesce(schema_name, path[1]);
  IF schema_name IS NULL THEN
    RAISE 'no schema has been selected to create in' USING ERRCODE = '3F000';
  END IF;
  -- Takes an ACCESS SHARE lock until the end of the transaction, and says 3F000 when the schema is gone.
  schema := (SELECT objid FROM pg_get_object_address('schema', ARRAY[schema_name], '{}'));
  IF mz_sluice.is_system_schema(schema_name::name) THEN
    RAISE 'permission denied for schema %', schema_name USING ERRCODE = '42501',
      DETAIL = 'System schemas cannot be changed.';
  END IF;
  IF has_schema_privilege(acting, schema, 'CREATE') IS NOT TRUE THEN
    PERFORM mz_sluice.deny(acting, 'CREATE', 'schema', ARRAY[schema_name]);
  END IF;
  RETURN schema;
END
$$;

-- What has this name in the schema already: items, relations and indexes share one space, as in Materialize.
CREATE FUNCTION mz_sluice.taken_by(schema oid, object_name text) RETURNS text LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce(
    (SELECT i.kind FROM mz_sluice.item i JOIN pg_class a ON a.oid = i.anchor WHERE i.schema = $1 AND i.name = object_name),
    (SELECT mz_sluice.kind_of(c.relkind) FROM pg_class c WHERE c.relnamespace = $1 AND c.relname = object_name))
$$;

CREATE FUNCTION mz_sluice.report_taken(kind text, schema oid, object_name text, if_not_exists boolean) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF if_not_exists THEN
    RAISE NOTICE '% "%" already exists, skipping', kind, mz_sluice.full_name(schema, object_name) USING ERRCODE = '42710';
  ELSE
    RAISE '% "%" already exists', kind, mz_sluice.full_name(schema, object_name) USING ERRCODE = '42710';
  END IF;
END
$$;

-- The item of this name; a row of NULLs if there is none and that is allowed. Unqualified names are looked for along the path.
CREATE FUNCTION mz_sluice.find_item(acting oid, wanted text, name text[], path text[], missing_ok boolean DEFAULT false)
RETURNS mz_sluice.item LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  parts record := mz_sluice.split_name(name);
  hit mz_sluice.item;
  other text;
BEGIN
  IF parts.schema_name IS NOT NULL THEN
    IF missing_ok AND NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = parts.schema_name) THEN
      RETURN hit;
    END IF;
    PERFORM mz_sluice.schema_named(acting, parts.schema_name);
    path := ARRAY[parts.schema_name];
  END IF;
  SELECT i.* INTO hit
  FROM mz_sluice.item i JOIN pg_namespace n ON n.oid = i.schema JOIN pg_class a ON a.oid = i.anchor
  WHERE n.nspname = ANY (path) AND i.name = parts.object_name AND has_schema_privilege(acting, n.oid, 'USAGE')
  ORDER BY array_position(path, n.nspname::text) LIMIT 1;
  IF hit.id IS NULL THEN
    SELECT mz_sluice.full_name(c.relnamespace, c.relname) INTO other
    FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = ANY (path) AND c.relname = parts.object_name AND has_schema_privilege(acting, n.oid, 'USAGE')
    ORDER BY array_position(path, n.nspname::text) LIMIT 1;
  ELSIF hit.kind <> wanted THEN
    other := mz_sluice.full_name(hit.schema, hit.name);
  END IF;
  IF other IS NOT NULL THEN
    RAISE '% is not a %', other, wanted USING ERRCODE = '42809';
  END IF;
  IF hit.id IS NULL AND NOT missing_ok THEN
    RAISE '% "%" does not exist', wanted, array_to_string(name, '.') USING ERRCODE = '42704';
  END IF;
  RETURN hit;
END
$$;

CREATE FUNCTION mz_sluice.require_owner(acting oid, anchor oid, kind text, name text) RETURNS void LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM pg_class WHERE oid = anchor AND pg_has_role(acting, relowner, 'USAGE')) THEN
    RAISE 'must be owner of % %', kind, name USING ERRCODE = '42501';
  END IF;
END
$$;

CREATE FUNCTION mz_sluice.require_usage(acting oid, item mz_sluice.item) RETURNS void LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM mz_sluice.require_schema_usage(acting, item.schema);
  IF mz_sluice.has_privilege(acting, item.kind, item.anchor, 'USAGE') IS NOT TRUE THEN
    PERFORM mz_sluice.deny(acting, 'USAGE', item.kind, ARRAY[(SELECT nspname::text FROM pg_namespace WHERE oid = item.schema), item.name]);
  END IF;
END
$$;

-- By id, for references within definitions. The name in the message is all that a caller without USAGE learns; names are public.
CREATE FUNCTION mz_sluice.usable_item(acting oid, wanted text, item_id text) RETURNS mz_sluice.item LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  hit mz_sluice.item;
BEGIN
  SELECT i.* INTO hit FROM mz_sluice.item i JOIN pg_class a ON a.oid = i.anchor WHERE i.id = item_id AND i.kind = wanted;
  IF hit.id IS NULL THEN
    RAISE '% with id "%" does not exist', wanted, item_id USING ERRCODE = '42704';
  END IF;
  PERFORM mz_sluice.require_usage(acting, hit);
  RETURN hit;
END
$$;

CREATE FUNCTION mz_sluice.anchor_name(kind text, id text, name text) RETURNS name LANGUAGE sql IMMUTABLE
SET search_path = pg_catalog, pg_temp AS $$
  SELECT (kind || ' ' || id || ': ' || name)::name
$$;

-- The query of an anchor: it depends on its schema and on the relations that it names.
CREATE FUNCTION mz_sluice.anchor_query(schema oid, needed oid[]) RETURNS text LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp AS $$
  SELECT concat_ws(' ', 'SELECT',
    (SELECT 'FROM ' || string_agg(format('%s AS r%s', r.oid::regclass, r.n), ', ') FROM unnest(needed) WITH ORDINALITY AS r (oid, n)),
    (SELECT format('WHERE %L::pg_catalog.regnamespace IS NOT NULL', quote_ident(nspname)) FROM pg_namespace WHERE oid = schema))
$$;

-- Whether Sluice's own role, which runs this, may give something to that role.
CREATE FUNCTION mz_sluice.can_act_for(role oid) RETURNS boolean LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT pg_has_role(role, CASE WHEN current_setting('server_version_num')::integer >= 160000 THEN 'SET' ELSE 'MEMBER' END)
$$;

-- A role that is no superuser may only give to roles that could have created it there: for one moment that nobody else sees.
CREATE FUNCTION mz_sluice.give_anchor(anchor oid, owner oid) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  needs_create boolean := NOT has_schema_privilege(owner, 'mz_sluice', 'CREATE');
BEGIN
  IF NOT mz_sluice.can_act_for(owner) THEN
    RAISE 'Sluice may not act for role "%"', (SELECT rolname FROM pg_roles WHERE oid = owner) USING ERRCODE = '42501',
      DETAIL = format('Sluice runs as role "%s", which is no superuser and no member of that role.', current_user),
      HINT = format('Run GRANT %s TO %I as an administrator of PostgreSQL.', owner::regrole, current_user);
  END IF;
  IF needs_create AND NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
    PERFORM pg_advisory_xact_lock(hashtextextended('mz_sluice.give_anchor', 0));
    EXECUTE format('GRANT CREATE ON SCHEMA mz_sluice TO %s', owner::regrole);
    EXECUTE format('ALTER VIEW %s OWNER TO %s', anchor::regclass, owner::regrole);
    EXECUTE format('REVOKE CREATE ON SCHEMA mz_sluice FROM %s', owner::regrole);
  ELSE
    EXECUTE format('ALTER VIEW %s OWNER TO %s', anchor::regclass, owner::regrole);
  END IF;
END
$$;

-- How errors call a relation that an anchor names.
CREATE FUNCTION mz_sluice.name_of_needed(relation oid) RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce(
    (SELECT format('%s "%s"', i.kind, i.name) FROM mz_sluice.item i WHERE i.anchor = relation),
    (SELECT format('cluster "%s"', c.name) FROM mz_sluice.cluster c WHERE c.anchor = relation),
    (SELECT format('relation "%s"', c.relname) FROM pg_class c WHERE c.oid = relation))
$$;

-- Naming the relations in FROM locks them against a concurrent DROP until the end of the transaction.
CREATE FUNCTION mz_sluice.create_anchor(anchor_name name, owner oid, schema oid, needed oid[]) RETURNS oid LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  needed_names text[] := ARRAY(SELECT mz_sluice.name_of_needed(n.oid) FROM unnest(needed) WITH ORDINALITY AS n (oid, place) ORDER BY place);
  gone text;
  anchor oid;
  grantee oid;
BEGIN
  BEGIN
    EXECUTE format('CREATE VIEW mz_sluice.%I AS %s', anchor_name, mz_sluice.anchor_query(schema, needed));
  EXCEPTION WHEN undefined_table THEN
    -- Dropped, by somebody who has committed while this waited for his lock.
    gone := (SELECT needed_names[n.place] FROM unnest(needed) WITH ORDINALITY AS n (oid, place)
             WHERE NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = n.oid) ORDER BY n.place LIMIT 1);
    IF gone IS NULL THEN
      RAISE;
    END IF;
    RAISE '% does not exist', gone USING ERRCODE = CASE WHEN starts_with(gone, 'relation') THEN '42P01' ELSE '42704' END;
  END;
  anchor := (SELECT oid FROM pg_class WHERE relname = anchor_name AND relnamespace = 'mz_sluice'::regnamespace);
  -- Somebody's ALTER DEFAULT PRIVILEGES for our role must not give away what the owner has not given.
  FOR grantee IN SELECT DISTINCT x.grantee FROM pg_class c, aclexplode(c.relacl) x WHERE c.oid = anchor AND x.grantee <> c.relowner LOOP
    EXECUTE format('REVOKE ALL ON %s FROM %s', anchor::regclass, CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END);
  END LOOP;
  PERFORM mz_sluice.give_anchor(anchor, owner);
  RETURN anchor;
END
$$;

-- The object needs other things from now on. Owner, privileges, comment and OID stay.
CREATE FUNCTION mz_sluice.replace_anchor(anchor oid, schema oid, needed oid[]) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  EXECUTE format('CREATE OR REPLACE VIEW %s AS %s', anchor::regclass, mz_sluice.anchor_query(schema, needed));
END
$$;

-- For mz_audit_events.
CREATE FUNCTION mz_sluice.record_event(event_type text, object_type text, details jsonb) RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp AS $$
  INSERT INTO mz_sluice.audit_event (event_type, object_type, details, role_name)
  VALUES (event_type, object_type, details, (SELECT rolname FROM pg_roles WHERE oid = mz_sluice.acting_role()))
$$;

CREATE FUNCTION mz_sluice.event_name(id text, schema oid, name text) RETURNS jsonb LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE WHEN schema IS NULL THEN jsonb_build_object('id', id, 'name', name)
    ELSE jsonb_build_object('id', id, 'database', current_database(), 'schema', (SELECT nspname FROM pg_namespace WHERE oid = schema), 'item', name)
  END
$$;

-- Which anchor needs what: (anchor, class of what it needs, its OID).
CREATE VIEW mz_sluice.anchor_dependency AS
SELECT DISTINCT r.ev_class AS anchor, d.refclassid, d.refobjid
FROM pg_depend d JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid
WHERE d.refobjid <> r.ev_class AND d.deptype = 'n';
`,
};
