import type {Statement, Unsupported} from './ast.ts';
import {HAVE_SETTINGS, type Family} from './classify.ts';
import type {LexicalOptions} from './lexer.ts';
import {parseCreateCluster, parseCreateClusterReplica} from './parse-cluster.ts';
import {parseCreateConnection, parseValidateConnection} from './parse-connection.ts';
import {parseAlter, parseComment, parseDrop, parseReset, parseSet, takeKind} from './parse-objects.ts';
import {parseGrant} from './parse-privileges.ts';
import {parseSchema} from './parse-schema.ts';
import {parseSecretExpression} from './parse-secret.ts';
import {parseAlterSettings} from './parse-settings.ts';
import {parseShow} from './parse-show.ts';
import {parseCreateSink, parseExplainSchema} from './parse-sink.ts';
import {TokenStream} from './token-stream.ts';

/**
 * The tree of one statement of ours. `family` is what `familyOf` said about it. Throws `SqlError` with the position of the token to
 * blame: 42601 for syntax, 42704 for an unknown option, 0A000 for what cannot even be read yet.
 */
export function parseStatement(text: string, family: Family, options: LexicalOptions = {}): Statement {
  const tokens = new TokenStream(text, options);
  tokens.skip();
  const statement = parseFamily(tokens, family);
  if (statement.kind === 'unsupported') return statement;
  tokens.expectEnd();
  return statement;
}

function parseFamily(tokens: TokenStream, family: Family): Statement {
  if ((family === 'create' || family === 'alter' || family === 'drop') && tokens.take('SCHEMA')) {
    return parseSchema(tokens, family.toUpperCase() as 'CREATE' | 'ALTER' | 'DROP');
  }
  switch (family) {
    case 'create':
      return parseCreate(tokens);
    case 'alter':
      return HAVE_SETTINGS.has(tokens.word()) ? parseAlterSettings(tokens) : parseAlter(tokens);
    case 'drop':
      return parseDrop(tokens);
    case 'comment':
      return parseComment(tokens);
    case 'grant':
    case 'revoke':
      return parseGrant(tokens, family);
    case 'validate':
      return parseValidateConnection(tokens);
    case 'show':
      return parseShow(tokens);
    case 'set':
      return parseSet(tokens);
    case 'reset':
      return parseReset(tokens);
    case 'explain':
      return parseExplainSchema(tokens);
    case 'copy':
      return copyUnsupported(tokens);
    case 'subscribe':
    case 'declare':
      return {kind: 'unsupported', what: 'SUBSCRIBE is', at: 0};
  }
}

function parseCreate(tokens: TokenStream): Statement {
  const {position} = tokens;
  switch (takeKind(tokens)) {
    case 'sink':
      return parseCreateSink(tokens);
    case 'connection':
      return parseCreateConnection(tokens);
    case 'secret': {
      const ifNotExists = tokens.take('IF NOT EXISTS');
      const name = tokens.name('secret name');
      tokens.expect('AS');
      return {kind: 'createSecret', ifNotExists, name, value: parseSecretExpression(tokens)};
    }
    case 'cluster':
      return parseCreateCluster(tokens);
    case 'clusterReplica':
      return parseCreateClusterReplica(tokens);
    case 'source':
      return {kind: 'unsupported', what: 'sources are', at: position};
  }
}

/** To PostgreSQL a string names a file of its server; such a statement must not get there. */
function copyUnsupported(tokens: TokenStream): Unsupported {
  if (tokens.sees('SUBSCRIBE') || (tokens.seesSymbol('(') && tokens.word(1) === 'subscribe')) {
    return {kind: 'unsupported', what: 'SUBSCRIBE is', at: tokens.position};
  }
  let at = tokens.position;
  for (; tokens.kind !== 'end'; tokens.skip()) {
    if (tokens.kind === 'string') at = tokens.position;
  }
  return {
    kind: 'unsupported',
    what: 'COPY to or from a file or an object store is',
    at,
    hint: 'COPY … TO STDOUT and COPY … FROM STDIN work; psql offers them as \\copy.',
  };
}
