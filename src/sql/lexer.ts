/**
 * What a token is. `word`: an unquoted identifier or keyword; `quotedWord`: `"…"` and `U&"…"`; `string`: every quoted or
 * dollar-quoted constant, bit strings included; `punctuation`: one of `, ; ( ) [ ] . :` or a character that starts nothing;
 * `broken`: PostgreSQL would refuse the text from here on (`Lexer.problem` says why).
 */
export type TokenKind =
  'word' | 'quotedWord' | 'string' | 'number' | 'parameter' | 'operator' | 'punctuation' | 'broken' | 'end';

export interface LexicalOptions {
  /** The session's `standard_conforming_strings`: false means that backslashes escape in plain `'…'` too. Default: true. */
  readonly standardConformingStrings?: boolean | undefined;
}

const SPACE = 1;
const WORD_START = 2;
const DIGIT = 4;
const OPERATOR = 8;
const DOLLAR = 16;
const WORD_PART = WORD_START | DIGIT | DOLLAR;

const CLASS = new Uint8Array(128);
for (const c of ' \t\n\r\f\v') CLASS[c.charCodeAt(0)] = SPACE;
for (let c = 0; c < 26; c++) CLASS[0x41 + c] = CLASS[0x61 + c] = WORD_START;
CLASS[0x5f] = WORD_START;
for (let c = 0x30; c <= 0x39; c++) CLASS[c] = DIGIT;
for (const c of '~!@#^&|`?+-*/%<>=') CLASS[c.charCodeAt(0)] = OPERATOR;
CLASS[0x24] = DOLLAR;

/** Every character beyond ASCII is a letter to PostgreSQL, a no-break space too. */
const classOf = (code: number): number => (code < 128 ? CLASS[code] : WORD_START);

const isWordStart = (code: number): boolean => (classOf(code) & WORD_START) !== 0;
const isDigit = (code: number): boolean => code >= 0x30 && code <= 0x39;

/**
 * Cuts SQL into tokens by PostgreSQL's lexical rules
 * (https://www.postgresql.org/docs/18/sql-syntax-lexical.html). A cursor: `next` moves it, the fields say where it is. It makes no
 * object per token, never recurses, and never throws: text that PostgreSQL would refuse ends in one `broken` token.
 */
export class Lexer {
  readonly text: string;
  kind: TokenKind = 'end';
  /** UTF-16 offsets of the current token; `end` is exclusive. */
  start: number;
  end: number;
  /** Why the token is `broken`, in PostgreSQL's words. */
  problem: string | undefined;
  readonly #plainBackslash: boolean;
  readonly #limit: number;
  /** Up to here only signs follow that were cut off an operator: one token each, without looking at the run again. */
  #signsUntil = 0;

  /** Reads `text` from `from` up to `to`. */
  constructor(text: string, options: LexicalOptions = {}, from = 0, to = text.length) {
    this.text = text;
    this.start = from;
    this.end = from;
    this.#plainBackslash = options.standardConformingStrings === false;
    this.#limit = to;
  }

  next(): TokenKind {
    if (this.kind === 'broken') return this.kind;
    const {text} = this;
    const limit = this.#limit;
    let at = this.end;
    for (;;) {
      if (at >= limit) return this.#take('end', limit, limit);
      const code = text.charCodeAt(at);
      if (code < 128 && CLASS[code] === SPACE) {
        at++;
      } else if (code === 0x2d && text.charCodeAt(at + 1) === 0x2d) {
        at = this.#endOfLine(at + 2);
      } else if (code === 0x2f && text.charCodeAt(at + 1) === 0x2a) {
        const end = this.#endOfComment(at + 2);
        if (end === -1) return this.#break('unterminated /* comment', at);
        at = end;
      } else {
        return this.#token(at, code);
      }
    }
  }

