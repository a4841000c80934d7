import {SqlError} from '../base/sql-error.ts';
import type {RelationDescription} from '../catalog/commands.ts';
import {describeTypes} from '../engine/describe-types.ts';
import {partitionTree} from '../engine/partition-tree.ts';
import {unsupportedType} from '../types/codecs.ts';
import type {StatementContext} from './statement.ts';

/** Refuses columns that the change stream cannot carry, or that we could not write faithfully. 0A000. */
export async function refuseTypes({columns, name}: RelationDescription, context: StatementContext): Promise<void> {
  const session = {query: (text: string, values: string[]) => context.query(text, values)};
  const types = await describeTypes(session, [...new Set(columns.map(({typeOid}) => typeOid))]);
  for (const {name: column, typeOid, typeName} of columns) {
    const type = types.get(typeOid);
    if (type === undefined) throw new Error(`type ${typeOid} was dropped while the statement ran`);
    const reason = unsupportedType(type);
    if (reason === undefined) continue;
    throw new SqlError('0A000', `column "${column}" of ${name} has type ${typeName}, which a sink cannot write`, {
      detail: `${reason[0].toUpperCase()}${reason.slice(1)}.`,
      hint: 'Give the column another type, text for example.',
    });
  }
}

/** The worker sets it after COMMIT; the user hears of it now, because it is his table. */
export async function noticeReplicaIdentity(
  {oid, name}: RelationDescription,
  context: StatementContext,
): Promise<void> {
  const {rows} = await context.query(
    `SELECT count(*) FROM pg_catalog.pg_class
     WHERE oid IN ${partitionTree('$1')} AND relkind = 'r' AND relreplident <> 'f'`,
    [String(oid)],
  );
  if (rows[0][0] === '0') return;
  context.notice({
    severity: 'NOTICE',
    code: '00000',
    message: `replica identity of table ${name} will be set to FULL`,
    detail: 'The log then carries the whole old row of every UPDATE and DELETE.',
    hint: 'Dropping the last sink on the table restores what was before.',
  });
}
