import fc from 'fast-check';
import {expect, test} from 'vitest';
import {ByteWriter} from '../base/byte-writer.ts';
import {putInt32, putInt64, putPadded, putUint, putUint64} from './digits.ts';

function put(write: (out: ByteWriter) => void): string {
  const out = new ByteWriter(32);
  out.byte(0x78);
  write(out);
  return out.written().toString('latin1', 1);
}
const high = (value: bigint) => Number(BigInt.asIntN(32, value >> 32n));
const low = (value: bigint) => Number(BigInt.asIntN(32, value));

/** Around each power of ten and of two as well. */
const near = (max: bigint) =>
  fc.oneof(
    fc.bigInt({min: 0n, max}),
    fc
      .tuple(fc.constantFrom(2n, 10n), fc.integer({min: 0, max: 64}), fc.bigInt({min: -2n, max: 2n}))
      .map(([base, exponent, distance]) => base ** BigInt(exponent) + distance)
      .filter(value => value >= 0n && value <= max),
  );

test('unsigned', () => {
  fc.assert(
    fc.property(near((1n << 64n) - 1n), value => {
      expect(put(out => putUint64(out, high(value), low(value)))).toBe(String(value));
      if (value <= 1n << 53n) expect(put(out => putUint(out, Number(value)))).toBe(String(value));
    }),
    {numRuns: 5000},
  );
});

test('signed', () => {
  fc.assert(
    fc.property(near(1n << 63n), fc.boolean(), (size, negative) => {
      const value = BigInt.asIntN(64, negative ? -size : size);
      expect(put(out => putInt64(out, high(value), low(value)))).toBe(String(value));
      expect(put(out => putInt32(out, low(value)))).toBe(String(low(value)));
    }),
    {numRuns: 5000},
  );
});

test('of a fixed width', () => {
  fc.assert(
    fc.property(fc.nat(0x7fffffff), fc.integer({min: 1, max: 10}), (value, width) => {
      expect(put(out => putPadded(out, value, width))).toBe(String(value).padStart(10, '0').slice(-width));
    }),
  );
});
