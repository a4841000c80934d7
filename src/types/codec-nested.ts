import type {ByteWriter} from '../base/byte-writer.ts';
import type {Codec, WriteField} from './codec.ts';
import {jsonOfText} from './codec-strings.ts';
import {readInt32} from './digits.ts';
import type {ArrayType, CompositeType} from './sql-type.ts';

const QUOTE = 0x22;
const COMMA = 0x2c;
const BACKSLASH = 0x5c;

function isSpace(byte: number): boolean {
  return byte === 0x20 || (byte >= 0x09 && byte <= 0x0d);
}

/** How a kind of value protects the texts inside its own: which bytes make quotation marks necessary, and what escapes them. */
interface Quoting {
  readonly special: Uint8Array;
  /** What precedes a quotation mark or a backslash; 0 = the byte itself, doubled. */
  readonly escape: number;
}

function quotingOf(special: string, escape: number): Quoting {
  const bytes = new Uint8Array(256);
  for (const character of `"\\${special}`) bytes[character.charCodeAt(0)] = 1;
  for (let byte = 0; byte < 256; byte++) if (isSpace(byte)) bytes[byte] = 1;
  return {special: bytes, escape};
}

const RECORD = quotingOf('(),', 0);
const RANGE = quotingOf('(),[]', 0);

/** Quotes what has been written from `start` on if that is needed; an empty text always is. */
function quoteFrom(out: ByteWriter, start: number, {special, escape}: Quoting): void {
  const end = out.at;
  let more = end === start ? 2 : 0;
  for (let i = start; i < end; i++) {
    const byte = out.buf[i];
    if (special[byte] === 0) continue;
    if (more === 0) more = 2;
    if (byte === QUOTE || byte === BACKSLASH) more++;
  }
  if (more > 0) surround(out, start, more, escape);
}

function surround(out: ByteWriter, start: number, more: number, escape: number): void {
  const end = out.at;
  out.reserve(more);
  const buf = out.buf;
  let put = end + more;
  buf[--put] = QUOTE;
  for (let i = end - 1; i >= start; i--) {
    const byte = buf[i];
    buf[--put] = byte;
    if (byte === QUOTE || byte === BACKSLASH) buf[--put] = escape === 0 ? byte : escape;
  }
  buf[start] = QUOTE;
  out.at = end + more;
}

const NULL = Buffer.from('NULL');

/** An element that reads NULL would be taken for the null. */
function isNullWord(out: ByteWriter, start: number): boolean {
  if (out.at - start !== 4) return false;
  for (let i = 0; i < 4; i++) if ((out.buf[start + i] & 0xdf) !== NULL[i]) return false;
  return true;
}

// An array: int32 dimensions, int32 whether nulls are in it, int32 element type; per dimension int32 size and int32 lower bound;
// per element int32 length or -1, and the value.
const ARRAY_HEADER = 12;
const PER_DIMENSION = 8;

function sizeOf(buf: Buffer, at: number, dimension: number): number {
  return readInt32(buf, at + ARRAY_HEADER + PER_DIMENSION * dimension);
}

function lowerBoundOf(buf: Buffer, at: number, dimension: number): number {
  return readInt32(buf, at + ARRAY_HEADER + PER_DIMENSION * dimension + 4);
}

/** `[1:2][0:3]=`, unless all lower bounds are 1. */
function putBounds(buf: Buffer, at: number, dimensions: number, out: ByteWriter): void {
  let plain = true;
  for (let i = 0; i < dimensions; i++) plain &&= lowerBoundOf(buf, at, i) === 1;
  if (plain) return;
  for (let i = 0; i < dimensions; i++) {
    const lower = lowerBoundOf(buf, at, i);
    out.ascii(`[${lower}:${lower + sizeOf(buf, at, i) - 1}]`);
  }
  out.ascii('=');
}

interface ArrayStyle {
  readonly open: number;
  readonly close: number;
  readonly delimiter: number;
  readonly writeNull: (out: ByteWriter) => void;
  readonly writeElement: WriteField;
}

