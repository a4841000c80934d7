import type {Migration} from './migration.ts';

/**
 * What becomes of OIDs in our tables when the server becomes another one. pg_upgrade keeps those of relations, types, roles and the
 * database, but gives schemas new ones; a dump keeps none.
 */
export const upgrades: Migration = {
  version: 15,
  name: 'other servers',
  sql: `
CREATE TABLE mz_sluice.server (
  one boolean PRIMARY KEY DEFAULT true CHECK (one),
  -- The system identifier that the OIDs of schemas belong to.
  system numeric NOT NULL,
  -- This table itself: another number in a database that was restored from a dump.
  self oid NOT NULL
);
INSERT INTO mz_sluice.server (system, self) SELECT system_identifier, 'mz_sluice.server'::regclass FROM pg_control_system();

CREATE FUNCTION mz_sluice.came_from_dump() RETURNS boolean LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT self <> 'mz_sluice.server'::regclass FROM mz_sluice.server
$$;

-- Only for as long as it is certain that the OIDs are of this server.
CREATE FUNCTION mz_sluice.note_schema_names() RETURNS void LANGUAGE sql SET search_path = pg_catalog, pg_temp AS $$
  UPDATE mz_sluice.default_privilege d SET schema_name = n.nspname FROM pg_namespace n
  WHERE n.oid = d.schema AND d.schema_name IS DISTINCT FROM n.nspname
$$;

-- To be called before anything relies on the OIDs of schemas. Does nothing if the server is the one that they belong to.
CREATE FUNCTION mz_sluice.follow_upgrade() RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  present numeric := (SELECT system_identifier FROM pg_control_system());
BEGIN
  IF present = (SELECT system FROM mz_sluice.server) THEN
    RETURN;
  END IF;
  PERFORM FROM mz_sluice.server WHERE system <> present FOR UPDATE;
  IF NOT FOUND THEN
    RETURN;
  END IF;
  -- By way of numbers that no schema has: an old one may be the new one of another schema, with an item of the same name.
  UPDATE mz_sluice.item i SET schema = (4294967295 - n.place)::oid
  FROM (SELECT id, row_number() OVER () AS place FROM mz_sluice.item) AS n WHERE n.id = i.id;
  UPDATE mz_sluice.item i SET schema = d.refobjid FROM mz_sluice.anchor_dependency d
  WHERE d.anchor = i.anchor AND d.refclassid = 'pg_namespace'::regclass;
  -- Nothing depends on these schemas, so that they can be dropped. What is not found is swept away.
  UPDATE mz_sluice.default_privilege SET schema = coalesce((SELECT oid FROM pg_namespace WHERE nspname = schema_name), 0)
  WHERE schema IS NOT NULL;
  -- A slot that pg_upgrade has made again stands elsewhere.
  DELETE FROM mz_sluice.clock WHERE system <> present;
  UPDATE mz_sluice.server SET system = present;
END
$$;
REVOKE ALL ON FUNCTION mz_sluice.came_from_dump, mz_sluice.note_schema_names, mz_sluice.follow_upgrade FROM PUBLIC;
`,
};
