import type {ByteWriter} from '../base/byte-writer.ts';
import type {Codec, WriteField} from './codec.ts';
import {shortestOfDouble, shortestOfFloat, type Decimal} from './shortest-decimal.ts';

/** As PostgreSQL prints with extra_float_digits >= 1: the shortest decimal that leads back. */
export function putFloat8(out: ByteWriter, value: number): void {
  const size = Math.abs(value);
  // Between these bounds JavaScript prints the same.
  if (size >= 1e-4 && size < 1e15) out.ascii(String(value));
  else if (!putSpecial(out, value)) putDecimal(out, value < 0, shortestOfDouble(size), 15);
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

const writeFloat8: WriteField = (buf, at, _length, out) => putFloat8(out, buf.readDoubleBE(at));

const writeFloat4: WriteField = (buf, at, _length, out) => {
  const value = buf.readFloatBE(at);
  if (!putSpecial(out, value)) putDecimal(out, value < 0, shortestOfFloat(Math.abs(value)), 6);
};

/** JSON has neither infinity nor NaN. */
const NULL = 'null';

export const float8Codec: Codec = {
  text: writeFloat8,
  json: (buf, at, length, out) => {
    if (Number.isFinite(buf.readDoubleBE(at))) writeFloat8(buf, at, length, out);
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
