import type {
  AlterConnection,
  ConnectionAction,
  ConnectionType,
  CreateConnection,
  Name,
  ValidateConnection,
} from './ast.ts';
import {
  ALL_CONNECTION_OPTIONS,
  CONNECTION_TYPES,
  CONNECTION_WITH_OPTIONS,
  type ConnectionTypeDescription,
} from './options/connection.ts';
import {enumerate, parseOption, parseOptions, parseWith} from './parse-options.ts';
import type {TokenStream} from './token-stream.ts';

/** Behind CREATE CONNECTION. */
export function parseCreateConnection(tokens: TokenStream): CreateConnection {
  const ifNotExists = tokens.take('IF NOT EXISTS');
  const name = tokens.name('connection name');
  tokens.expect('TO');
  const type = parseType(tokens);
  const {title, options: table} = CONNECTION_TYPES[type];
  const options = parseOptions(tokens, {
    table,
    owner: `${title} connections`,
    relatives: ALL_CONNECTION_OPTIONS,
  });
  return {
    kind: 'createConnection',
    ifNotExists,
    name,
    type,
    options,
    with: parseWith(tokens, CONNECTION_WITH_OPTIONS, 'CREATE CONNECTION'),
  };
}

function parseType(tokens: TokenStream): ConnectionType {
  const types = Object.entries(CONNECTION_TYPES) as [ConnectionType, ConnectionTypeDescription][];
  for (const [type, {keywords}] of types) if (tokens.take(keywords)) return type;
  throw tokens.unexpected(`one of ${enumerate(types.map(([, {keywords}]) => keywords).sort(), 'or')}`);
}

/** Behind `ALTER CONNECTION [IF EXISTS] name`. */
export function parseAlterConnection(tokens: TokenStream, ifExists: boolean, name: Name): AlterConnection {
  let rotateKeys = false;
  const actions: ConnectionAction[] = [];
  const context = {table: ALL_CONNECTION_OPTIONS, owner: 'connections'};
  do {
    if (tokens.take('ROTATE KEYS')) rotateKeys = true;
    else if (tokens.take('SET')) {
      // SET (a = 1, b = 2) and SET a = 1 are both in use.
      const options = tokens.seesSymbol('(') ? parseOptions(tokens, context) : [parseOption(tokens, context)];
      actions.push(...options.map(option => ({action: 'set' as const, option})));
    } else if (tokens.sees('DROP') || tokens.sees('RESET')) {
      const action = tokens.sees('DROP') ? 'drop' : 'reset';
      tokens.skip();
      const names = {...context, withoutValues: true};
      const options = tokens.seesSymbol('(') ? parseOptions(tokens, names) : [parseOption(tokens, names)];
      actions.push(...options.map(option => ({action, option}) as const));
    } else throw tokens.unexpected('one of SET or DROP or RESET or ROTATE KEYS or RENAME TO or OWNER TO');
  } while (tokens.takeSymbol(','));
  return {
    kind: 'alterConnection',
    ifExists,
    name,
    actions,
    rotateKeys,
    with: parseWith(tokens, CONNECTION_WITH_OPTIONS, 'ALTER CONNECTION'),
  };
}

/** Behind VALIDATE. */
export function parseValidateConnection(tokens: TokenStream): ValidateConnection {
  tokens.expect('CONNECTION');
  return {kind: 'validateConnection', name: tokens.name('connection name')};
}
