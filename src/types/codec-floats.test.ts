import fc from 'fast-check';
import {expect, test} from 'vitest';
import {ByteWriter} from '../base/byte-writer.ts';
import {putFloat8} from './codec-floats.ts';

/** Decimals of up to six places, which is where the quick way ends and the other begins; whole numbers; any double. */
const value = fc.oneof(
  fc.tuple(fc.integer({min: -1e9, max: 1e9}), fc.nat(6)).map(([digits, places]) => Number(`${digits}e-${places}`)),
  fc.tuple(fc.maxSafeInteger(), fc.nat(4)).map(([digits, places]) => Number(`${digits}e-${places}`)),
  fc.maxSafeInteger(),
  fc.double({min: 1e-4, max: 999_999_999_999_999, noNaN: true}),
);

test('numbers are printed as JavaScript does it where PostgreSQL does the same', () => {
  fc.assert(
    fc.property(
      value.filter(v => Math.abs(v) >= 1e-4 && Math.abs(v) < 1e15),
      v => {
        const out = new ByteWriter(1);
        putFloat8(out, v);
        expect(out.written().toString()).toBe(String(v));
      },
    ),
    {numRuns: 5000},
  );
});

test('the ends of what is printed without a string in between', () => {
  for (const v of [
    0.001,
    -0.001,
    0.0009,
    0.5,
    1,
    -12.25,
    999_999_999_999,
    999_999_999_999.125,
    1e12,
    1e12 + 0.5,
    0.3,
    100.1,
  ]) {
    const out = new ByteWriter(1);
    putFloat8(out, v);
    expect(out.written().toString()).toBe(String(v));
  }
});