/** The elements of one dimension and all below it, from the element at `element` on; returns the offset behind them. */
function putDimension(
  buf: Buffer,
  at: number,
  dimension: number,
  element: number,
  style: ArrayStyle,
  out: ByteWriter,
): number {
  const innermost = dimension === readInt32(buf, at) - 1;
  const size = sizeOf(buf, at, dimension);
  out.byte(style.open);
  for (let i = 0; i < size; i++) {
    if (i > 0) out.byte(style.delimiter);
    if (!innermost) {
      element = putDimension(buf, at, dimension + 1, element, style, out);
      continue;
    }
    const length = readInt32(buf, element);
    element += 4;
    if (length < 0) {
      style.writeNull(out);
    } else {
      style.writeElement(buf, element, length, out);
      element += length;
    }
  }
  out.byte(style.close);
  return element;
}

export function arrayCodec(type: ArrayType, element: Codec): Codec {
  const quoting = quotingOf(`{}${type.delimiter}`, BACKSLASH);
  const textStyle: ArrayStyle = {
    open: 0x7b,
    close: 0x7d,
    delimiter: type.delimiter.charCodeAt(0),
    writeNull: out => out.ascii('NULL'),
    writeElement: (buf, at, length, out) => {
      const start = out.at;
      element.text(buf, at, length, out);
      if (isNullWord(out, start)) surround(out, start, 2, BACKSLASH);
      else quoteFrom(out, start, quoting);
    },
  };
  return {
    text: (buf, at, _length, out) => {
      const dimensions = readInt32(buf, at);
      if (dimensions === 0) {
        out.ascii('{}');
        return;
      }
      putBounds(buf, at, dimensions, out);
      putDimension(buf, at, 0, at + ARRAY_HEADER + PER_DIMENSION * dimensions, textStyle, out);
    },
    json: jsonArray(element),
  };
}

/** Nested as the dimensions are; lower bounds are dropped. */
function jsonArray(element: Codec): WriteField {
  const style: ArrayStyle = {
    open: 0x5b,
    close: 0x5d,
    delimiter: COMMA,
    writeNull: out => out.ascii('null'),
    writeElement: element.json,
  };
  return (buf, at, _length, out) => {
    const dimensions = readInt32(buf, at);
    if (dimensions === 0) out.ascii('[]');
    else putDimension(buf, at, 0, at + ARRAY_HEADER + PER_DIMENSION * dimensions, style, out);
  };
}

/** int2vector and oidvector: arrays of one dimension whose text is the numbers with spaces between. */
export function vectorCodec(element: Codec): Codec {
  return {
    text: (buf, at, _length, out) => {
      const size = readInt32(buf, at) === 0 ? 0 : sizeOf(buf, at, 0);
      let place = at + ARRAY_HEADER + PER_DIMENSION;
      for (let i = 0; i < size; i++) {
        if (i > 0) out.byte(0x20);
        const length = readInt32(buf, place);
        element.text(buf, place + 4, length, out);
        place += 4 + length;
      }
    },
    json: jsonArray(element),
  };
}

/** int32 number of fields; per field int32 type, int32 length or -1, and the value. */
export function compositeCodec(type: CompositeType, fields: readonly Codec[]): Codec {
  const labels = type.fields.map(({name}, i) => Buffer.from(`${i === 0 ? '' : ','}${JSON.stringify(name)}:`));
  /** Calls back at each field; a value of another shape than the type's is from before or after an ALTER TYPE. */
  const forEachField = (buf: Buffer, at: number, visit: (i: number, at: number, length: number) => void) => {
    const count = readInt32(buf, at);
    let place = at + 4;
    if (count !== fields.length) throw shapeError(type);
    for (let i = 0; i < count; i++) {
      if (readInt32(buf, place) >>> 0 !== type.fields[i].type.oid) throw shapeError(type);
      const length = readInt32(buf, place + 4);
      place += 8;
      visit(i, place, length);
      if (length > 0) place += length;
    }
  };
  return {
    text: (buf, at, _length, out) => {
      out.byte(0x28);
      forEachField(buf, at, (i, place, length) => {
        if (i > 0) out.byte(COMMA);
        if (length < 0) return;
        const start = out.at;
        fields[i].text(buf, place, length, out);
        quoteFrom(out, start, RECORD);
      });
      out.byte(0x29);
    },
    json: (buf, at, _length, out) => {
      out.byte(0x7b);
      forEachField(buf, at, (i, place, length) => {
        out.bytes(labels[i], 0, labels[i].length);
        if (length < 0) out.ascii('null');
        else fields[i].json(buf, place, length, out);
      });
      out.byte(0x7d);
    },
  };
}

