import type {Migration} from './migration.ts';

/**
 * GRANT and REVOKE on connections, secrets, clusters and the system, and ALTER DEFAULT PRIVILEGES for them. All of it is privileges of
 * views in PostgreSQL (an object's anchor, and views of their own for the rest), so that DROP ROLE, DROP OWNED and REASSIGN OWNED see it.
 */
export const grants: Migration = {
  version: 10,
  name: 'privileges',
  sql: `
-- CREATEROLE and CREATEDB are attributes of PostgreSQL's roles.
CREATE VIEW mz_sluice."system privileges" AS SELECT;
REVOKE ALL ON mz_sluice."system privileges" FROM PUBLIC;

-- Privileges that new objects get: those of the view that is the anchor. Its owner is whose objects are meant, unless they are everybody's.
CREATE TABLE mz_sluice.default_privilege (
  anchor oid PRIMARY KEY,
  everybody boolean NOT NULL,
  -- NULL: in every schema.
  schema oid,
  -- Its name of late, because pg_upgrade gives it another OID.
  schema_name text,
  kind text NOT NULL CHECK (kind IN ('connection', 'secret', 'cluster'))
);
CREATE SEQUENCE mz_sluice.default_privilege_number;

CREATE FUNCTION mz_sluice.require_create_cluster(role oid) RETURNS void LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF has_database_privilege(role, current_database(), 'CREATE') IS NOT TRUE
     AND mz_sluice.has_privilege(role, 'system', 'mz_sluice."system privileges"'::regclass, 'CREATECLUSTER') IS NOT TRUE THEN
    RAISE 'permission denied to create cluster' USING ERRCODE = '42501',
      DETAIL = format('CREATE on database %s or CREATECLUSTER on the system is needed.', current_database());
  END IF;
END
$$;

-- The privileges of a view that stand for these; NULL or empty: all that the kind has.
CREATE FUNCTION mz_sluice.privileges_of_view(kind text, privileges text[]) RETURNS text LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  known jsonb := mz_sluice.privileges_of(kind);
  privilege text;
BEGIN
  FOREACH privilege IN ARRAY coalesce(privileges, '{}') LOOP
    IF known -> privilege IS NULL THEN
      RAISE 'invalid privilege type % for %', coalesce(privilege, 'NULL'), kind USING ERRCODE = '0LP01';
    END IF;
  END LOOP;
  RETURN (SELECT string_agg(value, ', ') FROM jsonb_each_text(known) WHERE key = ANY (privileges) OR coalesce(privileges, '{}') = '{}');
END
$$;

-- As PostgreSQL reads it, "public" is everybody, quoted or not. 0 then.
CREATE FUNCTION mz_sluice.grantee_named(role_name text) RETURNS oid LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE role_name WHEN 'public' THEN 0::oid ELSE mz_sluice.role_named(role_name) END
$$;

CREATE FUNCTION mz_sluice.change_acl(anchor oid, view_privileges text, grantee oid, revoke boolean) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  role text := CASE grantee WHEN 0 THEN 'PUBLIC' ELSE grantee::regrole::text END;
BEGIN
  IF revoke THEN
    EXECUTE format('REVOKE %s ON %s FROM %s', view_privileges, anchor::regclass, role);
  ELSE
    EXECUTE format('GRANT %s ON %s TO %s', view_privileges, anchor::regclass, role);
  END IF;
END
$$;

-- Only owners grant: there are no grant options. 'object' is what find_object gives.
CREATE FUNCTION mz_sluice.change_privileges(kind text, object record, privileges text[], grantees text[], revoke boolean) RETURNS void
LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  view_privileges text := mz_sluice.privileges_of_view(kind, privileges);
  grantee text;
BEGIN
  PERFORM mz_sluice.require_owner(mz_sluice.acting_role(), object.anchor, kind, object.object_name);
  FOREACH grantee IN ARRAY grantees LOOP
    PERFORM mz_sluice.change_acl(object.anchor, view_privileges, mz_sluice.grantee_named(grantee), revoke);
    PERFORM mz_sluice.record_event(CASE WHEN revoke THEN 'revoke' ELSE 'grant' END, kind,
      mz_sluice.event_name(object.id, object.schema, object.object_name)
      || jsonb_build_object('grantee_id', mz_sluice.role_id(mz_sluice.grantee_named(grantee)), 'privileges', to_jsonb(privileges)));
  END LOOP;
  -- A sink may wait for a privilege.
  PERFORM pg_notify('mz_sluice_catalog', object.id);
END
$$;

CREATE FUNCTION mz_sluice.check_grantable(kind text) RETURNS void LANGUAGE plpgsql IMMUTABLE SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF kind IN ('connection', 'secret', 'cluster') IS NOT TRUE THEN
    RAISE 'there are no privileges for objects of this kind' USING ERRCODE = '0LP01';
  END IF;
END
$$;

CREATE FUNCTION mz_internal.grant_on(kind text, name text[], path text[], privileges text[], grantees text[], revoke boolean)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  PERFORM mz_sluice.check_grantable(kind), mz_sluice.privileges_of_view(kind, privileges);
  PERFORM mz_sluice.change_privileges(kind, mz_sluice.find_object(mz_sluice.changing_role(), kind, name, path, false), privileges, grantees, revoke);
END
$$;

-- Every object of the kind that there is at this moment. 'schemas' empty: everywhere.
CREATE FUNCTION mz_internal.grant_on_all(kind text, schemas text[], privileges text[], grantees text[], revoke boolean)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  acting oid := mz_sluice.changing_role();
  wheres oid[];
  object record;
BEGIN
  PERFORM mz_sluice.check_grantable(kind), mz_sluice.privileges_of_view(kind, privileges);
  PERFORM mz_sluice.grantee_named(g.grantee) FROM unnest(grantees) AS g (grantee);
  wheres := ARRAY(SELECT mz_sluice.schema_named(acting, s.name) FROM unnest(schemas) AS s (name));
  FOR object IN
    SELECT i.id, i.anchor, i.schema, i.name AS object_name FROM mz_sluice.item i JOIN pg_class a ON a.oid = i.anchor
    WHERE i.kind = grant_on_all.kind AND (wheres = '{}' OR i.schema = ANY (wheres))
    UNION ALL
    SELECT c.id, c.anchor, NULL, c.name FROM mz_sluice.cluster c JOIN pg_class a ON a.oid = c.anchor
    WHERE grant_on_all.kind = 'cluster' AND wheres = '{}'
    ORDER BY 4, 1
  LOOP
    PERFORM mz_sluice.change_privileges(kind, object, privileges, grantees, revoke);
  END LOOP;
END
$$;

CREATE FUNCTION mz_sluice.require_database_owner(acting oid, what text) RETURNS void LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp AS $$
BEGIN
  IF NOT pg_has_role(acting, (SELECT datdba FROM pg_database WHERE datname = current_database()), 'USAGE') THEN
    RAISE 'permission denied to %', what USING ERRCODE = '42501', DETAIL = 'Only the owner of the database may do that.';
  END IF;
END
$$;

-- CREATECLUSTER and CREATENETWORKPOLICY; the other two are ALTER ROLE.
CREATE FUNCTION mz_internal.grant_on_system(privileges text[], grantees text[], revoke boolean) RETURNS void LANGUAGE plpgsql
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  view_privileges text := mz_sluice.privileges_of_view('system', privileges);
  grantee text;
BEGIN
  PERFORM mz_sluice.require_database_owner(mz_sluice.changing_role(), 'change system privileges');
  FOREACH grantee IN ARRAY grantees LOOP
    PERFORM mz_sluice.change_acl('mz_sluice."system privileges"'::regclass, view_privileges, mz_sluice.grantee_named(grantee), revoke);
    PERFORM mz_sluice.record_event(CASE WHEN revoke THEN 'revoke' ELSE 'grant' END, 'system',
      jsonb_build_object('grantee_id', mz_sluice.role_id(mz_sluice.grantee_named(grantee)), 'privileges', to_jsonb(privileges)));
  END LOOP;
END
$$;

-- Views whose schema or whose owner's DROP OWNED is gone.
CREATE FUNCTION mz_sluice.sweep_default_privileges() RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  dangling oid;
BEGIN
  FOR dangling IN SELECT d.anchor FROM mz_sluice.default_privilege d
    WHERE d.schema IS NOT NULL AND NOT EXISTS (SELECT FROM pg_namespace n WHERE n.oid = d.schema) FOR UPDATE SKIP LOCKED LOOP
    EXECUTE (SELECT 'DROP VIEW ' || dangling::regclass FROM pg_class WHERE oid = dangling);
  END LOOP;
  DELETE FROM mz_sluice.default_privilege d WHERE NOT EXISTS (SELECT FROM pg_class a WHERE a.oid = d.anchor);
END
$$;

-- NULL for a role: everybody's objects. NULL for a schema: all of them.
CREATE FUNCTION mz_sluice.alter_default_privilege(kind text, role oid, in_schema oid, view_privileges text, grantee oid, revoke boolean)
RETURNS void LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  anchors oid[] := ARRAY(
    SELECT d.anchor FROM mz_sluice.default_privilege d JOIN pg_class a ON a.oid = d.anchor
    WHERE d.kind = alter_default_privilege.kind AND d.schema IS NOT DISTINCT FROM in_schema AND d.everybody = (role IS NULL)
      AND (d.everybody OR a.relowner = role));
  new_anchor oid;
BEGIN
  IF revoke THEN
    PERFORM mz_sluice.change_acl(a, view_privileges, grantee, true) FROM unnest(anchors) AS a;
    RETURN;
  END IF;
  IF anchors = '{}' THEN
    new_anchor := mz_sluice.create_anchor(format('default privileges %s: %ss', nextval('mz_sluice.default_privilege_number'), kind)::name,
      coalesce(role, (SELECT oid FROM pg_roles WHERE rolname = current_user)), NULL, '{}');
    INSERT INTO mz_sluice.default_privilege
    VALUES (new_anchor, role IS NULL, in_schema, (SELECT nspname FROM pg_namespace WHERE oid = in_schema), kind);
    anchors := ARRAY[new_anchor];
  END IF;
  PERFORM mz_sluice.change_acl(anchors[1], view_privileges, grantee, false);
END
$$;

-- 'roles' NULL: ALL ROLES, empty: the acting one. 'schemas' empty: all.
CREATE FUNCTION mz_internal.alter_default_privileges(kind text, roles text[], schemas text[], privileges text[], grantees text[], revoke boolean)
RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  acting oid := mz_sluice.changing_role();
  view_privileges text;
  role oid;
  role_name text;
  whose oid[] := '{}';
  schema_name text;
  wheres oid[] := '{}';
BEGIN
  IF kind IN ('connection', 'secret', 'cluster') IS NOT TRUE THEN
    RAISE 'there are no default privileges for objects of this kind' USING ERRCODE = '0LP01';
  END IF;
  IF kind = 'cluster' AND cardinality(schemas) > 0 THEN
    RAISE 'cannot use IN SCHEMA clause when using GRANT/REVOKE ON CLUSTERS' USING ERRCODE = '0LP01';
  END IF;
  view_privileges := mz_sluice.privileges_of_view(kind, privileges);
  IF roles IS NULL THEN
    PERFORM mz_sluice.require_database_owner(acting, 'change default privileges for all roles');
    whose := ARRAY[NULL::oid];
  ELSIF roles = '{}' THEN
    whose := ARRAY[acting];
  END IF;
  FOREACH role_name IN ARRAY coalesce(roles, '{}') LOOP
    role := mz_sluice.role_named(role_name);
    IF NOT pg_has_role(acting, role, 'USAGE') THEN
      RAISE 'permission denied to change default privileges' USING ERRCODE = '42501',
        DETAIL = format('Only a member of role "%s" may do that.', role_name);
    END IF;
    whose := whose || role;
  END LOOP;
  FOREACH schema_name IN ARRAY coalesce(schemas, '{}') LOOP
    wheres := wheres || mz_sluice.schema_named(acting, schema_name);
  END LOOP;
  PERFORM mz_sluice.sweep_default_privileges(),
    mz_sluice.alter_default_privilege(kind, w.role, s.schema, view_privileges, mz_sluice.grantee_named(g.grantee), revoke)
  FROM unnest(whose) AS w (role), unnest(CASE wheres WHEN '{}' THEN ARRAY[NULL::oid] ELSE wheres END) AS s (schema), unnest(grantees) AS g (grantee);
  PERFORM mz_sluice.record_event(CASE WHEN revoke THEN 'revoke' ELSE 'grant' END, kind, jsonb_build_object('default', true,
    'roles', roles, 'schemas', schemas, 'grantees', grantees, 'privileges', privileges));
END
$$;

-- What a new object's role or everybody has said about new objects.
CREATE FUNCTION mz_sluice.apply_default_privileges(new_kind text, new_schema oid, new_anchor oid) RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp AS $$
  SELECT mz_sluice.change_acl(new_anchor, x.privilege_type, x.grantee, false)
  FROM mz_sluice.default_privilege d JOIN pg_class a ON a.oid = d.anchor JOIN pg_class n ON n.oid = new_anchor, aclexplode(a.relacl) AS x
  WHERE d.kind = new_kind AND (d.everybody OR a.relowner = n.relowner) AND (d.schema IS NULL OR d.schema = new_schema)
    AND x.grantee <> a.relowner
$$;
`,
};
