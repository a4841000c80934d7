import type {SchemaOfDatabase, SwapSchema} from './ast.ts';
import type {TokenStream} from './token-stream.ts';

/**
 * Behind `CREATE SCHEMA`, `ALTER SCHEMA` or `DROP SCHEMA`, where a schema is named with its database or swapped with another one. What else
 * the statement says is PostgreSQL's.
 */
export function parseSchema(tokens: TokenStream, verb: 'CREATE' | 'ALTER' | 'DROP'): SchemaOfDatabase | SwapSchema {
  if (verb === 'CREATE') tokens.take('IF NOT EXISTS');
  else tokens.take('IF EXISTS');
  const statement = parseSchemaNames(tokens, `${verb} SCHEMA`, verb === 'DROP' ? 'many' : 'one');
  if (verb === 'ALTER' && tokens.take('SWAP WITH')) {
    return {kind: 'swapSchema', name: statement.names[0], other: tokens.name('schema name')};
  }
  return withRest(tokens, statement);
}

/** The same where the schema is all that is ours: `… ON SCHEMA`, `… IN SCHEMA`. */
export function parseStatementOnSchema(tokens: TokenStream, tag: string, howMany: 'one' | 'many'): SchemaOfDatabase {
  return withRest(tokens, parseSchemaNames(tokens, tag, howMany));
}

function parseSchemaNames(tokens: TokenStream, tag: string, howMany: 'one' | 'many'): SchemaOfDatabase {
  const before = tokens.text.slice(0, tokens.position);
  const one = () => tokens.name('schema name');
  const names = howMany === 'one' ? [one()] : tokens.list(one);
  return {kind: 'schemaOfDatabase', tag, names, before, rest: tokens.text.slice(tokens.endOfPrevious)};
}

function withRest(tokens: TokenStream, statement: SchemaOfDatabase): SchemaOfDatabase {
  while (tokens.kind !== 'end') tokens.skip();
  return statement;
}
