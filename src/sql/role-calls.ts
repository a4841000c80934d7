import {foldAscii, Lexer, type LexicalOptions} from './lexer.ts';

/** Reserved words that are values to PostgreSQL and functions elsewhere. */
const WORDS = new Set(['current_catalog', 'current_role', 'current_user', 'session_user', 'user']);

/**
 * The statement with blanks for the parentheses of `current_role()` and its sisters, so that every other character stays where it is;
 * undefined if it has none. To PostgreSQL they are syntax errors, except behind a dot, where such a word may name anything.
 */
export function withoutRoleCalls(statement: string, options?: LexicalOptions): string | undefined {
  if (!/(?:role|user|catalog)\(\)/i.test(statement)) return undefined;
  const lexer = new Lexer(statement, options);
  let changed = statement;
  for (let behindDot = false; lexer.next() !== 'end' && lexer.kind !== 'broken';) {
    const {start, end} = lexer;
    const isCall =
      !behindDot &&
      lexer.kind === 'word' &&
      WORDS.has(foldAscii(statement.slice(start, end))) &&
      statement.startsWith('()', end);
    if (isCall) changed = `${changed.slice(0, end)}  ${changed.slice(end + 2)}`;
    behindDot = lexer.isPunctuation(0x2e);
  }
  return changed === statement ? undefined : changed;
}
