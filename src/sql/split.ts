import {Lexer, type LexicalOptions} from './lexer.ts';

/** One statement of a query string, from its first token to the end of its last one, without the semicolon. */
export interface StatementRange {
  readonly start: number;
  readonly end: number;
}

export interface SplitQuery {
  /** Empty statements are left out, as PostgreSQL does. */
  readonly statements: readonly StatementRange[];
  /** The text cannot be cut into tokens: PostgreSQL refuses all of it. The last range then reaches to the end of the text. */
  readonly broken?: {readonly problem: string; readonly start: number} | undefined;
}

const SEMICOLON = 0x3b;
const OPEN = 0x28;
const CLOSE = 0x29;

/**
 * Cuts a query string into statements where PostgreSQL's parser does: at semicolons, except within parentheses (CREATE RULE) and
 * within the `BEGIN ATOMIC … END` body of a function. The body's END is the one right behind a semicolon or ATOMIC, so neither
 * CASE … END nor a column called "end" confuses it. Linear in the length of the text, without recursion.
 */
export function splitStatements(text: string, options: LexicalOptions = {}): SplitQuery {
  const statements: StatementRange[] = [];
  const lexer = new Lexer(text, options);
  const prefix = new RoutinePrefix();
  let start = -1;
  let end = -1;
  let parentheses = 0;
  let bodies = 0;
  let before: 'begin' | 'bodyStatementMayBegin' | 'other' = 'other';

  for (let kind = lexer.next(); kind !== 'end'; kind = lexer.next()) {
    if (start === -1) start = lexer.start;
    if (kind === 'broken') {
      statements.push({start, end: text.length});
      return {statements, broken: {problem: lexer.problem!, start: lexer.start}};
    }
    if (lexer.isPunctuation(SEMICOLON) && parentheses === 0) {
      prefix.reset();
      if (bodies > 0) {
        before = 'bodyStatementMayBegin';
        end = lexer.end;
      } else {
        if (end !== -1) statements.push({start, end});
        start = end = -1;
        before = 'other';
      }
      continue;
    }
    end = lexer.end;
    if (kind === 'punctuation') {
      if (lexer.isPunctuation(OPEN)) parentheses++;
      else if (lexer.isPunctuation(CLOSE) && parentheses > 0) parentheses--;
      before = 'other';
      prefix.close();
    } else if (kind !== 'word') {
      before = 'other';
      prefix.close();
    } else if (before === 'bodyStatementMayBegin' && lexer.isWord('end')) {
      bodies--;
      before = 'other';
    } else if (prefix.open) {
      prefix.word(lexer);
      before = 'other';
    } else if (prefix.isRoutine && parentheses === 0) {
      if (before === 'begin' && lexer.isWord('atomic')) {
        bodies++;
        before = 'bodyStatementMayBegin';
        prefix.reset();
      } else {
        before = lexer.isWord('begin') ? 'begin' : 'other';
      }
    }
  }
  if (end !== -1) statements.push({start, end});
  return {statements};
}

/** Recognizes `CREATE [OR REPLACE] {FUNCTION | PROCEDURE}`: only there does BEGIN ATOMIC open a body. */
class RoutinePrefix {
  open = true;
  isRoutine = false;
  #seen = 0;

  reset(): void {
    this.open = true;
    this.isRoutine = false;
    this.#seen = 0;
  }

  close(): void {
    this.open = false;
  }

  word(lexer: Lexer): void {
    const at = this.#seen++;
    if (at === 0) this.open = lexer.isWord('create');
    else if ((at === 1 || at === 3) && (lexer.isWord('function') || lexer.isWord('procedure'))) {
      this.isRoutine = true;
      this.open = false;
    } else {
      this.open = (at === 1 && lexer.isWord('or')) || (at === 2 && lexer.isWord('replace'));
    }
  }
}