function shapeError(type: CompositeType): Error {
  return new Error(
    `a value of type "${type.schema}"."${type.name}" has other fields than the type had when it was described`,
  );
}

const EMPTY = 0x01;
const LOWER_INCLUSIVE = 0x02;
const UPPER_INCLUSIVE = 0x04;
const LOWER_INFINITE = 0x08;
const UPPER_INFINITE = 0x10;

/** A byte of flags; per finite bound int32 length and the value. */
export function rangeCodec(subtype: Codec): Codec {
  const putBound = (buf: Buffer, at: number, out: ByteWriter): number => {
    const length = readInt32(buf, at);
    const start = out.at;
    subtype.text(buf, at + 4, length, out);
    quoteFrom(out, start, RANGE);
    return at + 4 + length;
  };
  const text: WriteField = (buf, at, _length, out) => {
    const flags = buf[at++];
    if (flags & EMPTY) {
      out.ascii('empty');
      return;
    }
    out.ascii(flags & LOWER_INCLUSIVE ? '[' : '(');
    if (!(flags & LOWER_INFINITE)) at = putBound(buf, at, out);
    out.byte(COMMA);
    if (!(flags & UPPER_INFINITE)) putBound(buf, at, out);
    out.ascii(flags & UPPER_INCLUSIVE ? ']' : ')');
  };
  return {text, json: jsonOfText(text)};
}

/** int32 number of ranges; per range int32 length and the range. */
export function multirangeCodec(range: Codec): Codec {
  const text: WriteField = (buf, at, _length, out) => {
    const count = readInt32(buf, at);
    at += 4;
    out.byte(0x7b);
    for (let i = 0; i < count; i++) {
      if (i > 0) out.byte(COMMA);
      const length = readInt32(buf, at);
      range.text(buf, at + 4, length, out);
      at += 4 + length;
    }
    out.byte(0x7d);
  };
  return {text, json: jsonOfText(text)};
}

/** int32 number of pairs; per pair int32 length and key, int32 length or -1 and value. JSON: an object, keys in hstore's order. */
const forEachPair = (
  buf: Buffer,
  at: number,
  visit: (i: number, keyAt: number, keyLength: number, at: number, length: number) => void,
) => {
  const count = readInt32(buf, at);
  at += 4;
  for (let i = 0; i < count; i++) {
    const keyLength = readInt32(buf, at);
    const keyAt = at + 4;
    at = keyAt + keyLength;
    const length = readInt32(buf, at);
    at += 4;
    visit(i, keyAt, keyLength, at, length);
    if (length > 0) at += length;
  }
};

export function hstoreCodec(string: Codec): Codec {
  const putQuoted = (buf: Buffer, at: number, length: number, out: ByteWriter) => {
    const start = out.at;
    let more = 2;
    string.text(buf, at, length, out);
    for (let i = start; i < out.at; i++) if (out.buf[i] === QUOTE || out.buf[i] === BACKSLASH) more++;
    surround(out, start, more, BACKSLASH);
  };
  return {
    text: (buf, at, _length, out) => {
      forEachPair(buf, at, (i, keyAt, keyLength, valueAt, length) => {
        if (i > 0) out.ascii(', ');
        putQuoted(buf, keyAt, keyLength, out);
        out.ascii('=>');
        if (length < 0) out.ascii('NULL');
        else putQuoted(buf, valueAt, length, out);
      });
    },
    json: (buf, at, _length, out) => {
      out.byte(0x7b);
      forEachPair(buf, at, (i, keyAt, keyLength, valueAt, length) => {
        if (i > 0) out.byte(COMMA);
        string.json(buf, keyAt, keyLength, out);
        out.byte(0x3a);
        if (length < 0) out.ascii('null');
        else string.json(buf, valueAt, length, out);
      });
      out.byte(0x7d);
    },
  };
}
