import type {Codec, WriteField} from './codec.ts';
import {jsonOfPlainText} from './codec-strings.ts';
import {putInt32, putInt64, putPadded, putUint, putUint64, readInt16, readInt32, readUint16} from './digits.ts';

const COMMA = 0x2c;
const MINUS = 0x2d;
const POINT = 0x2e;
const ZERO = 0x30;

/** A type whose text is also its JSON form. */
function number(write: WriteField): Codec {
  return {text: write, json: write};
}

export const boolCodec: Codec = {
  text: (buf, at, _length, out) => out.byte(buf[at] === 0 ? 0x66 : 0x74),
  json: (buf, at, _length, out) => out.ascii(buf[at] === 0 ? 'false' : 'true'),
};

export const int2Codec = number((buf, at, _length, out) => {
  out.reserve(6);
  putInt32(out, readInt16(buf, at));
});

export const int4Codec = number((buf, at, _length, out) => {
  out.reserve(11);
  putInt32(out, readInt32(buf, at));
});

export const int8Codec = number((buf, at, _length, out) => {
  out.reserve(20);
  putInt64(out, readInt32(buf, at), readInt32(buf, at + 4));
});

/**
 * oid, xid, cid, and the reg* types, of which only the OID is in the value: the name that PostgreSQL prints depends on what the
 * catalog says at that moment. The number is also valid input for the type.
 */
export const uint4Codec = number((buf, at, _length, out) => {
  out.reserve(10);
  putUint(out, readInt32(buf, at) >>> 0);
});

export const uint8Codec = number((buf, at, _length, out) => {
  out.reserve(20);
  putUint64(out, readInt32(buf, at), readInt32(buf, at + 4));
});

/** `"char"`: one byte. PostgreSQL 16 and newer print those beyond ASCII in octal; before, the byte itself, which is not UTF-8. */
export const charCodec: Codec = {
  text: (buf, at, _length, out) => {
    const byte = buf[at];
    if (byte >= 0x80) {
      out.ascii(`\\${byte.toString(8)}`);
    } else if (byte !== 0) {
      out.byte(byte);
    }
  },
  json: (buf, at, _length, out) => {
    out.reserve(3);
    putUint(out, buf[at]);
  },
};

/** int64 cents, printed as in the locale C: what else they would be called is a setting, not part of the value. */
const writeMoney: WriteField = (buf, at, _length, out) => {
  out.reserve(40);
  let high = readInt32(buf, at);
  let low = readInt32(buf, at + 4);
  if (high < 0) {
    out.buf[out.at++] = MINUS;
    low = -low | 0;
    high = low === 0 ? -high | 0 : ~high;
  }
  out.buf[out.at++] = 0x24; // $
  const start = out.at;
  putUint64(out, high, low);
  const digits = out.buf.toString('latin1', start, out.at).padStart(3, '0');
  const whole = digits.slice(0, -2).replace(/\B(?=(\d{3})+$)/g, ',');
  out.at = start;
  out.ascii(`${whole}.${digits.slice(-2)}`);
};

export const moneyCodec: Codec = {text: writeMoney, json: jsonOfPlainText(writeMoney)};

const NUMERIC_NEGATIVE = 0x4000;
const NUMERIC_NAN = 0xc000;
const NUMERIC_INFINITY = 0xd000;

/** int16 number of digits, weight of the first, sign, digits to print after the point; then the digits, base 10 000. */
const writeNumeric: WriteField = (buf, at, _length, out) => {
  const count = readUint16(buf, at);
  const weight = readInt16(buf, at + 2);
  const sign = readUint16(buf, at + 4);
  const scale = readUint16(buf, at + 6);
  if (sign >= NUMERIC_NAN) {
    out.ascii(sign === NUMERIC_NAN ? 'NaN' : sign === NUMERIC_INFINITY ? 'Infinity' : '-Infinity');
    return;
  }
  out.reserve(4 * (Math.max(weight, 0) + 1) + scale + 8);
  if (sign === NUMERIC_NEGATIVE) out.buf[out.at++] = MINUS;
  // Digits that are not stored are zero, at either end.
  const end = at + 8 + 2 * count;
  let digit = at + 8;
  if (weight < 0 || count === 0) {
    out.buf[out.at++] = ZERO;
  } else {
    putUint(out, readUint16(buf, digit));
    digit += 2;
    for (let i = 1; i <= weight; i++, digit += 2) putPadded(out, digit < end ? readUint16(buf, digit) : 0, 4);
  }
  if (scale === 0) return;
  out.buf[out.at++] = POINT;
  const stop = out.at + scale;
  for (let i = -1; i > weight && out.at < stop; i--) putPadded(out, 0, 4);
  // The last digit may go beyond the scale; what it holds there is cut off.
  for (; out.at < stop; digit += 2) putPadded(out, digit < end ? readUint16(buf, digit) : 0, 4);
  out.at = stop;
};

export const numericCodec: Codec = {text: writeNumeric, json: jsonOfPlainText(writeNumeric)};

/** (block, offset) of a row version. */
const writeTid: WriteField = (buf, at, _length, out) => {
  out.reserve(18);
  out.buf[out.at++] = 0x28;
  putUint(out, readInt32(buf, at) >>> 0);
  out.buf[out.at++] = COMMA;
  putUint(out, readUint16(buf, at + 4));
  out.buf[out.at++] = 0x29;
};

export const tidCodec: Codec = {text: writeTid, json: jsonOfPlainText(writeTid)};

const writeLsn: WriteField = (buf, at, _length, out) => {
  const half = (from: number) => (readInt32(buf, from) >>> 0).toString(16).toUpperCase();
  out.ascii(`${half(at)}/${half(at + 4)}`);
};

export const lsnCodec: Codec = {text: writeLsn, json: jsonOfPlainText(writeLsn)};

/** int32 count, xmin, xmax, and the count running ids, 64 bits each. */
const writeSnapshot: WriteField = (buf, at, _length, out) => {
  const count = readInt32(buf, at);
  out.reserve((count + 2) * 21);
  for (let i = 0; i < count + 2; i++) {
    if (i > 0) out.buf[out.at++] = i < 3 ? 0x3a : COMMA;
    putUint64(out, readInt32(buf, at + 4 + 8 * i), readInt32(buf, at + 8 + 8 * i));
  }
  if (count === 0) out.buf[out.at++] = 0x3a;
};

export const snapshotCodec: Codec = {text: writeSnapshot, json: jsonOfPlainText(writeSnapshot)};
