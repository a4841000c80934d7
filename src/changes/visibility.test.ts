import fc from 'fast-check';
import {describe, expect, test} from 'vitest';
import {formatSnapshot, isVisible, parseSnapshot, widenXid} from './visibility.ts';

const low = (xid: bigint) => Number(BigInt.asUintN(32, xid));
const filter = (text: string) => ({visible: parseSnapshot(text), until: 0n});

describe('isVisible', () => {
  test('what ended before xmin is visible, what was running or began later is not', () => {
    const f = filter('100:110:100,105');
    expect([99, 100, 101, 104, 105, 106, 109, 110, 111].filter(xid => isVisible(f, xid))).toEqual([
      99, 101, 104, 106, 109,
    ]);
  });

  test('a snapshot just behind the wrap of the low 32 bits sees the transactions before it', () => {
    const wrap = 1n << 32n;
    const f = filter(`${wrap + 3n}:${wrap + 10n}:${wrap + 3n}`);
    expect(isVisible(f, 0xffff_ffff)).toBe(true);
    expect(isVisible(f, 2)).toBe(true);
    expect(isVisible(f, 3)).toBe(false);
    expect(isVisible(f, 9)).toBe(true);
    expect(isVisible(f, 10)).toBe(false);
  });

  test('a snapshot just before the wrap does not see the transactions behind it', () => {
    const wrap = 1n << 32n;
    const f = filter(`${wrap - 5n}:${wrap - 2n}:${wrap - 5n},${wrap - 3n}`);
    expect(isVisible(f, 0xffff_fffa)).toBe(true);
    expect(isVisible(f, 0xffff_fffb)).toBe(false);
    expect(isVisible(f, 0xffff_fffc)).toBe(true);
    expect(isVisible(f, 0xffff_fffd)).toBe(false);
    expect(isVisible(f, 0xffff_ffff)).toBe(false);
    expect(isVisible(f, 7)).toBe(false);
  });

  test('agrees with the definition on full ids wherever the snapshot lies', () => {
    const snapshots = fc.record({
      xmin: fc.bigInt({min: 3n, max: 1n << 40n}),
      width: fc.integer({min: 0, max: 1000}),
      runningAt: fc.array(fc.integer({min: 0, max: 999})),
      distance: fc.integer({min: -0x4000_0000, max: 0x4000_0000}),
    });
    fc.assert(
      fc.property(snapshots, ({xmin, width, runningAt, distance}) => {
        const xmax = xmin + BigInt(width);
        const running = runningAt.filter(at => at < width).map(at => xmin + BigInt(at));
        const xid = xmin + BigInt(distance);
        fc.pre(xid >= 3n);
        const expected = xid < xmax && !running.includes(xid);
        expect(isVisible({visible: {xmin, xmax, running}, until: 0n}, low(xid))).toBe(expected);
      }),
      {numRuns: 2000},
    );
  });
});

test('widening finds the nearest id on both sides', () => {
  expect(widenXid(0, 0x1_ffff_ffffn)).toBe(0x2_0000_0000n);
  expect(widenXid(0xffff_ffff, 0x2_0000_0000n)).toBe(0x1_ffff_ffffn);
});

test('pg_snapshot text goes both ways', () => {
  for (const text of ['10:20:', '10:20:10,14,15', '4294967300:4294967310:4294967301']) {
    expect(formatSnapshot(parseSnapshot(text))).toBe(text);
  }
  expect(() => parseSnapshot('10:20')).toThrow('not a pg_snapshot');
});
