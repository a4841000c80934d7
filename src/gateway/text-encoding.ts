import {isAscii, isUtf8} from 'node:buffer';
import {SqlError} from '../base/sql-error.ts';

/** What a session's `client_encoding` means for text that we read or write. */
export interface TextEncoding {
  /** Text for the lexer and for messages. Undefined: PostgreSQL refuses these bytes, or we cannot tell what they say. */
  decode(bytes: Uint8Array): string | undefined;
  /** Undefined: the text cannot be said in this encoding. */
  encode(text: string): Buffer | undefined;
  /**
   * For bytes that `decode` cannot read: a text of one character a byte that the lexer cuts where PostgreSQL would. Undefined:
   * PostgreSQL refuses the bytes.
   */
  outline(bytes: Uint8Array): string | undefined;
  /** Why a statement of ours could not be decoded, or its text or answer not be encoded. */
  readonly problem: () => SqlError;
}

const viewOf = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);

const UTF8: TextEncoding = {
  decode: bytes => (isUtf8(bytes) ? viewOf(bytes).toString('utf8') : undefined),
  encode: text => Buffer.from(text, 'utf8'),
  outline: () => undefined,
  problem: () => new SqlError('22021', 'invalid byte sequence for encoding "UTF8"'),
};

const problem = () =>
  new SqlError('0A000', 'statements of Sluice need client_encoding UTF8 for characters beyond ASCII', {
    hint: "Use SET client_encoding TO 'UTF8'.",
  });

/** The first 256 characters of Unicode, in their order. */
const LATIN1: TextEncoding = {
  decode: bytes => viewOf(bytes).toString('latin1'),
  encode: text => (/^[\x00-\xff]*$/.test(text) ? Buffer.from(text, 'latin1') : undefined),
  outline: () => undefined,
  problem,
};

/**
 * Node writes no other legacy encodings. What is pure ASCII is the same in all that PostgreSQL offers; of anything else only the
 * outline is read.
 */
const asciiOnly = (outline: (bytes: Uint8Array) => string): TextEncoding => ({
  decode: bytes => (isAscii(bytes) ? viewOf(bytes).toString('latin1') : undefined),
  encode: text => (/^[\x00-\x7f]*$/.test(text) ? Buffer.from(text, 'latin1') : undefined),
  outline,
  problem,
});

/** Where every byte of a character beyond ASCII is above 127. The lexer takes such characters for letters, as PostgreSQL does. */
const HIGH_BYTES = asciiOnly(bytes => viewOf(bytes).toString('latin1'));

/**
 * Where later bytes of a character may look like ASCII, a backslash for one. `length`: of the character that begins with these two
 * bytes, the first above 127.
 */
const mixedBytes = (length: (first: number, second: number) => number): TextEncoding =>
  asciiOnly(bytes => {
    const outline = Buffer.from(bytes);
    for (let at = 0; at < outline.length;) {
      const end = at + (outline[at] < 0x80 ? 1 : length(outline[at], outline[at + 1]));
      for (at++; at < end && at < outline.length; at++) outline[at] |= 0x80;
    }
    return outline.toString('latin1');
  });

const TWO_BYTES = mixedBytes(() => 2);
/** Half-width katakana are one byte. */
const SHIFT_JIS = mixedBytes(first => (first >= 0xa1 && first <= 0xdf ? 1 : 2));
const GB18030 = mixedBytes((_, second) => (second >= 0x30 && second <= 0x39 ? 4 : 2));

/** SQL_ASCII: the server converts nothing, so it is the database's own encoding, UTF8 with us. */
const ENCODINGS: ReadonlyMap<string, TextEncoding> = new Map([
  ['UTF8', UTF8],
  ['SQL_ASCII', UTF8],
  ['LATIN1', LATIN1],
  ['SJIS', SHIFT_JIS],
  ['SHIFT_JIS_2004', SHIFT_JIS],
  ['BIG5', TWO_BYTES],
  ['GBK', TWO_BYTES],
  ['UHC', TWO_BYTES],
  ['GB18030', GB18030],
]);

/** By the value that the server reports. */
export const textEncoding = (clientEncoding: string): TextEncoding => ENCODINGS.get(clientEncoding) ?? HIGH_BYTES;

/** For people: where the encoding lacks a character there is a question mark. */
export const readably = (encoding: TextEncoding, text: string): Buffer =>
  encoding.encode(text) ?? Buffer.from(text.replace(/[^\x20-\x7e\n]/g, '?'));
