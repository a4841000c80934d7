import {isAscii, isUtf8} from 'node:buffer';
import {SqlError} from '../base/sql-error.ts';

/** What a session's `client_encoding` means for text that we read or write. */
export interface TextEncoding {
  /** Text for the lexer and for messages. Undefined: PostgreSQL refuses these bytes, or we cannot tell what they say. */
  decode(bytes: Uint8Array): string | undefined;
  /** Undefined: the text cannot be said in this encoding. */
  encode(text: string): Buffer | undefined;
  /** Why a statement of ours could not be decoded, or its text or answer not be encoded. */
  readonly problem: () => SqlError;
}

const UTF8: TextEncoding = {
  decode: bytes =>
    isUtf8(bytes) ? Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('utf8') : undefined,
  encode: text => Buffer.from(text, 'utf8'),
  problem: () => new SqlError('22021', 'invalid byte sequence for encoding "UTF8"'),
};

/**
 * Node writes no legacy encodings. What is pure ASCII is the same in all that PostgreSQL offers; anything else is left to PostgreSQL,
 * so a statement of ours with other characters in it is not recognized there.
 */
const ASCII_ONLY: TextEncoding = {
  decode: bytes =>
    isAscii(bytes) ? Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1') : undefined,
  encode: text => (/^[\x00-\x7f]*$/.test(text) ? Buffer.from(text, 'latin1') : undefined),
  problem: () =>
    new SqlError('0A000', 'statements of Sluice need client_encoding UTF8 for characters beyond ASCII', {
      hint: "Use SET client_encoding TO 'UTF8'.",
    }),
};

/** By the value that the server reports. SQL_ASCII: the server converts nothing, so it is the database's own encoding, UTF8 with us. */
export const textEncoding = (clientEncoding: string): TextEncoding =>
  clientEncoding === 'UTF8' || clientEncoding === 'SQL_ASCII' ? UTF8 : ASCII_ONLY;
