import type {Name, SchemaOfDatabase, SwapSchema} from './ast.ts';
import type {TokenStream} from './token-stream.ts';

/**
 * Behind `CREATE SCHEMA`, `ALTER SCHEMA` or `DROP SCHEMA`, where a schema is named with its database or swapped with another one. What else
 * the statement says is PostgreSQL's.
 */
export function parseSchema(tokens: TokenStream, verb: SchemaOfDatabase['verb']): SchemaOfDatabase | SwapSchema {
  if (verb === 'CREATE') tokens.take('IF NOT EXISTS');
  else tokens.take('IF EXISTS');
  const begun = tokens.position;
  const first = tokens.name('schema name');
  if (verb === 'ALTER' && tokens.take('SWAP WITH')) {
    return {kind: 'swapSchema', name: first, other: tokens.name('schema name')};
  }
  const names: {readonly name: Name; readonly end: number}[] = [{name: first, end: tokens.endOfPrevious}];
  while (verb === 'DROP' && tokens.takeSymbol(',')) {
    const name = tokens.name('schema name');
    names.push({name, end: tokens.endOfPrevious});
  }
  while (tokens.kind !== 'end') tokens.skip();
  const {text} = tokens;
  const rest = text.slice(names.at(-1)!.end);
  return {kind: 'schemaOfDatabase', verb, names: names.map(({name}) => name), before: text.slice(0, begun), rest};
}
