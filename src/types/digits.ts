import type {ByteWriter} from '../base/byte-writer.ts';

const ZERO = 0x30;
const MINUS = 0x2d;
const BILLION = 1_000_000_000;

/** How many decimal digits an integer below 10^9 has. */
function digitsOf(value: number): number {
  if (value < 10_000) return value < 100 ? (value < 10 ? 1 : 2) : value < 1000 ? 3 : 4;
  if (value < 1_000_000) return value < 100_000 ? 5 : 6;
  return value < 100_000_000 ? (value < 10_000_000 ? 7 : 8) : 9;
}

/** Two digits at a time, as they are written: '00' to '99'. */
const PAIRS = Uint16Array.from({length: 100}, (_, i) => ((ZERO + Math.floor(i / 10)) << 8) | (ZERO + (i % 10)));

/** The last `width` digits of an integer below 2^31, with leading zeros. The caller has reserved the room. */
export function putPadded(out: ByteWriter, value: number, width: number): void {
  // Callers have doubles; what is known to be 32 bits wide is divided by a multiplication.
  value |= 0;
  const start = out.at;
  let at = start + width;
  out.at = at;
  const view = out.view;
  for (at -= 2; at >= start; at -= 2) {
    const rest = (value / 100) | 0;
    view.setUint16(at, PAIRS[value - rest * 100]);
    value = rest;
  }
  if (at === start - 1) out.buf[start] = ZERO + (value % 10);
}

/** An integer from 0 up to 2^53. The caller has reserved 16 bytes. */
export function putUint(out: ByteWriter, value: number): void {
  if (value < BILLION) {
    putPadded(out, value, digitsOf(value | 0));
    return;
  }
  const upper = Math.floor(value / BILLION);
  putUint(out, upper);
  putPadded(out, value - upper * BILLION, 9);
}

/** The unsigned 64-bit integer `high * 2^32 + low`. The caller has reserved 20 bytes. */
export function putUint64(out: ByteWriter, high: number, low: number): void {
  high >>>= 0;
  low >>>= 0;
  if (high < 0x200000) {
    putUint(out, high * 0x100000000 + low);
    return;
  }
  // Long division by 10^9 in steps of 16 bits, each of which a double holds exactly.
  const q0 = Math.floor(high / BILLION);
  const r0 = (high - q0 * BILLION) * 0x10000 + (low >>> 16);
  const q1 = Math.floor(r0 / BILLION);
  const r1 = (r0 - q1 * BILLION) * 0x10000 + (low & 0xffff);
  const q2 = Math.floor(r1 / BILLION);
  putUint(out, q0 * 0x100000000 + q1 * 0x10000 + q2);
  putPadded(out, r1 - q2 * BILLION, 9);
}

/** The signed 64-bit integer with these halves. The caller has reserved 20 bytes. */
export function putInt64(out: ByteWriter, high: number, low: number): void {
  if (high < 0) {
    out.buf[out.at++] = MINUS;
    low = -low | 0;
    high = low === 0 ? -high | 0 : ~high;
  }
  putUint64(out, high, low);
}

/** A signed 32-bit integer. The caller has reserved 11 bytes. */
export function putInt32(out: ByteWriter, value: number): void {
  if (value < 0) {
    out.buf[out.at++] = MINUS;
    value = -value;
  }
  putUint(out, value);
}

export function readInt16(buf: Buffer, at: number): number {
  return ((buf[at] << 24) >> 16) | buf[at + 1];
}

export function readUint16(buf: Buffer, at: number): number {
  return (buf[at] << 8) | buf[at + 1];
}

export function readInt32(buf: Buffer, at: number): number {
  return (buf[at] << 24) | (buf[at + 1] << 16) | (buf[at + 2] << 8) | buf[at + 3];
}
