import type {ByteWriter} from '../base/byte-writer.ts';
import {viewOf} from '../base/view-of.ts';
import type {Codec, WriteField} from './codec.ts';
import {putPadded, putUint} from './digits.ts';
import {shortestOfDouble, shortestOfFloat, type Decimal} from './shortest-decimal.ts';

const MINUS = 0x2d;
const POINT = 0x2e;
const ZERO = 0x30;

/** As PostgreSQL prints with extra_float_digits >= 1: the shortest decimal that leads back. */
export function putFloat8(out: ByteWriter, value: number): void {
  const size = Math.abs(value);
  if (putThousandths(out, value, size)) return;
  // Between these bounds JavaScript prints the same.
  if (size >= 1e-4 && size < 1e15) out.ascii(String(value));
  else if (!putSpecial(out, value)) putDecimal(out, value < 0, shortestOfDouble(size), 15);
}

/**
 * Values of at most three decimals and twelve digits before the point, without a string in between: 15 ns instead of 120. Two decimals
 * of up to 15 digits are never the same double, so the one that leads back is the shortest one when its zeros are cut off.
 */
function putThousandths(out: ByteWriter, value: number, size: number): boolean {
  const thousandths = size * 1000;
  if (!(size >= 1e-3 && size < 1e12) || Math.floor(thousandths) !== thousandths || thousandths / 1000 !== size) {
    return false;
  }
  out.reserve(20);
  if (value < 0) out.buf[out.at++] = MINUS;
  const whole = Math.floor(size);
  putUint(out, whole);
  const fraction = thousandths - whole * 1000;
  if (fraction === 0) return true;
  out.buf[out.at++] = POINT;
  putPadded(out, fraction, 3);
  while (out.buf[out.at - 1] === ZERO) out.at--;
  return true;
}

/** Zero, not a number, or infinite. */
function putSpecial(out: ByteWriter, value: number): boolean {
  if (value === 0) out.ascii(Object.is(value, -0) ? '-0' : '0');
  else if (Number.isFinite(value)) return false;
  else out.ascii(String(value));
  return true;
}

/** PostgreSQL changes to an exponent (of two digits at least) below 10^-4 and from 10^`limit` on. */
function putDecimal(out: ByteWriter, negative: boolean, {digits, exponent}: Decimal, limit: number): void {
  const sign = negative ? '-' : '';
  if (exponent < -4 || exponent >= limit) {
    const mantissa = digits.length === 1 ? digits : `${digits[0]}.${digits.slice(1)}`;
    out.ascii(`${sign}${mantissa}e${exponent < 0 ? '-' : '+'}${String(Math.abs(exponent)).padStart(2, '0')}`);
  } else if (exponent < 0) {
    out.ascii(`${sign}0.${'0'.repeat(-exponent - 1)}${digits}`);
  } else if (digits.length <= exponent + 1) {
    out.ascii(sign + digits.padEnd(exponent + 1, '0'));
  } else {
    out.ascii(`${sign}${digits.slice(0, exponent + 1)}.${digits.slice(exponent + 1)}`);
  }
}

const writeFloat8: WriteField = (buf, at, _length, out) => putFloat8(out, viewOf(buf).getFloat64(at));

const writeFloat4: WriteField = (buf, at, _length, out) => {
  const value = buf.readFloatBE(at);
  if (!putSpecial(out, value)) putDecimal(out, value < 0, shortestOfFloat(Math.abs(value)), 6);
};

/** JSON has neither infinity nor NaN. */
const NULL = 'null';

export const float8Codec: Codec = {
  text: writeFloat8,
  json: (buf, at, _length, out) => {
    const value = viewOf(buf).getFloat64(at);
    if (Number.isFinite(value)) putFloat8(out, value);
    else out.ascii(NULL);
  },
};

export const float4Codec: Codec = {
  text: writeFloat4,
  json: (buf, at, length, out) => {
    if (Number.isFinite(buf.readFloatBE(at))) writeFloat4(buf, at, length, out);
    else out.ascii(NULL);
  },
};
