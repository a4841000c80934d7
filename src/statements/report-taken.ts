import {SqlError} from '../base/sql-error.ts';
import {describeName, type NameDescription} from '../catalog/commands.ts';
import type {Name} from '../sql/ast.ts';
import {describe, objectName} from './ask.ts';
import type {StatementContext} from './statement.ts';

/**
 * True if the name is taken and IF NOT EXISTS allows that (with a NOTICE); throws 42710 if it is not allowed. For statements that
 * have other things to do before the catalog's own check: 3F000 and 42501 come from here too.
 */
export async function reportTaken(context: StatementContext, name: Name, ifNotExists: boolean): Promise<boolean> {
  const {name: fullName, taken} = await describe<NameDescription>(context, describeName(objectName(name)), name.at);
  if (taken === null) return false;
  const message = `${taken} "${fullName}" already exists`;
  if (!ifNotExists) throw new SqlError('42710', message, {position: name.at});
  context.notice({severity: 'NOTICE', code: '42710', message: `${message}, skipping`});
  return true;
}
