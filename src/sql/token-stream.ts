import {SqlError} from '../base/sql-error.ts';
import type {Name} from './ast.ts';
import {RESERVED} from './keywords.ts';
import {foldAscii, Lexer, type LexicalOptions, type TokenKind} from './lexer.ts';
import {cutName, hasUnicodeEscapes, isBitString, nameOf, stringOf} from './token-values.ts';

interface Token {
  readonly kind: TokenKind;
  readonly start: number;
  readonly end: number;
  /** The word in lower case; '' for everything but unquoted words. */
  readonly word: string;
}

/** The tokens of one statement, with what every parser needs: looking ahead, taking, and saying what was expected. */
export class TokenStream {
  readonly text: string;
  readonly #options: LexicalOptions;
  readonly #tokens: readonly Token[];
  #at = 0;
  /** Errors shall not repeat what stands in the statement: it may be the value of a secret. */
  discreet = false;

  /** Throws 42601 where the text cannot be cut into tokens. */
  constructor(text: string, options: LexicalOptions = {}) {
    this.text = text;
    this.#options = options;
    const tokens: Token[] = [];
    const lexer = new Lexer(text, options);
    do {
      const kind = lexer.next();
      if (kind === 'broken') {
        throw new SqlError('42601', lexer.problem!, {position: lexer.start});
      }
      const {start, end} = lexer;
      tokens.push({kind, start, end, word: kind === 'word' ? foldAscii(text.slice(start, end)) : ''});
    } while (lexer.kind !== 'end');
    // The end is blamed where the last token ends, not behind trailing white space.
    const last = tokens.length > 1 ? tokens[tokens.length - 2].end : 0;
    tokens[tokens.length - 1] = {kind: 'end', start: last, end: last, word: ''};
    this.#tokens = tokens;
  }

