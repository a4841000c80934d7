import {SqlError} from '../base/sql-error.ts';
import {foldAscii, type LexicalOptions} from './lexer.ts';

/**
 * The name that a `word` or `quotedWord` token stands for: folded if it was not quoted. `escape` is the character of a UESCAPE
 * clause behind a `U&"…"`.
 */
export function nameOf(source: string, at: number, escape = '\\'): string {
  const first = source.charCodeAt(0);
  if (first === 0x22) return source.slice(1, -1).replaceAll('""', '"');
  if (source.charCodeAt(1) === 0x26 && source.charCodeAt(2) === 0x22) {
    return decodeUnicode(source.slice(3, -1).replaceAll('""', '"'), escape, at);
  }
  return foldAscii(source);
}

/** PostgreSQL looks at so many bytes of a name. */
const NAME_BYTES = 63;

/** The name that PostgreSQL makes of a longer one, which never ends within a character. */
export function cutName(name: string): string {
  if (Buffer.byteLength(name) <= NAME_BYTES) return name;
  let bytes = 0;
  let end = 0;
  for (const character of name) {
    bytes += Buffer.byteLength(character);
    if (bytes > NAME_BYTES) break;
    end += character.length;
  }
  return name.slice(0, end);
}

/** True for B'…' and X'…', which are numbers in disguise rather than text. */
export function isBitString(source: string): boolean {
  return /^[bx]'/i.test(source);
}

/** True for `U&'…'` and `U&"…"`. */
export function hasUnicodeEscapes(source: string): boolean {
  return /^u&/i.test(source);
}

/** `discreet`: errors do not repeat what stands in the constant. */
interface StringOptions extends LexicalOptions {
  readonly discreet?: boolean | undefined;
}

/** The text that a `string` token stands for, its continuations included. Throws 22025, 22021 or 42601 for bad escapes. */
export function stringOf(source: string, at: number, options: StringOptions = {}, escape = '\\'): string {
  if (source.startsWith('$')) {
    const tag = source.indexOf('$', 1) + 1;
    return source.slice(tag, -tag);
  }
  const plain = options.standardConformingStrings === false;
  const place: Place = {at, discreet: options.discreet ?? false};
  switch (source[0].toLowerCase()) {
    case 'e':
      return decodeBackslashes(joinPieces(source, 1, true), place);
    case 'u':
      return decodeUnicode(joinPieces(source, 2, false).replaceAll("''", "'"), escape, at);
    case 'n':
      return decodePlain(joinPieces(source, 1, plain), plain, place);
    case 'b':
    case 'x':
      return joinPieces(source, 1, false);
    default:
      return decodePlain(joinPieces(source, 0, plain), plain, place);
  }
}

/** Whom an error blames, and whether it may quote it. */
interface Place {
  readonly at: number;
  readonly discreet: boolean;
}

function decodePlain(body: string, backslash: boolean, place: Place): string {
  return backslash ? decodeBackslashes(body, place) : body.replaceAll("''", "'");
}

/** The bodies of `'a'` line break `'b'` glued together; doubled quotes stay doubled. The lexer has found the token whole. */
function joinPieces(source: string, prefix: number, backslash: boolean): string {
  let joined = '';
  for (let at = prefix + 1; ; at++) {
    const begun = at;
    while (source.charCodeAt(at) !== 0x27 || source.charCodeAt(at + 1) === 0x27) {
      if (at >= source.length) throw new Error('not one whole string constant');
      at += source.charCodeAt(at) === 0x27 || (backslash && source.charCodeAt(at) === 0x5c) ? 2 : 1;
    }
    joined += source.slice(begun, at);
    if (at === source.length - 1) return joined;
    // White space and comments, which may hold quotes too, up to the next piece.
    for (at++; at < source.length && source.charCodeAt(at) !== 0x27; at++) {
      if (source.startsWith('--', at)) while (!/[\n\r]/.test(source[at])) at++;
    }
  }
}

const SIMPLE_ESCAPES: Readonly<Record<string, string>> = {b: '\b', f: '\f', n: '\n', r: '\r', t: '\t', v: '\v'};

/** `E'…'`: https://www.postgresql.org/docs/18/sql-syntax-lexical.html#SQL-SYNTAX-STRINGS-ESCAPE */
function decodeBackslashes(body: string, place: Place): string {
  const {at} = place;
  const decoded = body.replace(
    /''|((?:\\(?:[0-7]{1,3}|x[0-9A-Fa-f]{1,2}))+)|\\u([0-9A-Fa-f]{4})|\\U([0-9A-Fa-f]{8})|\\([^])/g,
    (_, bytes?: string, four?: string, eight?: string, letter?: string) => {
      if (bytes !== undefined) return decodeBytes(bytes, place);
      const point = four ?? eight;
      if (point !== undefined) return codePoint(parseInt(point, 16), at);
      if (letter === undefined) return "'";
      if (letter === 'u' || letter === 'U') {
        throw new SqlError('22025', 'invalid Unicode escape', {
          hint: 'Unicode escapes must be \\uXXXX or \\UXXXXXXXX.',
          position: at,
        });
      }
      return SIMPLE_ESCAPES[letter] ?? letter;
    },
  );
  return checkSurrogates(decoded, at);
}

/** Octal and hexadecimal escapes give bytes; together they must be UTF-8. */
function decodeBytes(escapes: string, {at, discreet}: Place): string {
  const bytes = Uint8Array.from(escapes.split('\\').slice(1), e =>
    e.startsWith('x') ? parseInt(e.slice(1), 16) : parseInt(e, 8) & 0xff,
  );
  if (bytes.includes(0)) throw badBytes(at, '0x00');
  try {
    return new TextDecoder('utf-8', {fatal: true, ignoreBOM: true}).decode(bytes);
  } catch {
    throw badBytes(at, discreet ? undefined : [...bytes].map(b => `0x${b.toString(16).padStart(2, '0')}`).join(' '));
  }
}

const badBytes = (position: number, bytes: string | undefined) =>
  new SqlError('22021', `invalid byte sequence for encoding "UTF8"${bytes === undefined ? '' : `: ${bytes}`}`, {
    position,
  });

function decodeUnicode(body: string, escape: string, at: number): string {
  let out = '';
  for (let i = 0; i < body.length;) {
    if (body[i] !== escape) {
      out += body[i++];
    } else if (body[i + 1] === escape) {
      out += escape;
      i += 2;
    } else {
      const long = body[i + 1] === '+';
      const digits = long ? body.slice(i + 2, i + 8) : body.slice(i + 1, i + 5);
      if (!(long ? /^[0-9A-Fa-f]{6}$/ : /^[0-9A-Fa-f]{4}$/).test(digits)) {
        throw new SqlError('42601', 'invalid Unicode escape', {
          hint: 'Unicode escapes must be \\XXXX or \\+XXXXXX.',
          position: at,
        });
      }
      out += codePoint(parseInt(digits, 16), at);
      i += long ? 8 : 5;
    }
  }
  return checkSurrogates(out, at);
}

function codePoint(point: number, position: number): string {
  if (point === 0 || point > 0x10ffff) throw new SqlError('42601', 'invalid Unicode escape value', {position});
  return String.fromCodePoint(point);
}

/** Two escapes may be the halves of one character; half a character is refused. */
function checkSurrogates(text: string, position: number): string {
  // Under the u flag a pair is one character, so this finds halves only.
  if (/[\uD800-\uDFFF]/u.test(text)) throw new SqlError('42601', 'invalid Unicode surrogate pair', {position});
  return text;
}
