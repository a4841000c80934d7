import type {ByteWriter} from '../base/byte-writer.ts';

/** Writes the field `buf[at … at + length)`; the caller has dealt with NULL. */
export type WriteField = (buf: Buffer, at: number, length: number, out: ByteWriter) => void;

/** What every format asks of a type. One per type, made by `codecFor` in `codecs.ts`. The input is PostgreSQL's binary form. */
export interface Codec {
  /** PostgreSQL's text output with DateStyle ISO, IntervalStyle postgres, TimeZone UTC, bytea hex, extra_float_digits 3. */
  readonly text: WriteField;
  /** A JSON value, as the table of docs/formats.md says. */
  readonly json: WriteField;
}
