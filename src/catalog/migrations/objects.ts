import type {Migration} from './migration.ts';

/** The life of objects behind the commands: printing their statements, and following their anchors when PostgreSQL drops them. */
export const objects: Migration = {
  version: 4,
  name: 'printing and dropping',
  sql: `
CREATE FUNCTION mz_sluice.quoted(name text) RETURNS text LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT '"' || replace(name, '"', '""') || '"'
$$;

CREATE FUNCTION mz_sluice.quoted_full_name(schema oid, name text) RETURNS text LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT concat_ws('.', mz_sluice.quoted(current_database()::text),
    (SELECT mz_sluice.quoted(nspname::text) FROM pg_namespace WHERE oid = schema), mz_sluice.quoted(name))
$$;

-- One SqlPart. What a reference points to may be gone by now, so every branch has an answer.
CREATE FUNCTION mz_sluice.print_part(part jsonb, self text, redacted boolean) RETURNS text LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp AS $$
  SELECT coalesce(CASE
    WHEN jsonb_typeof(part) = 'string' THEN part #>> '{}'
    WHEN jsonb_typeof(part -> 'value') = 'string' THEN CASE WHEN redacted THEN '''<REDACTED>''' ELSE part ->> 'value' END
    WHEN part ->> 'ref' IN ('self', 'item') THEN
      (SELECT mz_sluice.quoted_full_name(i.schema, i.name) FROM mz_sluice.item i
       WHERE i.id = CASE part ->> 'ref' WHEN 'self' THEN self ELSE part ->> 'id' END)
    WHEN part ->> 'ref' = 'cluster' THEN (SELECT mz_sluice.quoted(c.name) FROM mz_sluice.cluster c WHERE c.id = part ->> 'id')
    WHEN part ->> 'ref' = 'relation' THEN
      (SELECT mz_sluice.quoted_full_name(c.relnamespace, c.relname) FROM pg_class c WHERE c.oid = (part ->> 'oid')::oid)
    WHEN part ->> 'ref' = 'column' THEN
      (SELECT mz_sluice.quoted(a.attname) FROM pg_attribute a
       WHERE a.attrelid = (part ->> 'oid')::oid AND a.attnum = (part ->> 'attnum')::smallint AND NOT a.attisdropped)
  END, '<dropped>')
$$;

CREATE FUNCTION mz_sluice.print_sql(parts jsonb, self text, redacted boolean) RETURNS text LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
  SELECT string_agg(mz_sluice.print_part(p.part, self, redacted), '' ORDER BY p.n)
  FROM jsonb_array_elements(parts) WITH ORDINALITY AS p (part, n)
$$;

-- Forgets the objects of these anchors, which are no longer in pg_class. It may run in a user's transaction, which may stay open:
-- so it leaves alone what the worker writes (sink_state, sink_relation, sink_statistics), and the worker clears that when it undoes the sink.
CREATE FUNCTION mz_sluice.forget(anchors oid[]) RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF NOT EXISTS (SELECT FROM mz_sluice.item WHERE anchor = ANY (anchors))
     AND NOT EXISTS (SELECT FROM mz_sluice.cluster WHERE anchor = ANY (anchors)) THEN
    RETURN;
  END IF;
  INSERT INTO mz_sluice.dropped_sink (id, cluster, relation, definition, connection)
  SELECT s.id, s.cluster, s.relation, i.definition,
    (SELECT jsonb_build_object('id', c.id, 'name', c.name, 'definition', c.definition) FROM mz_sluice.item c WHERE c.id = s.connection)
  FROM mz_sluice.sink s JOIN mz_sluice.item i ON i.id = s.id WHERE i.anchor = ANY (anchors);
  INSERT INTO mz_sluice.released_relation (sink, cluster, relation)
  SELECT s.id, s.cluster, c.relation FROM mz_sluice.sink_change c JOIN mz_sluice.sink s ON s.id = c.sink JOIN mz_sluice.item i ON i.id = s.id
  WHERE i.anchor = ANY (anchors);
  INSERT INTO mz_sluice.sink_status_history (sink, status)
  SELECT i.id, 'dropped' FROM mz_sluice.item i WHERE i.kind = 'sink' AND i.anchor = ANY (anchors);
  PERFORM mz_sluice.record_event('drop', i.kind, mz_sluice.event_name(i.id, i.schema, i.name))
  FROM mz_sluice.item i WHERE i.anchor = ANY (anchors) ORDER BY i.id;
  PERFORM mz_sluice.record_event('drop', 'cluster', mz_sluice.event_name(c.id, NULL, c.name))
  FROM mz_sluice.cluster c WHERE c.anchor = ANY (anchors) ORDER BY c.id;
  DELETE FROM mz_sluice.item WHERE anchor = ANY (anchors);
  DELETE FROM mz_sluice.cluster WHERE anchor = ANY (anchors);
  PERFORM pg_notify('mz_sluice_catalog', 'drop');
END
$$;

-- Follows every drop that the event trigger has not seen (it needs a superuser to exist). What somebody else is following just now
-- is locked, and left to him.
CREATE FUNCTION mz_sluice.sweep() RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  anchors oid[] := ARRAY(
    SELECT anchor FROM mz_sluice.item WHERE NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = anchor) FOR UPDATE SKIP LOCKED
  ) || ARRAY(
    SELECT anchor FROM mz_sluice.cluster WHERE NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = anchor) FOR UPDATE SKIP LOCKED);
BEGIN
  IF anchors <> '{}' THEN
    PERFORM mz_sluice.forget(anchors);
  END IF;
END
$$;

CREATE FUNCTION mz_sluice.follow_drops() RETURNS event_trigger LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  anchors oid[] := (
    SELECT array_agg(objid) FROM pg_event_trigger_dropped_objects()
    WHERE classid = 'pg_class'::regclass AND objsubid = 0 AND schema_name = 'mz_sluice');
BEGIN
  IF anchors IS NOT NULL THEN
    PERFORM mz_sluice.forget(anchors);
  END IF;
END
$$;

DO $$ BEGIN
  IF (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
    CREATE EVENT TRIGGER mz_sluice_follow_drops ON sql_drop EXECUTE FUNCTION mz_sluice.follow_drops();
    ALTER EVENT TRIGGER mz_sluice_follow_drops ENABLE ALWAYS;
  END IF;
END $$;
`,
};
