import {SqlError} from '../base/sql-error.ts';
import type {GrantEnd} from '../sql/ast.ts';
import {roleOid} from './show-privileges.ts';
import type {StatementContext} from './statement.ts';

/** GRANTED BY may name the acting role only, as in PostgreSQL (aclchk.c, ExecuteGrantStmt). */
export async function requireGrantor({grantedBy}: GrantEnd, context: StatementContext): Promise<void> {
  if (grantedBy === undefined) return;
  const named = 'name' in grantedBy ? roleOid(grantedBy.name) : `${grantedBy.session}::pg_catalog.regrole::oid`;
  const {rows} = await context.query(
    `SELECT ${named} = (SELECT r.oid FROM pg_catalog.pg_roles AS r WHERE r.rolname = current_user)`,
  );
  if (rows[0][0] !== 't') throw new SqlError('0A000', 'grantor must be current user');
}