  #peek(ahead = 0): Token {
    return this.#tokens[Math.min(this.#at + ahead, this.#tokens.length - 1)];
  }

  /** Offset of the current token. */
  get position(): number {
    return this.#peek().start;
  }

  /** Offset behind the token before the current one. */
  get endOfPrevious(): number {
    return this.#at === 0 ? 0 : this.#tokens[this.#at - 1].end;
  }

  get kind(): TokenKind {
    return this.#peek().kind;
  }

  source(): string {
    const {start, end} = this.#peek();
    return this.text.slice(start, end);
  }

  skip(): void {
    if (this.#at < this.#tokens.length - 1) this.#at++;
  }

  /** The word `ahead` tokens further, in lower case; '' if that token is no unquoted word. */
  word(ahead = 0): string {
    return this.#peek(ahead).word;
  }

  /** Whether these words come next; upper case, separated by blanks. */
  sees(words: string): boolean {
    return this.#seesAt(0, words);
  }

  /** The same, here or anywhere further on. */
  seesLater(words: string): boolean {
    return this.#tokens.slice(this.#at).some((_, ahead) => this.#seesAt(ahead, words));
  }

  #seesAt(ahead: number, words: string): boolean {
    return words
      .toLowerCase()
      .split(' ')
      .every((word, i) => this.#peek(ahead + i).word === word);
  }

  take(words: string): boolean {
    if (!this.sees(words)) return false;
    this.#at += words.split(' ').length;
    return true;
  }

  expect(words: string): void {
    for (const word of words.split(' ')) if (!this.take(word)) throw this.unexpected(word);
  }

  seesSymbol(symbol: string, ahead = 0): boolean {
    const {kind, start, end} = this.#peek(ahead);
    if (kind !== 'punctuation' && kind !== 'operator') return false;
    return end - start === symbol.length && this.text.startsWith(symbol, start);
  }

  takeSymbol(symbol: string): boolean {
    if (!this.seesSymbol(symbol)) return false;
    this.skip();
    return true;
  }

  expectSymbol(symbol: string): void {
    if (!this.takeSymbol(symbol)) throw this.unexpected(SYMBOL_NAMES[symbol] ?? `"${symbol}"`);
  }

  /** `one, one, …` up to what is not a comma. */
  list<T>(one: () => T): T[] {
    const all = [one()];
    while (this.takeSymbol(',')) all.push(one());
    return all;
  }

  seesIdentifier(): boolean {
    const {kind, word} = this.#peek();
    return kind === 'quotedWord' || (kind === 'word' && !RESERVED.has(word));
  }

  /** One name. `what` it names appears in the error. */
  identifier(what = 'identifier'): string {
    if (!this.seesIdentifier()) throw this.unexpected(what);
    const {kind} = this.#peek();
    const {position} = this;
    const source = this.source();
    this.skip();
    const name = nameOf(source, position, kind === 'quotedWord' && hasUnicodeEscapes(source) ? this.#uescape() : '\\');
    if (name === '') throw new SqlError('42601', 'zero-length delimited identifier', {position});
    return cutName(name);
  }

  /** `[database.][schema.]name`, as deep as it goes. Behind a dot every word is a name. */
  name(what = 'identifier'): Name {
    const at = this.position;
    const parts = [this.identifier(what)];
    while (this.takeSymbol('.')) {
      const {kind, word} = this.#peek();
      if (kind === 'word') {
        parts.push(cutName(word));
        this.skip();
      } else {
        parts.push(this.identifier(what));
      }
    }
    return {parts, at};
  }

  seesString(): boolean {
    return this.#peek().kind === 'string' && !isBitString(this.source());
  }

  string(what = 'string literal'): string {
    if (!this.seesString()) throw this.unexpected(what);
    const {position} = this;
    const source = this.source();
    this.skip();
    const options = {...this.#options, discreet: this.discreet};
    return stringOf(source, position, options, hasUnicodeEscapes(source) ? this.#uescape() : '\\');
  }

  #uescape(): string {
    if (this.word() !== 'uescape') return '\\';
    this.skip();
    const {position} = this;
    const escape = this.string();
    if (escape.length !== 1 || /[0-9A-Fa-f+'"\s]/.test(escape)) {
      const near = this.discreet ? '' : ` at or near "'${escape}'"`;
      throw new SqlError('42601', `invalid Unicode escape character${near}`, {position});
    }
    return escape;
  }

  /** The error for the current token. `expected`: what would have been right, as a sentence's object. */
  unexpected(expected: string, hint?: string): SqlError {
    return new SqlError('42601', `expected ${expected}, found ${this.describe()}`, {position: this.position, hint});
  }

  /** The current token in words. */
  describe(): string {
    const source = this.source();
    const shown = source.length > 60 ? `${source.slice(0, 60)}…` : source;
    if (this.discreet) return this.kind === 'end' ? 'EOF' : 'something else';
    switch (this.kind) {
      case 'word':
        return RESERVED.has(this.word()) ? shown.toUpperCase() : `identifier "${shown}"`;
      case 'quotedWord':
        return `identifier ${shown}`;
      case 'string':
        return 'a string literal';
      case 'number':
        return `number "${shown}"`;
      case 'parameter':
        return `parameter "${shown}"`;
      case 'operator':
        return `operator "${shown}"`;
      case 'end':
        return 'EOF';
      default:
        return SYMBOL_NAMES[shown] ?? `"${shown}"`;
    }
  }

  expectEnd(hint?: string): void {
    this.takeSymbol(';');
    if (this.kind !== 'end') throw this.unexpected('end of statement', hint);
  }

  /**
   * An expression of PostgreSQL's that we do not look into: the tokens up to `isEnd` (asked outside of parentheses and brackets),
   * each white space and comment between them replaced by one blank, so that printing and parsing it again gives the same.
   */
  expression(isEnd: () => boolean): string {
    let sql = '';
    let depth = 0;
    const begun = this.#at;
    while (this.kind !== 'end' && !(depth === 0 && isEnd())) {
      if (this.seesSymbol('(') || this.seesSymbol('[')) depth++;
      else if (this.seesSymbol(')') || this.seesSymbol(']')) depth--;
      if (depth < 0) break;
      if (this.#at > begun && this.endOfPrevious < this.position) sql += ' ';
      sql += this.source();
      this.skip();
    }
    if (depth > 0) throw this.unexpected('closing parenthesis');
    if (this.#at === begun) throw this.unexpected('expression');
    return sql;
  }
}

const SYMBOL_NAMES: Readonly<Record<string, string>> = {
  '(': 'left parenthesis',
  ')': 'right parenthesis',
  '[': 'left square bracket',
  ']': 'right square bracket',
  ',': 'comma',
  '.': 'dot',
  ';': 'semicolon',
  '=': 'equals sign',
};
