import type {ByteWriter} from '../base/byte-writer.ts';
import type {Codec, WriteField} from './codec.ts';
import {putFloat8} from './codec-floats.ts';
import {jsonOfPlainText} from './codec-strings.ts';
import {readInt32} from './digits.ts';

const OPEN = 0x28;
const CLOSE = 0x29;
const COMMA = 0x2c;

/** (x,y) of two doubles. */
function putPoint(out: ByteWriter, buf: Buffer, at: number): void {
  out.byte(OPEN);
  putFloat8(out, buf.readDoubleBE(at));
  out.byte(COMMA);
  putFloat8(out, buf.readDoubleBE(at + 8));
  out.byte(CLOSE);
}

function putPoints(out: ByteWriter, buf: Buffer, at: number, count: number): void {
  for (let i = 0; i < count; i++) {
    if (i > 0) out.byte(COMMA);
    putPoint(out, buf, at + 16 * i);
  }
}

function geometry(text: WriteField): Codec {
  return {text, json: jsonOfPlainText(text)};
}

export const pointCodec = geometry((buf, at, _length, out) => putPoint(out, buf, at));

/** Two corners. */
export const boxCodec = geometry((buf, at, _length, out) => putPoints(out, buf, at, 2));

export const lsegCodec = geometry((buf, at, _length, out) => {
  out.byte(0x5b);
  putPoints(out, buf, at, 2);
  out.byte(0x5d);
});

/** A byte: closed or not; int32 number of points; the points. */
export const pathCodec = geometry((buf, at, _length, out) => {
  const closed = buf[at] !== 0;
  out.byte(closed ? OPEN : 0x5b);
  putPoints(out, buf, at + 5, readInt32(buf, at + 1));
  out.byte(closed ? CLOSE : 0x5d);
});

/** int32 number of points; the points. */
export const polygonCodec = geometry((buf, at, _length, out) => {
  out.byte(OPEN);
  putPoints(out, buf, at + 4, readInt32(buf, at));
  out.byte(CLOSE);
});

/** The coefficients of Ax + By + C = 0. */
export const lineCodec = geometry((buf, at, _length, out) => {
  for (let i = 0; i < 3; i++) {
    out.byte(i === 0 ? 0x7b : COMMA);
    putFloat8(out, buf.readDoubleBE(at + 8 * i));
  }
  out.byte(0x7d);
});

/** Centre and radius. */
export const circleCodec = geometry((buf, at, _length, out) => {
  out.byte(0x3c);
  putPoint(out, buf, at);
  out.byte(COMMA);
  putFloat8(out, buf.readDoubleBE(at + 16));
  out.byte(0x3e);
});
