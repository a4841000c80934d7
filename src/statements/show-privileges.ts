import type {ShowList} from '../sql/ast.ts';
import {quoteText} from '../sql/quote.ts';

/** `grantee=letters/grantor` with ids of roles, of everything that a user has made. */
const ACL = `
  SELECT s.name AS schema, o.name, o.type AS object_type, pg_catalog.unnest(o.privileges)::text AS item
  FROM mz_catalog.mz_objects o JOIN mz_catalog.mz_schemas s ON s.id = o.schema_id WHERE o.id LIKE 'u%' AND s.id LIKE 'u%'
  UNION ALL SELECT NULL, name, 'schema', pg_catalog.unnest(privileges)::text FROM mz_catalog.mz_schemas WHERE id LIKE 'u%'
  UNION ALL SELECT NULL, name, 'database', pg_catalog.unnest(privileges)::text FROM mz_catalog.mz_databases
  UNION ALL SELECT NULL, name, 'cluster', pg_catalog.unnest(privileges)::text FROM mz_catalog.mz_clusters`;

const LETTERS = `(VALUES ('r', 'SELECT'), ('a', 'INSERT'), ('w', 'UPDATE'), ('d', 'DELETE'), ('C', 'CREATE'), ('U', 'USAGE')) AS l (letter, privilege_type)`;

export function privileges({on, role}: ShowList): {readonly columns: readonly string[]; readonly from: string} {
  return {
    columns: ['grantor', 'grantee', 'database', 'schema', 'name', 'object_type', 'privilege_type'],
    from:
      `SELECT g.name AS grantor, COALESCE(r.name, 'PUBLIC') AS grantee, pg_catalog.current_database()::text AS database, acl.schema, acl.name, ` +
      `acl.object_type, l.privilege_type FROM (${ACL}) AS acl ` +
      `JOIN ${LETTERS} ON pg_catalog.strpos(pg_catalog.substring(acl.item, '=(.*)/'), l.letter) > 0 ` +
      `JOIN mz_catalog.mz_roles g ON g.id = pg_catalog.substring(acl.item, '/(.*)$') ` +
      `LEFT JOIN mz_catalog.mz_roles r ON r.id = pg_catalog.substring(acl.item, '^(.*)=') WHERE true` +
      `${ofKind(on?.parts[0], 'acl.object_type')}${reaches(role, 'r.oid')}`,
  };
}

/** ALTER DEFAULT PRIVILEGES, as PostgreSQL keeps it. */
export function defaultPrivileges({on, role}: ShowList): {readonly columns: readonly string[]; readonly from: string} {
  const kinds = `(VALUES ('r'::"char", 'table'), ('T', 'type'), ('n', 'schema'), ('S', 'sequence'), ('f', 'function')) AS k (code, object_type)`;
  return {
    columns: ['object_owner', 'database', 'schema', 'object_type', 'grantee', 'privilege_type'],
    from:
      `SELECT o.rolname::text AS object_owner, pg_catalog.current_database()::text AS database, n.nspname::text AS schema, k.object_type, ` +
      `COALESCE(r.rolname::text, 'PUBLIC') AS grantee, x.privilege_type FROM pg_catalog.pg_default_acl a ` +
      `JOIN ${kinds} ON k.code = a.defaclobjtype JOIN pg_catalog.pg_roles o ON o.oid = a.defaclrole ` +
      `LEFT JOIN pg_catalog.pg_namespace n ON n.oid = a.defaclnamespace ` +
      `CROSS JOIN LATERAL pg_catalog.aclexplode(a.defaclacl) AS x LEFT JOIN pg_catalog.pg_roles r ON r.oid = x.grantee WHERE true` +
      `${ofKind(on?.parts[0], 'k.object_type')}${reaches(role, 'r.oid')}`,
  };
}

/** `TABLE`, `TABLES`, `MATERIALIZED VIEW`. */
function ofKind(kind: string | undefined, column: string): string {
  if (kind === undefined) return '';
  const singular = kind
    .toLowerCase()
    .replaceAll(' ', '-')
    .replace(/ies$/, 'y')
    .replace(/(?<!s)s$/, '');
  return ` AND ${column} = ${quoteText(singular)}`;
}

/** What the role has itself, through membership, or as everybody has. */
const reaches = (role: string | undefined, oid: string): string =>
  role === undefined ? '' : ` AND (${oid} IS NULL OR pg_catalog.pg_has_role(${quoteText(role)}, ${oid}, 'USAGE'))`;
