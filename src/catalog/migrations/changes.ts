import type {Migration} from './migration.ts';

/** Commands that change an object of ours, whatever its kind: its name, its owner, its comment, and what a connection says. */
export const changes: Migration = {
  version: 9,
  name: 'commands that change objects',
  sql: `
-- What items and clusters have in common; NULLs if there is none and that is allowed, which is then said.
CREATE FUNCTION mz_sluice.find_object(acting oid, kind text, name text[], path text[], missing_ok boolean,
  OUT id text, OUT anchor oid, OUT schema oid, OUT object_name text) LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  item mz_sluice.item;
  cluster mz_sluice.cluster;
BEGIN
  IF kind = 'cluster' THEN
    cluster := mz_sluice.find_cluster((mz_sluice.split_name(name)).object_name, missing_ok);
    id := cluster.id;
    anchor := cluster.anchor;
    object_name := cluster.name;
  ELSE
    item := mz_sluice.find_item(acting, kind, name, path, missing_ok);
    id := item.id;
    anchor := item.anchor;
    schema := item.schema;
    object_name := item.name;
  END IF;
  IF id IS NULL THEN
    RAISE NOTICE '% "%" does not exist, skipping', kind, array_to_string(name, '.');
  END IF;
END
$$;

CREATE FUNCTION mz_sluice.role_named(role_name text) RETURNS oid LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  role oid := (SELECT oid FROM pg_roles WHERE rolname = role_name);
BEGIN
  IF role IS NULL THEN
    RAISE 'role "%" does not exist', role_name USING ERRCODE = '42704';
  END IF;
  RETURN role;
END
$$;

CREATE FUNCTION mz_sluice.is_superuser(role oid) RETURNS boolean LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce((SELECT rolsuper FROM pg_roles WHERE oid = role), false)
$$;

CREATE FUNCTION mz_sluice.rename_anchor(anchor oid, kind text, id text, new_name text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  EXECUTE format('ALTER VIEW %s RENAME TO %I', anchor::regclass, mz_sluice.anchor_name(kind, id, new_name));
END
$$;

CREATE FUNCTION mz_internal.rename_object(kind text, name text[], path text[], if_exists boolean, new_name text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  acting oid := mz_sluice.changing_role();
  found record := mz_sluice.find_object(acting, kind, name, path, if_exists);
  taken text;
BEGIN
  IF found.id IS NULL THEN
    RETURN false;
  END IF;
  PERFORM mz_sluice.require_owner(acting, found.anchor, kind, found.object_name);
  PERFORM mz_sluice.sweep();
  IF kind = 'cluster' THEN
    PERFORM mz_sluice.check_cluster_name(new_name);
    BEGIN
      UPDATE mz_sluice.cluster c SET name = new_name WHERE c.id = found.id;
      IF new_name = found.object_name THEN
        RAISE unique_violation;
      END IF;
    EXCEPTION WHEN unique_violation THEN
      RAISE 'cluster "%" already exists', new_name USING ERRCODE = '42710';
    END;
  ELSE
    PERFORM mz_sluice.schema_for_new(acting, (SELECT nspname FROM pg_namespace WHERE oid = found.schema), NULL),
      mz_sluice.split_name(ARRAY[new_name]);
    taken := mz_sluice.taken_by(found.schema, new_name);
    IF taken IS NOT NULL THEN
      PERFORM mz_sluice.report_taken(taken, found.schema, new_name, false);
    END IF;
    BEGIN
      UPDATE mz_sluice.item i SET name = new_name WHERE i.id = found.id;
    EXCEPTION WHEN unique_violation THEN
      PERFORM mz_sluice.report_taken(kind, found.schema, new_name, false);
    END;
  END IF;
  PERFORM mz_sluice.rename_anchor(found.anchor, kind, found.id, new_name);
  PERFORM mz_sluice.record_event('alter', kind, mz_sluice.event_name(found.id, found.schema, found.object_name)
    || jsonb_build_object('new_name', new_name));
  PERFORM pg_notify('mz_sluice_catalog', found.id);
  RETURN true;
END
$$;

-- As ALTER TABLE … OWNER TO: the owner gives it to a role that he could be, and that could have created it.
CREATE FUNCTION mz_internal.set_owner(kind text, name text[], path text[], if_exists boolean, new_owner text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  acting oid := mz_sluice.changing_role();
  found record := mz_sluice.find_object(acting, kind, name, path, if_exists);
  role oid;
  old_owner oid;
BEGIN
  IF found.id IS NULL THEN
    RETURN false;
  END IF;
  PERFORM mz_sluice.require_owner(acting, found.anchor, kind, found.object_name);
  role := mz_sluice.role_named(new_owner);
  IF NOT mz_sluice.is_superuser(acting) THEN
    IF NOT pg_has_role(acting, role, CASE WHEN current_setting('server_version_num')::integer >= 160000 THEN 'SET' ELSE 'MEMBER' END) THEN
      RAISE 'must be able to SET ROLE "%"', new_owner USING ERRCODE = '42501';
    END IF;
    IF kind = 'cluster' THEN
      PERFORM mz_sluice.require_create_cluster(role);
    ELSE
      PERFORM mz_sluice.schema_for_new(role, (SELECT nspname FROM pg_namespace WHERE oid = found.schema), NULL);
    END IF;
  END IF;
  old_owner := (SELECT relowner FROM pg_class WHERE oid = found.anchor);
  PERFORM mz_sluice.give_anchor(found.anchor, role);
  PERFORM mz_sluice.record_event('alter', kind, mz_sluice.event_name(found.id, found.schema, found.object_name)
    || jsonb_build_object('old_owner_id', mz_sluice.role_id(old_owner), 'new_owner_id', mz_sluice.role_id(role)));
  RETURN true;
END
$$;

-- NULL takes the comment away.
CREATE FUNCTION mz_internal.comment_on(kind text, name text[], path text[], comment text) RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  acting oid := mz_sluice.changing_role();
  found record := mz_sluice.find_object(acting, kind, name, path, false);
BEGIN
  PERFORM mz_sluice.require_owner(acting, found.anchor, kind, found.object_name);
  EXECUTE format('COMMENT ON VIEW %s IS %L', found.anchor::regclass, comment);
  PERFORM mz_sluice.record_event('comment', kind, mz_sluice.event_name(found.id, found.schema, found.object_name));
END
$$;

CREATE FUNCTION mz_internal.alter_connection(connection_id text, definition jsonb, create_sql jsonb) RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  acting oid := mz_sluice.changing_role();
  item mz_sluice.item;
  frozen text;
BEGIN
  -- The row's lock lets two that alter it at once follow each other.
  SELECT i.* INTO item FROM mz_sluice.item i JOIN pg_class a ON a.oid = i.anchor
  WHERE i.id = connection_id AND i.kind = 'connection' FOR UPDATE OF i;
  IF item.id IS NULL THEN
    RAISE 'connection with id "%" does not exist', connection_id USING ERRCODE = '42704';
  END IF;
  PERFORM mz_sluice.require_owner(acting, item.anchor, 'connection', item.name);
  -- Sinks find their progress by these.
  FOREACH frozen IN ARRAY ARRAY['type', 'progressTopic', 'progressTopicReplicationFactor'] LOOP
    IF definition -> frozen IS DISTINCT FROM item.definition -> frozen THEN
      RAISE '% of a connection cannot be changed', frozen USING ERRCODE = '0A000';
    END IF;
  END LOOP;
  PERFORM mz_sluice.check_definition('connection', connection_id, definition, create_sql);
  UPDATE mz_sluice.item i SET definition = alter_connection.definition, create_sql = alter_connection.create_sql
  WHERE i.id = connection_id;
  PERFORM mz_sluice.replace_anchor(item.anchor, item.schema, mz_sluice.referenced_anchors(acting, definition));
  PERFORM mz_sluice.record_event('alter', 'connection', mz_sluice.event_name(item.id, item.schema, item.name));
  PERFORM pg_notify('mz_sluice_catalog', connection_id);
END
$$;

-- A sink needs its cluster, its connection, and every relation that it reads or will read; $2 is one that is only now to be read.
CREATE FUNCTION mz_sluice.renew_sink_anchor(sink_id text, further oid DEFAULT NULL) RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp AS $$
  SELECT mz_sluice.replace_anchor(i.anchor, i.schema, ARRAY(
    SELECT relation FROM mz_sluice.sink_version WHERE sink = i.id
    UNION
    SELECT further WHERE further IS NOT NULL
    UNION
    SELECT d.refobjid FROM mz_sluice.anchor_dependency d
    WHERE d.anchor = i.anchor AND d.refobjid IN (SELECT anchor FROM mz_sluice.item UNION ALL SELECT anchor FROM mz_sluice.cluster)))
  FROM mz_sluice.item i JOIN pg_class a ON a.oid = i.anchor WHERE i.id = sink_id
$$;

-- ALTER SINK … SET FROM. The worker finds a point of the log for it; until then the sink reads what it has read. Changes that it has
-- not begun are taken back. False: the sink is that already.
CREATE FUNCTION mz_internal.alter_sink(sink_id text, relation oid) RETURNS boolean LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  acting oid := mz_sluice.changing_role();
  item mz_sluice.item;
  shown record;
  withdrawn oid[];
  latest record;
  new_columns jsonb;
  new_key smallint[];
  missing text;
  new_version bigint;
  new_create_sql jsonb;
BEGIN
  -- The row's lock lets two that alter it at once follow each other.
  SELECT i.* INTO item FROM mz_sluice.item i JOIN pg_class a ON a.oid = i.anchor WHERE i.id = sink_id AND i.kind = 'sink' FOR UPDATE OF i;
  IF item.id IS NULL THEN
    RAISE 'sink with id "%" does not exist', sink_id USING ERRCODE = '42704';
  END IF;
  PERFORM mz_sluice.require_owner(acting, item.anchor, 'sink', item.name);
  PERFORM mz_sluice.check_relation(acting, alter_sink.relation);
  -- What SHOW CREATE SINK says at this moment.
  SELECT v.relation, v.key INTO shown FROM mz_sluice.sink_version v WHERE v.sink = sink_id ORDER BY v.version DESC LIMIT 1;
  WITH gone AS (DELETE FROM mz_sluice.sink_change c WHERE c.sink = sink_id AND NOT c.begun RETURNING c.relation)
  SELECT coalesce(array_agg(g.relation), '{}') INTO withdrawn FROM gone g;
  INSERT INTO mz_sluice.released_relation (sink, cluster, relation)
  SELECT sink_id, s.cluster, w FROM mz_sluice.sink s, unnest(withdrawn) AS w WHERE s.id = sink_id;
  -- The anchor locks the relation: now its columns stay as they are until the end of the transaction.
  PERFORM mz_sluice.renew_sink_anchor(sink_id, alter_sink.relation);
  new_columns := mz_sluice.relation_columns(alter_sink.relation);
  SELECT array_agg((c ->> 'attnum')::smallint ORDER BY k.n), min(coalesce(a.attname, '?')) FILTER (WHERE c IS NULL) INTO new_key, missing
  FROM unnest(shown.key) WITH ORDINALITY AS k (attnum, n)
  LEFT JOIN pg_attribute a ON a.attrelid = shown.relation AND a.attnum = k.attnum AND NOT a.attisdropped
  LEFT JOIN jsonb_array_elements(new_columns) AS c ON c ->> 'name' = a.attname;
  IF missing IS NOT NULL THEN
    RAISE 'column referenced in KEY does not exist: %', missing USING ERRCODE = '42703';
  END IF;
  -- What the statement says of the relation and its columns it says of the new one.
  SELECT jsonb_agg(CASE p.part ->> 'ref'
      WHEN 'relation' THEN jsonb_build_object('ref', 'relation', 'oid', alter_sink.relation::bigint)
      WHEN 'column' THEN jsonb_build_object('ref', 'column', 'oid', alter_sink.relation::bigint,
        'attnum', new_key[array_position(shown.key, (p.part ->> 'attnum')::smallint)])
      ELSE p.part END ORDER BY p.n) INTO new_create_sql
  FROM jsonb_array_elements(item.create_sql) WITH ORDINALITY AS p (part, n);
  SELECT v.relation, v.columns, v.key INTO latest FROM mz_sluice.sink_version v WHERE v.sink = sink_id ORDER BY v.version DESC LIMIT 1;
  IF latest.relation = alter_sink.relation AND latest.columns = new_columns AND latest.key IS NOT DISTINCT FROM new_key THEN
    IF withdrawn = '{}' THEN
      RETURN false;
    END IF;
  ELSE
    -- A number that was given before is never given again: the worker may have noted something under it.
    SELECT max(r.version) + 1 INTO new_version FROM mz_sluice.sink_relation r WHERE r.sink = sink_id;
    INSERT INTO mz_sluice.sink_change (sink, version, relation, columns, key)
    VALUES (sink_id, new_version, alter_sink.relation, new_columns, new_key);
    INSERT INTO mz_sluice.sink_relation (sink, version) VALUES (sink_id, new_version);
  END IF;
  UPDATE mz_sluice.item i SET create_sql = new_create_sql WHERE i.id = sink_id;
  PERFORM mz_sluice.record_event('alter', 'sink', mz_sluice.event_name(item.id, item.schema, item.name));
  PERFORM pg_notify('mz_sluice_catalog', sink_id);
  RETURN true;
END
$$;
`,
};
