import {SqlError} from '../base/sql-error.ts';
import {alterConnection} from '../catalog/change-commands.ts';
import {type ConnectionDescription, describeConnection, showCreate} from '../catalog/commands.ts';
import type {AlterConnection, CreateConnection, Option} from '../sql/ast.ts';
import {CONNECTION_TYPES} from '../sql/options/connection.ts';
import {parseStatement} from '../sql/parser.ts';
import {ask, describe, objectName} from './ask.ts';
import {checkConnection, checkOptionsFit, storeConnection, validateBrokers} from './create-connection.ts';
import {itemExists} from './item-exists.ts';
import type {Plan, StatementContext} from './statement.ts';

/**
 * The connection's statement with other options, checked as if it were new. Sinks on the connection restart with it after COMMIT.
 */
export function planAlterConnection(statement: AlterConnection): Plan {
  return {kind: 'run', tag: 'ALTER CONNECTION', run: context => run(statement, context)};
}

async function run(alter: AlterConnection, context: StatementContext): Promise<void> {
  if (alter.rotateKeys && alter.actions.length > 0) {
    throw new SqlError('42601', 'cannot specify any other actions alongside ALTER CONNECTION...ROTATE KEYS');
  }
  if (alter.ifExists && !(await itemExists(context, 'connection', alter.name))) return;
  const {id, name} = await describe<ConnectionDescription>(
    context,
    describeConnection(objectName(alter.name), 'owner'),
    alter.name.at,
  );
  if (alter.rotateKeys) {
    throw new SqlError('42809', `${name} is not an SSH connection`, {position: alter.name.at});
  }
  const before = await readStatement(alter, context);
  checkActions(alter, before);
  const after: CreateConnection = {...before, options: changedOptions(alter, before), with: alter.with};
  checkOptionsFit(after);
  const checked = await checkConnection(after, context);
  await validateBrokers(after, checked, context);
  await storeConnection(after, checked, (options, createSql) => ask(context, alterConnection(id, options, createSql)));
}

/** What SHOW CREATE prints. Its errors can only be about what the user has changed, so they point to his statement. */
async function readStatement({name}: AlterConnection, context: StatementContext): Promise<CreateConnection> {
  const {text, values} = showCreate('connection', objectName(name), false);
  const {rows} = await context.query(text, values);
  const statement = parseStatement(rows[0][1]!, 'create', {standardConformingStrings: true});
  return JSON.parse(JSON.stringify(statement), (key, value: unknown) =>
    key === 'at' ? name.at : value,
  ) as CreateConnection;
}

/** Where the sinks of the connection keep how far they got. */
const FROZEN = ['PROGRESS TOPIC', 'PROGRESS TOPIC REPLICATION FACTOR'];
/** Of these a connection has one: setting it takes the place of the other. */
const EXCLUSIVE = ['BROKER', 'BROKERS'];

function checkActions({actions}: AlterConnection, {type}: CreateConnection): void {
  const {title} = CONNECTION_TYPES[type];
  const named = (which: 'set' | 'other') =>
    actions.filter(({action}) => (action === 'set') === (which === 'set')).map(({option}) => option.name);
  const set = named('set');
  const gone = named('other');
  const twice = set.find((name, i) => set.indexOf(name) !== i);
  if (twice !== undefined) throw new SqlError('42601', `${twice} specified more than once`);
  const frozen = actions.find(({option}) => FROZEN.includes(option.name));
  if (frozen !== undefined) {
    throw new SqlError('0A000', `cannot ALTER ${title} option ${frozen.option.name}`, {
      hint: 'Create another connection, and the sinks again on it.',
      position: frozen.option.at,
    });
  }
  const both = set.filter(name => gone.includes(name));
  if (both.length > 0) throw new SqlError('42601', `cannot both SET and DROP/RESET options ${both.join(', ')}`);
  if (EXCLUSIVE.some(name => set.includes(name)) && EXCLUSIVE.some(name => gone.includes(name))) {
    throw new SqlError(
      '42601',
      `cannot both SET and DROP/RESET mutually exclusive ${title} options ${EXCLUSIVE.join(', ')}`,
    );
  }
}

/** New options in the place of the ones that they replace, further ones behind all. */
function changedOptions({actions}: AlterConnection, {options}: CreateConnection): Option[] {
  const set = new Map(actions.flatMap(({action, option}) => (action === 'set' ? [[option.name, option]] : [])));
  const gone = new Set(actions.flatMap(({action, option}) => (action === 'set' ? [] : [option.name])));
  const exclusive = EXCLUSIVE.map(name => set.get(name)).find(option => option !== undefined);
  const changed = options
    .filter(({name}) => !gone.has(name))
    .map(option => set.get(option.name) ?? (EXCLUSIVE.includes(option.name) ? exclusive : undefined) ?? option);
  return [...changed, ...[...set.values()].filter(option => !changed.includes(option))];
}