  #take(kind: TokenKind, start: number, end: number): TokenKind {
    this.start = start;
    this.end = end;
    return (this.kind = kind);
  }

  #break(problem: string, start: number): TokenKind {
    this.problem = problem;
    return this.#take('broken', start, this.#limit);
  }

  #token(at: number, code: number): TokenKind {
    const cls = classOf(code);
    if (cls === WORD_START) return this.#word(at, code);
    if (cls === DIGIT) return this.#number(at);
    if (cls === OPERATOR) return this.#take('operator', at, this.#endOfOperator(at));
    switch (code) {
      case 0x27 /* ' */:
        return this.#string(at, at + 1, this.#plainBackslash, true);
      case 0x22 /* " */:
        return this.#quotedWord(at, at + 1);
      case 0x24 /* $ */:
        return this.#dollar(at);
      case 0x2e /* . */:
        if (isDigit(this.text.charCodeAt(at + 1))) return this.#number(at);
        if (this.text.charCodeAt(at + 1) === 0x2e) return this.#take('operator', at, at + 2);
        return this.#take('punctuation', at, at + 1);
      case 0x3a /* : */: {
        const second = this.text.charCodeAt(at + 1);
        if (second === 0x3a || second === 0x3d) return this.#take('operator', at, at + 2);
        return this.#take('punctuation', at, at + 1);
      }
      default:
        return this.#take('punctuation', at, at + 1);
    }
  }

  #word(at: number, code: number): TokenKind {
    const {text} = this;
    const second = text.charCodeAt(at + 1);
    if (second === 0x27 /* ' */) {
      const letter = code | 0x20;
      if (letter === 0x65 /* e */) return this.#string(at, at + 2, true, true);
      if (letter === 0x62 /* b */ || letter === 0x78 /* x */) return this.#string(at, at + 2, false, false);
      if (letter === 0x6e /* n */) return this.#string(at, at + 2, this.#plainBackslash, true);
    } else if (second === 0x26 /* & */ && (code === 0x75 || code === 0x55) /* u */) {
      const third = text.charCodeAt(at + 2);
      if (third === 0x27) return this.#string(at, at + 3, false, true);
      if (third === 0x22) return this.#quotedWord(at, at + 3);
    }
    let end = at + 1;
    while (end < this.#limit && (classOf(text.charCodeAt(end)) & WORD_PART) !== 0) end++;
    return this.#take('word', at, end);
  }

  /** `doubling`: two quotes stand for one. Bit strings know no such thing; there the second quote begins another constant. */
  #string(start: number, at: number, backslash: boolean, doubling: boolean): TokenKind {
    for (;;) {
      const quote = backslash ? this.#nextUnescapedQuote(at) : this.text.indexOf("'", at);
      if (quote === -1 || quote >= this.#limit) return this.#break('unterminated quoted string', start);
      if (doubling && this.text.charCodeAt(quote + 1) === 0x27 && quote + 1 < this.#limit) {
        at = quote + 2;
        continue;
      }
      const next = this.#continuation(quote + 1);
      if (next === -1) return this.#take('string', start, quote + 1);
      at = next;
    }
  }

  #nextUnescapedQuote(at: number): number {
    while (at < this.#limit) {
      const code = this.text.charCodeAt(at);
      if (code === 0x27) return at;
      at += code === 0x5c /* \ */ ? 2 : 1;
    }
    return -1;
  }

  /** SQL glues `'a'` and `'b'` together when a line break stands between them. The offset behind the second quote, or -1. */
  #continuation(at: number): number {
    let sawNewline = false;
    while (at < this.#limit) {
      const code = this.text.charCodeAt(at);
      if (code === 0x0a || code === 0x0d) sawNewline = true;
      else if (code === 0x27) return sawNewline ? at + 1 : -1;
      else if (code === 0x2d && this.text.charCodeAt(at + 1) === 0x2d) {
        at = this.#endOfLine(at + 2);
        continue;
      } else if (classOf(code) !== SPACE) return -1;
      at++;
    }
    return -1;
  }

  #quotedWord(start: number, at: number): TokenKind {
    const first = at;
    for (;;) {
      const quote = this.text.indexOf('"', at);
      if (quote === -1 || quote >= this.#limit) return this.#break('unterminated quoted identifier', start);
      if (this.text.charCodeAt(quote + 1) === 0x22 && quote + 1 < this.#limit) {
        at = quote + 2;
        continue;
      }
      if (quote === first) return this.#break('zero-length delimited identifier', start);
      return this.#take('quotedWord', start, quote + 1);
    }
  }

  #dollar(at: number): TokenKind {
    const {text} = this;
    let end = at + 1;
    if (isDigit(text.charCodeAt(end))) {
      while (isDigit(text.charCodeAt(end)) && end < this.#limit) end++;
      if (end < this.#limit && isWordStart(text.charCodeAt(end)))
        return this.#break('trailing junk after parameter', at);
      return this.#take('parameter', at, end);
    }
    if (end < this.#limit && isWordStart(text.charCodeAt(end))) {
      while (end < this.#limit && (classOf(text.charCodeAt(end)) & (WORD_START | DIGIT)) !== 0) end++;
    }
    if (end >= this.#limit || text.charCodeAt(end) !== 0x24) return this.#take('punctuation', at, at + 1);
    const tag = text.slice(at, end + 1);
    const close = text.indexOf(tag, end + 1);
    if (close === -1 || close + tag.length > this.#limit) return this.#break('unterminated dollar-quoted string', at);
    return this.#take('string', at, close + tag.length);
  }

  #number(start: number): TokenKind {
    const {text} = this;
    let at = start;
    const prefix = text.charCodeAt(start) === 0x30 ? text.charCodeAt(start + 1) | 0x20 : 0;
    const digits = prefix === 0x78 ? /[0-9A-Fa-f]/ : prefix === 0x6f ? /[0-7]/ : prefix === 0x62 ? /[01]/ : undefined;
    if (digits) {
      at = this.#digits(start + 2, code => digits.test(String.fromCharCode(code)), true);
      if (at === start + 2) return this.#break('invalid number', start);
    } else {
      at = this.#digits(at, isDigit, false);
      // `1..2` is a range of integers, not a number with a dot.
      if (text.charCodeAt(at) === 0x2e && (at === start || text.charCodeAt(at + 1) !== 0x2e)) {
        at = this.#digits(at + 1, isDigit, false);
      }
      if ((text.charCodeAt(at) | 0x20) === 0x65 /* e */) {
        const sign = text.charCodeAt(at + 1);
        const exponent = at + (sign === 0x2b || sign === 0x2d ? 2 : 1);
        if (isDigit(text.charCodeAt(exponent))) at = this.#digits(exponent, isDigit, false);
      }
    }
    if (at > this.#limit) at = this.#limit;
    if (at < this.#limit && isWordStart(text.charCodeAt(at))) {
      return this.#break('trailing junk after numeric literal', start);
    }
    return this.#take('number', start, at);
  }

  /** Digits with single underscores between them; `leading`: also before the first. */
  #digits(at: number, accept: (code: number) => boolean, leading: boolean): number {
    let separable = leading;
    for (;;) {
      const code = this.text.charCodeAt(at);
      if (accept(code)) at++;
      else if (separable && code === 0x5f && accept(this.text.charCodeAt(at + 1))) at += 2;
      else return at;
      separable = true;
    }
  }

  /**
   * The longest run of operator characters that contains no start of a comment; a run of more than one character ends in + or -
   * only if it also holds one of ~ ! @ # ^ & | ` ? %, so that `=-1` is two tokens.
   */
  #endOfOperator(start: number): number {
    const {text} = this;
    if (start < this.#signsUntil) return start + 1;
    let end = start;
    let keepsSign = false;
    while (end < this.#limit) {
      const code = text.charCodeAt(end);
      if (classOf(code) !== OPERATOR) break;
      if (end > start) {
        const second = text.charCodeAt(end + 1);
        if ((code === 0x2d && second === 0x2d) || (code === 0x2f && second === 0x2a)) break;
      }
      end++;
    }
    const endsInSign = () => text.charCodeAt(end - 1) === 0x2b || text.charCodeAt(end - 1) === 0x2d;
    if (end - start < 2 || !endsInSign()) return end;
    for (let at = start; at < end - 1 && !keepsSign; at++) keepsSign = '~!@#^&|`?%'.includes(text[at]);
    if (!keepsSign) {
      this.#signsUntil = end;
      do end--;
      while (end - start > 1 && endsInSign());
    }
    return end;
  }

  #endOfLine(at: number): number {
    while (at < this.#limit) {
      const code = this.text.charCodeAt(at);
      if (code === 0x0a || code === 0x0d) break;
      at++;
    }
    return at;
  }

  /** Comments nest. -1: it never ends. */
  #endOfComment(at: number): number {
    const {text} = this;
    for (let depth = 1; at < this.#limit;) {
      const code = text.charCodeAt(at);
      const second = at + 1 < this.#limit ? text.charCodeAt(at + 1) : 0;
      if (code === 0x2a && second === 0x2f) {
        at += 2;
        if (--depth === 0) return at;
      } else if (code === 0x2f && second === 0x2a) {
        depth++;
        at += 2;
      } else {
        at++;
      }
    }
    return -1;
  }

  /** True if the current token is this unquoted word; `word` in lower case. */
  isWord(word: string): boolean {
    return (
      this.kind === 'word' &&
      this.end - this.start === word.length &&
      foldAscii(this.text.slice(this.start, this.end)) === word
    );
  }

  /** True if the current token is this one character. */
  isPunctuation(code: number): boolean {
    return this.kind === 'punctuation' && this.text.charCodeAt(this.start) === code;
  }
}

/** PostgreSQL folds the case of ASCII letters only. */
export function foldAscii(text: string): string {
  return text.replace(/[A-Z]+/g, letters => letters.toLowerCase());
}
