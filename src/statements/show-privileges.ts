import type {ShowList} from '../sql/ast.ts';
import {quoteText} from '../sql/quote.ts';

export function privileges({on, role}: ShowList): {readonly columns: readonly string[]; readonly from: string} {
  return {
    columns: ['grantor', 'grantee', 'database', 'schema', 'name', 'object_type', 'privilege_type'],
    from:
      `SELECT * FROM mz_internal.mz_show_all_privileges AS p WHERE true` +
      `${ofKind(on?.parts[0], 'p.object_type')}${reaches(role, 'p.grantee_oid')}`,
  };
}

const LETTERS = `(VALUES ('r', 'SELECT'), ('a', 'INSERT'), ('w', 'UPDATE'), ('d', 'DELETE'), ('C', 'CREATE'), ('U', 'USAGE')) AS l (letter, privilege_type)`;

/** ALTER DEFAULT PRIVILEGES, of PostgreSQL's objects and of ours. */
export function defaultPrivileges({on, role}: ShowList): {readonly columns: readonly string[]; readonly from: string} {
  return {
    columns: ['object_owner', 'database', 'schema', 'object_type', 'grantee', 'privilege_type'],
    from:
      `SELECT COALESCE(o.name, 'PUBLIC') AS object_owner, ` +
      `CASE WHEN p.database_id IS NOT NULL THEN pg_catalog.current_database()::text END AS database, s.name AS schema, p.object_type, ` +
      `COALESCE(r.name, 'PUBLIC') AS grantee, l.privilege_type FROM mz_catalog.mz_default_privileges p ` +
      `JOIN ${LETTERS} ON pg_catalog.strpos(p.privileges, l.letter) > 0 ` +
      `LEFT JOIN mz_catalog.mz_schemas s ON s.id = p.schema_id ` +
      `LEFT JOIN mz_catalog.mz_roles o ON o.id = p.role_id LEFT JOIN mz_catalog.mz_roles r ON r.id = p.grantee WHERE true` +
      `${ofKind(on?.parts[0], 'p.object_type')}${reaches(role, 'r.oid')}`,
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
