import type {AlterSettings} from './ast.ts';
import {parseReset, parseSet} from './parse-objects.ts';
import type {TokenStream} from './token-stream.ts';

/** Behind ALTER, in front of ROLE, USER or DATABASE. Whose settings they are is PostgreSQL's to read. */
export function parseAlterSettings(tokens: TokenStream): AlterSettings {
  tokens.skip();
  tokens.skip();
  if (tokens.take('IN DATABASE')) tokens.skip();
  const before = tokens.text.slice(0, tokens.position);
  if (tokens.take('RESET')) return {kind: 'alterSettings', before, setting: parseReset(tokens)};
  tokens.expect('SET');
  return {kind: 'alterSettings', before, setting: parseSet(tokens)};
}
