import type {Migration} from './migration.ts';

/**
 * What commands.ts calls. Everybody may call these functions directly: each finds the acting role itself and refuses what the
 * statement would refuse. Arguments are untrusted, so what is stored has been checked to be readable again.
 */
export const items: Migration = {
  version: 5,
  name: 'commands for items',
  sql: `
CREATE FUNCTION mz_internal.raise_error(code text, message text, detail text, hint text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  -- RAISE takes no NULL for an option.
  IF detail IS NULL AND hint IS NULL THEN
    RAISE '%', message USING ERRCODE = code;
  ELSIF hint IS NULL THEN
    RAISE '%', message USING ERRCODE = code, DETAIL = detail;
  ELSIF detail IS NULL THEN
    RAISE '%', message USING ERRCODE = code, HINT = hint;
  END IF;
  RAISE '%', message USING ERRCODE = code, DETAIL = detail, HINT = hint;
END
$$;

CREATE FUNCTION mz_internal.describe_name(name text[], path text[]) RETURNS json LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  parts record := mz_sluice.split_name(name);
  schema oid := mz_sluice.schema_for_new(mz_sluice.acting_role(), parts.schema_name, path);
BEGIN
  RETURN json_build_object('name', mz_sluice.full_name(schema, parts.object_name),
    'taken', mz_sluice.taken_by(schema, parts.object_name));
END
$$;

CREATE FUNCTION mz_internal.describe_relation(name text[], path text[]) RETURNS json LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  acting oid := mz_sluice.acting_role();
  relation oid := mz_sluice.find_relation(acting, name, path);
BEGIN
  PERFORM mz_sluice.check_relation(acting, relation);
  RETURN (SELECT json_build_object('oid', oid::bigint, 'name', mz_sluice.full_name(relnamespace, relname),
    'columns', mz_sluice.relation_columns(relation), 'keys', mz_sluice.relation_keys(relation)) FROM pg_class WHERE oid = relation);
END
$$;

CREATE FUNCTION mz_internal.describe_item(kind text, name text[], path text[], needed text) RETURNS json LANGUAGE plpgsql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  acting oid := mz_sluice.acting_role();
  item mz_sluice.item := mz_sluice.find_item(acting, kind, name, path);
BEGIN
  IF needed = 'usage' THEN
    PERFORM mz_sluice.require_usage(acting, item);
  ELSE
    PERFORM mz_sluice.require_owner(acting, item.anchor, item.kind, item.name);
  END IF;
  RETURN json_build_object('id', item.id, 'name', mz_sluice.full_name(item.schema, item.name), 'definition', item.definition);
END
$$;

-- What cannot be printed must not be stored: it would break the views for everybody.
CREATE FUNCTION mz_sluice.check_definition(kind text, id text, definition jsonb, create_sql jsonb) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF octet_length(definition::text) + octet_length(create_sql::text) > 1048576 THEN
    RAISE 'definition of % is larger than 1 MiB', kind USING ERRCODE = '54000';
  END IF;
  PERFORM mz_sluice.print_sql(create_sql, id, false), mz_sluice.print_sql(create_sql, id, true);
END
$$;

-- Makes the anchor and the row; NULL when IF NOT EXISTS found something.
CREATE FUNCTION mz_sluice.create_item(acting oid, new_kind text, name text[], path text[], if_not_exists boolean, needed oid[],
  new_definition jsonb, new_create_sql jsonb) RETURNS text LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  parts record := mz_sluice.split_name(name);
  new_schema oid := mz_sluice.schema_for_new(acting, parts.schema_name, path);
  taken text;
  new_id text;
BEGIN
  PERFORM mz_sluice.sweep();
  taken := mz_sluice.taken_by(new_schema, parts.object_name);
  IF taken IS NOT NULL THEN
    PERFORM mz_sluice.report_taken(taken, new_schema, parts.object_name, if_not_exists);
    RETURN NULL;
  END IF;
  new_id := mz_sluice.next_item_id();
  PERFORM mz_sluice.check_definition(new_kind, new_id, new_definition, new_create_sql);
  BEGIN
    INSERT INTO mz_sluice.item (id, kind, schema, name, anchor, definition, create_sql)
    VALUES (new_id, new_kind, new_schema, parts.object_name,
      mz_sluice.create_anchor(mz_sluice.anchor_name(new_kind, new_id, parts.object_name), acting, new_schema, needed),
      new_definition, new_create_sql);
  EXCEPTION WHEN unique_violation THEN
    -- Somebody else committed the same name meanwhile.
    PERFORM mz_sluice.report_taken(new_kind, new_schema, parts.object_name, if_not_exists);
    RETURN NULL;
  END;
  PERFORM mz_sluice.apply_default_privileges(new_kind, new_schema, (SELECT anchor FROM mz_sluice.item WHERE id = new_id));
  PERFORM mz_sluice.record_event('create', new_kind, mz_sluice.event_name(new_id, new_schema, parts.object_name));
  PERFORM pg_notify('mz_sluice_catalog', new_id);
  RETURN new_id;
END
$$;

CREATE FUNCTION mz_internal.create_secret(name text[], path text[], if_not_exists boolean) RETURNS text LANGUAGE sql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
  SELECT mz_sluice.create_item(mz_sluice.changing_role(), 'secret', name, path, if_not_exists, '{}', '{}', '[]')
$$;

CREATE FUNCTION mz_internal.seal_secret(secret_id text, sealed bytea) RETURNS void LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  item mz_sluice.item;
BEGIN
  SELECT i.* INTO item FROM mz_sluice.item i JOIN pg_class a ON a.oid = i.anchor WHERE i.id = secret_id AND i.kind = 'secret';
  IF item.id IS NULL THEN
    RAISE 'secret with id "%" does not exist', secret_id USING ERRCODE = '42704';
  END IF;
  PERFORM mz_sluice.require_owner(mz_sluice.changing_role(), item.anchor, 'secret', item.name);
  INSERT INTO mz_sluice.secret_value AS v VALUES (secret_id, seal_secret.sealed)
  ON CONFLICT (secret) DO UPDATE SET sealed = excluded.sealed;
  PERFORM pg_notify('mz_sluice_catalog', secret_id);
END
$$;

-- Every reference that a definition holds, wherever it stands: {"secret": id} and {"connection": id}.
CREATE FUNCTION mz_sluice.referenced_anchors(acting oid, definition jsonb) RETURNS oid[] LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce(array_agg(DISTINCT (mz_sluice.usable_item(acting, r.kind, r.id)).anchor), '{}')
  FROM (
    SELECT 'secret' AS kind, q #>> '{}' AS id FROM jsonb_path_query(definition, 'lax $.**.secret') AS q
    UNION ALL
    SELECT 'connection', q #>> '{}' FROM jsonb_path_query(definition, 'lax $.**.connection') AS q
  ) AS r
$$;

CREATE FUNCTION mz_internal.create_connection(name text[], path text[], if_not_exists boolean, definition jsonb, create_sql jsonb)
RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  acting oid := mz_sluice.changing_role();
BEGIN
  IF jsonb_typeof(definition -> 'type') IS DISTINCT FROM 'string' THEN
    RAISE 'connection has no type' USING ERRCODE = '22023';
  END IF;
  RETURN mz_sluice.create_item(acting, 'connection', name, path, if_not_exists,
    mz_sluice.referenced_anchors(acting, definition), definition, create_sql);
END
$$;

CREATE FUNCTION mz_internal.create_sink(name text[], path text[], if_not_exists boolean, cluster_id text, relation oid,
  connection_id text, key_columns text[], definition jsonb, create_sql jsonb)
RETURNS text LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  acting oid := mz_sluice.changing_role();
  cluster mz_sluice.cluster := mz_sluice.cluster_for_new(acting, cluster_id);
  connection mz_sluice.item := mz_sluice.usable_item(acting, 'connection', connection_id);
  columns jsonb;
  key smallint[];
  new_id text;
BEGIN
  PERFORM mz_sluice.check_relation(acting, relation);
  IF jsonb_typeof(definition #> '{target,type}') IS DISTINCT FROM 'string' THEN
    RAISE 'sink has no target' USING ERRCODE = '22023';
  END IF;
  new_id := mz_sluice.create_item(acting, 'sink', name, path, if_not_exists,
    ARRAY[relation, cluster.anchor, connection.anchor] || mz_sluice.referenced_anchors(acting, definition), definition, create_sql);
  IF new_id IS NULL THEN
    RETURN NULL;
  END IF;
  -- The anchor has locked the relation: now its columns stay as they are until the end of the transaction.
  columns := mz_sluice.relation_columns(relation);
  SELECT array_agg((c ->> 'attnum')::smallint ORDER BY k.n) INTO key
  FROM unnest(key_columns) WITH ORDINALITY AS k (name, n) LEFT JOIN jsonb_array_elements(columns) AS c ON c ->> 'name' = k.name;
  IF array_position(key, NULL) IS NOT NULL THEN
    RAISE 'column referenced in KEY does not exist: %', key_columns[array_position(key, NULL)] USING ERRCODE = '42703';
  END IF;
  INSERT INTO mz_sluice.sink (id, cluster, relation, connection, columns, key)
  VALUES (new_id, cluster.id, create_sink.relation, connection.id, columns, key);
  INSERT INTO mz_sluice.sink_state (sink) VALUES (new_id);
  INSERT INTO mz_sluice.sink_relation (sink, version) VALUES (new_id, 0);
  INSERT INTO mz_sluice.sink_statistics (sink) VALUES (new_id);
  RETURN new_id;
END
$$;

CREATE FUNCTION mz_sluice.refuse_if_needed(anchor oid, kind text, name text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  user_of_it record;
BEGIN
  SELECT i.kind, i.name INTO user_of_it
  FROM mz_sluice.anchor_dependency d JOIN mz_sluice.item i ON i.anchor = d.anchor
  WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = refuse_if_needed.anchor ORDER BY i.name LIMIT 1;
  IF user_of_it.name IS NOT NULL THEN
    RAISE 'cannot drop % "%": still depended upon by % "%"', kind, name, user_of_it.kind, user_of_it.name
      USING ERRCODE = '2BP01', HINT = 'Use DROP ... CASCADE to drop the dependent objects too.';
  END IF;
END
$$;

-- Native DROP VIEW does the rest: other anchors go with CASCADE, and sweep() follows them.
CREATE FUNCTION mz_sluice.drop_anchor(anchor oid, kind text, name text, cascade boolean) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF cascade THEN
    EXECUTE format('DROP VIEW %s CASCADE', anchor::regclass);
  ELSE
    PERFORM mz_sluice.refuse_if_needed(anchor, kind, name);
    BEGIN
      EXECUTE format('DROP VIEW %s', anchor::regclass);
    EXCEPTION WHEN dependent_objects_still_exist THEN
      -- Committed while this waited for its lock.
      PERFORM mz_sluice.refuse_if_needed(anchor, kind, name);
      RAISE;
    END;
  END IF;
  PERFORM mz_sluice.sweep();
END
$$;

CREATE FUNCTION mz_internal.drop_item(kind text, name text[], path text[], if_exists boolean, cascade boolean) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  acting oid := mz_sluice.changing_role();
  item mz_sluice.item := mz_sluice.find_item(acting, kind, name, path, if_exists);
BEGIN
  IF item.id IS NULL THEN
    RAISE NOTICE '% "%" does not exist, skipping', kind, array_to_string(name, '.');
    RETURN false;
  END IF;
  PERFORM mz_sluice.require_owner(acting, item.anchor, kind, item.name);
  PERFORM mz_sluice.drop_anchor(item.anchor, kind, item.name, cascade);
  RETURN true;
END
$$;

CREATE FUNCTION mz_internal.show_create(kind text, item_name text[], path text[], redacted boolean, OUT name text, OUT create_sql text)
LANGUAGE plpgsql STABLE SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  item mz_sluice.item := mz_sluice.find_item(mz_sluice.acting_role(), kind, item_name, path);
BEGIN
  show_create.name := mz_sluice.full_name(item.schema, item.name);
  show_create.create_sql := mz_sluice.print_sql(item.create_sql, item.id, redacted);
END
$$;
`,
};
