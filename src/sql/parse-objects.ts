import type {Comment, Drop, ObjectKind, ResetVariable, SchemaOfDatabase, SetVariable, Statement} from './ast.ts';
import {parseAlterCluster} from './parse-cluster.ts';
import {parseAlterConnection} from './parse-connection.ts';
import {parseAlterDefaultPrivileges, parseBehavior, parseRole} from './parse-privileges.ts';
import {parseStatementOnSchema} from './parse-schema.ts';
import {parseSecretExpression} from './parse-secret.ts';
import {parseAlterSink} from './parse-sink.ts';
import type {TokenStream} from './token-stream.ts';

/** Longer spellings stand before the ones that they begin with. */
const KINDS: Record<ObjectKind, string> = {
  sink: 'SINK',
  connection: 'CONNECTION',
  secret: 'SECRET',
  clusterReplica: 'CLUSTER REPLICA',
  cluster: 'CLUSTER',
  source: 'SOURCE',
};

export const kindKeywords = (kind: ObjectKind): string => KINDS[kind];

export function takeKind(tokens: TokenStream): ObjectKind {
  for (const [kind, keywords] of Object.entries(KINDS)) {
    if (!tokens.take(keywords)) continue;
    tokens.discreet = kind === 'secret';
    return kind as ObjectKind;
  }
  throw tokens.unexpected('one of CLUSTER or CONNECTION or SECRET or SINK or SOURCE');
}

const nameOfKind = (kind: ObjectKind): string => `${KINDS[kind].toLowerCase()} name`;

/** Behind DROP. */
export function parseDrop(tokens: TokenStream): Drop {
  const object = takeKind(tokens);
  const ifExists = tokens.take('IF EXISTS');
  const names = tokens.list(() => tokens.name(nameOfKind(object)));
  return {kind: 'drop', object, ifExists, names, behavior: parseBehavior(tokens)};
}

/** Behind ALTER. */
export function parseAlter(tokens: TokenStream): Statement {
  const {position} = tokens;
  if (tokens.take('DEFAULT PRIVILEGES')) return parseAlterDefaultPrivileges(tokens);
  const object = takeKind(tokens);
  const ifExists = tokens.take('IF EXISTS');
  const name = tokens.name(nameOfKind(object));
  if (tokens.take('RENAME TO')) {
    return {kind: 'rename', object, ifExists, name, to: tokens.identifier(nameOfKind(object))};
  }
  if (tokens.take('OWNER TO')) return {kind: 'changeOwner', object, ifExists, name, owner: parseRole(tokens)};
  switch (object) {
    case 'sink':
      if (tokens.take('SET')) return parseAlterSink(tokens, ifExists, name, 'set');
      if (tokens.take('RESET')) return parseAlterSink(tokens, ifExists, name, 'reset');
      throw tokens.unexpected('one of SET FROM or RENAME TO or OWNER TO');
    case 'connection':
      return parseAlterConnection(tokens, ifExists, name);
    case 'secret':
      if (!tokens.take('AS')) throw tokens.unexpected('one of AS or RENAME TO or OWNER TO');
      return {kind: 'alterSecret', ifExists, name, value: parseSecretExpression(tokens)};
    case 'cluster':
      return parseAlterCluster(tokens, ifExists, name);
    case 'clusterReplica':
      throw tokens.unexpected('one of RENAME TO or OWNER TO');
    case 'source':
      while (tokens.kind !== 'end') tokens.skip();
      return {kind: 'unsupported', what: 'sources are', at: position};
  }
}

/** Behind COMMENT. */
export function parseComment(tokens: TokenStream): Comment | SchemaOfDatabase {
  tokens.expect('ON');
  if (tokens.take('SCHEMA')) return parseStatementOnSchema(tokens, 'COMMENT', 'one');
  const object = takeKind(tokens);
  const name = tokens.name(nameOfKind(object));
  tokens.expect('IS');
  return {kind: 'comment', object, name, text: tokens.take('NULL') ? null : tokens.string('string literal or NULL')};
}

/** Behind SET. */
export function parseSet(tokens: TokenStream): SetVariable {
  const scope = tokens.take('LOCAL') ? 'local' : 'session';
  if (scope === 'session') tokens.take('SESSION');
  const schema = tokens.sees('SCHEMA');
  const variable = tokens.identifier('variable name').toLowerCase();
  // SET SCHEMA 'x' is PostgreSQL's own short form.
  if (!(schema && tokens.seesString()) && !tokens.takeSymbol('=')) tokens.expect('TO');
  if (tokens.take('DEFAULT')) return {kind: 'setVariable', scope, variable, values: undefined};
  return {kind: 'setVariable', scope, variable, values: tokens.list(() => parseSetting(tokens))};
}

function parseSetting(tokens: TokenStream): string {
  if (tokens.seesString()) return tokens.string();
  const sign = tokens.takeSymbol('-') ? '-' : '';
  if (tokens.kind === 'number') {
    const digits = tokens.source();
    tokens.skip();
    return sign + digits;
  }
  for (const word of ['true', 'false', 'on']) if (tokens.take(word.toUpperCase())) return word;
  return tokens.identifier('value');
}

/** Behind RESET. */
export function parseReset(tokens: TokenStream): ResetVariable {
  return {kind: 'resetVariable', variable: tokens.identifier('variable name').toLowerCase()};
}
