import type {Migration} from './migration.ts';

/** What PostgreSQL's has_…_privilege functions take for the role, as parameters and as the role's OID. */
const ROLES = [
  {parameters: ['name'], role: 'mz_sluice.role_asked_for($1)'},
  {parameters: ['oid'], role: '$1'},
  {parameters: [], role: '(SELECT oid FROM pg_roles WHERE rolname = current_user)'},
] as const;

/** One function for every way to name the role. They run as the caller: it is his path and his role that count. */
function overloads(name: string, more: readonly string[], body: (role: string, $: (n: number) => string) => string) {
  return ROLES.map(({parameters, role}) => {
    const $ = (n: number): string => `$${parameters.length + n}`;
    return (
      `CREATE FUNCTION mz_catalog.${name}(${[...parameters, ...more].join(', ')}) RETURNS boolean LANGUAGE sql STABLE STRICT ` +
      `RETURN ${body(role, $)};\n`
    );
  }).join('');
}

const named = (kind: string, object: string) =>
  overloads(
    `has_${kind}_privilege`,
    ['text', 'text'],
    (role, $) => `mz_sluice.has_privileges(${role}, '${kind}', ${object.replace('$', $(1))}, ${$(2)})`,
  );
const byOid = (kind: string) =>
  overloads(
    `has_${kind}_privilege`,
    ['oid', 'text'],
    (role, $) => `mz_sluice.has_privileges(${role}, '${kind}', ${$(1)}, ${$(2)})`,
  );
const item = (kind: string) =>
  named(kind, `mz_sluice.object_asked_for('${kind}', parse_ident($), current_schemas(true)::text[])`) + byOid(kind);

/**
 * `has_connection_privilege` and its sisters: the family that PostgreSQL has for its own objects, with its rules. An unknown name of a
 * role or an object is an error, an unknown OID of an object gives NULL, of several privileges one is enough.
 */
export const hasPrivilege: Migration = {
  version: 14,
  name: 'functions that ask for privileges',
  sql: `
CREATE FUNCTION mz_sluice.role_asked_for(role_name name) RETURNS oid LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
  SELECT mz_sluice.grantee_named(role_name::text)
$$;

CREATE FUNCTION mz_sluice.object_asked_for(kind text, name text[], path text[]) RETURNS oid LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp AS $$
  SELECT anchor FROM mz_sluice.find_object(mz_sluice.acting_role(), kind, name, path, false)
$$;

-- CREATEROLE and CREATEDB are attributes, which nobody inherits; who may create schemas may create clusters.
CREATE FUNCTION mz_sluice.has_system_privilege(role oid, privilege text, with_grant_option boolean) RETURNS boolean LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp AS $$
  SELECT CASE
    WHEN mz_sluice.is_superuser(role) THEN true
    WHEN privilege IN ('CREATEROLE', 'CREATEDB') THEN
      coalesce((SELECT CASE privilege WHEN 'CREATEDB' THEN rolcreatedb ELSE rolcreaterole END AND (rolcreaterole OR NOT with_grant_option)
                FROM pg_roles WHERE oid = role), false)
    WHEN with_grant_option THEN pg_has_role(role, (SELECT datdba FROM pg_database WHERE datname = current_database()), 'USAGE')
    ELSE mz_sluice.has_privilege(role, 'system', 'mz_sluice."system privileges"'::regclass, privilege)
      OR privilege = 'CREATECLUSTER' AND has_database_privilege(role, current_database(), 'CREATE')
  END
$$;

-- One of them is enough. An anchor of NULL is the system.
CREATE FUNCTION mz_sluice.has_privileges(role oid, kind text, anchor oid, privileges text) RETURNS boolean LANGUAGE plpgsql STABLE
SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
  known text[] := ARRAY(SELECT jsonb_object_keys(mz_sluice.privileges_of(kind)))
    || CASE kind WHEN 'system' THEN '{CREATEROLE,CREATEDB}'::text[] ELSE '{}' END;
  found boolean := kind = 'system'
    OR EXISTS (SELECT FROM mz_sluice.item i JOIN pg_class a ON a.oid = i.anchor WHERE i.anchor = $3 AND i.kind = $2)
    OR kind = 'cluster' AND EXISTS (SELECT FROM mz_sluice.cluster c JOIN pg_class a ON a.oid = c.anchor WHERE c.anchor = $3);
  word text;
  privilege text;
  with_grant_option boolean;
  has boolean := false;
BEGIN
  FOR word IN SELECT btrim(w, E' \\t\\n\\r\\f\\v') FROM regexp_split_to_table(privileges, ',') AS w LOOP
    with_grant_option := upper(word) LIKE '% WITH GRANT OPTION';
    privilege := CASE WHEN with_grant_option THEN left(upper(word), -length(' WITH GRANT OPTION')) ELSE upper(word) END;
    IF privilege <> ALL (known) THEN
      RAISE 'unrecognized privilege type: "%"', word USING ERRCODE = '22023';
    END IF;
    has := has OR found AND CASE kind
      WHEN 'system' THEN mz_sluice.has_system_privilege(role, privilege, with_grant_option)
      ELSE coalesce(mz_sluice.has_privilege(role, kind, anchor, privilege, with_grant_option), false) END;
  END LOOP;
  RETURN CASE WHEN found THEN has END;
END
$$;

${item('connection')}${item('secret')}${named('cluster', `mz_sluice.object_asked_for('cluster', ARRAY[$], '{}')`)}${overloads(
    'has_system_privilege',
    ['text'],
    (role, $) => `mz_sluice.has_privileges(${role}, 'system', NULL, ${$(1)})`,
  )}
-- The other three are called as whoever asks.
REVOKE ALL ON FUNCTION mz_sluice.has_system_privilege FROM PUBLIC;
`,
};
