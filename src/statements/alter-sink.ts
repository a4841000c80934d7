import {SqlError} from '../base/sql-error.ts';
import {alterSink} from '../catalog/change-commands.ts';
import {describeSink, type ItemDescription, showCreate} from '../catalog/commands.ts';
import type {AlterSinkSetFrom, CreateSink} from '../sql/ast.ts';
import {parseStatement} from '../sql/parser.ts';
import {ask, describe, objectName} from './ask.ts';
import {checkSink} from './check-sink.ts';
import {itemExists} from './item-exists.ts';
import {noticeReplicaIdentity} from './sink-relation.ts';
import type {Plan, StatementContext} from './statement.ts';

/**
 * The sink's statement with another relation, checked as if it were new. After COMMIT the sink goes on with the relation that it has until
 * every change of the other one is in its log, and then goes over at one point of it.
 */
export function planAlterSinkSetFrom(statement: AlterSinkSetFrom): Plan {
  return {kind: 'run', tag: 'ALTER SINK', run: context => run(statement, context)};
}

async function run(alter: AlterSinkSetFrom, context: StatementContext): Promise<void> {
  if (alter.ifExists && !(await itemExists(context, 'sink', alter.name))) return;
  const {id} = await describe<ItemDescription>(context, describeSink(objectName(alter.name)), alter.name.at);
  const {relation} = await checkSink(await readStatement(alter, context), context);
  if ((await ask(context, alterSink(id, relation.oid), alter.from.at)) === 't') {
    await noticeReplicaIdentity(relation, context);
  }
}

/** What SHOW CREATE prints, from the other relation. Its errors can only be about that one, so they point to its name. */
async function readStatement({name, from}: AlterSinkSetFrom, context: StatementContext): Promise<CreateSink> {
  const {text, values} = showCreate('sink', objectName(name), false);
  const {rows} = await context.query(text, values);
  const shown = rows[0][1]!;
  if (/[(,] ?<dropped>/.test(shown)) {
    throw new SqlError('55000', `a column in the KEY of sink ${rows[0][0]} was dropped`, {
      hint: 'Drop the sink and create it again.',
    });
  }
  const statement = parseStatement(shown, 'create', {standardConformingStrings: true}) as CreateSink;
  return JSON.parse(JSON.stringify({...statement, from}), (key, value: unknown) =>
    key === 'at' ? from.at : value,
  ) as CreateSink;
}
