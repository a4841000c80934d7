import type {ShowList} from '../sql/ast.ts';
import {quoteName, quoteText} from '../sql/quote.ts';

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

const ofKind = (kind: string | undefined, column: string): string =>
  kind === undefined ? '' : ` AND ${column} = ${quoteText(kind.replaceAll(' ', '-'))}`;

/** What the role has itself, through membership, or as everybody has. */
const reaches = (role: string | undefined, oid: string): string =>
  role === undefined ? '' : ` AND (${oid} IS NULL OR pg_catalog.pg_has_role(${roleOid(role)}, ${oid}, 'USAGE'))`;

/** 42704 where there is no such role, also if no row asks for it. */
export const roleOid = (role: string): string => `${quoteText(quoteName(role))}::pg_catalog.regrole::oid`;
