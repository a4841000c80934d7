import {Lexer} from '../sql/lexer.ts';
import type {LexicalOptions} from '../sql/lexer.ts';

const OPEN = 0x28;
const CLOSE = 0x29;
const DOT = 0x2e;

/**
 * True for `COPY … {TO | FROM} 'file'` and `COPY … {TO | FROM} PROGRAM 'command'`, however the constant is quoted: both are the
 * server's machine. STDIN and STDOUT are the client.
 */
export function copiesOnServer(statement: string, options: LexicalOptions): boolean {
  const lexer = new Lexer(statement, options);
  lexer.next();
  if (!lexer.isWord('copy')) return false;
  let parentheses = 0;
  while (lexer.next() !== 'end' && lexer.kind !== 'broken') {
    if (lexer.isPunctuation(OPEN)) parentheses++;
    else if (lexer.isPunctuation(CLOSE)) parentheses--;
    // Behind a dot every word is a name.
    else if (lexer.isPunctuation(DOT)) lexer.next();
    else if (parentheses === 0 && (lexer.isWord('to') || lexer.isWord('from'))) {
      lexer.next();
      if (lexer.isWord('program')) lexer.next();
      return lexer.kind === 'string';
    }
  }
  return false;
}
