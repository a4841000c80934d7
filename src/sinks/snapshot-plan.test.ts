import {expect, test} from 'vitest';
import {isTooSlow, planSnapshot, type PlanOptions} from './snapshot-plan.ts';
import type {SnapshotSource, SpooledSnapshot} from './snapshot-source.ts';

const HOLD = 100n;

function spoolOf(id: number, holdLsn: bigint): SpooledSnapshot {
  const nothing = (): never => {
    throw new Error('nothing is read of it');
  };
  const filter = {visible: {xmin: 1n, xmax: 1n, running: []}, until: 1n};
  const shape = {relation: 1, schema: '', name: 't', columns: [], framing: 'copy' as const};
  return {id, holdLsn, blocks: 10, filter, time: 1n, shape, rows: nothing};
}

function sourceOf(bytes: number, spool?: SpooledSnapshot): SnapshotSource & {dropped: boolean} {
  const source = {
    dropped: false,
    estimate: () => Promise.resolve({bytes, rows: 7}),
    findSpool: () => Promise.resolve(spool),
    dropSpool: () => {
      source.dropped = true;
      return Promise.resolve();
    },
    take: () => Promise.reject(new Error('a plan takes none')),
    makeSpool: () => Promise.reject(new Error('a plan makes none')),
  };
  return source;
}

function plan(source: SnapshotSource, more: Partial<PlanOptions> = {}): ReturnType<typeof planSnapshot> {
  const cursor = {spool: 0, nextBlock: 0};
  return planSnapshot({source, cursor, hold: HOLD, withRows: true, longBytes: 10, directBytes: 100, ...more});
}

test('the size of a relation decides', async () => {
  expect(await plan(sourceOf(10))).toEqual({way: 'direct', span: 'short', rows: 7});
  expect(await plan(sourceOf(11))).toEqual({way: 'direct', span: 'long', rows: 7});
  expect(await plan(sourceOf(100))).toEqual({way: 'direct', span: 'long', rows: 7});
  expect(await plan(sourceOf(101))).toEqual({way: 'spool', span: 'short', left: undefined, fromBlock: 0});
  expect(await plan(sourceOf(0), {directBytes: -1})).toMatchObject({way: 'spool'});
  expect(await plan(sourceOf(1000), {withRows: false})).toMatchObject({way: 'direct', span: 'short'});
});

test('a spool that is there is used if the stream behind it can still be read', async () => {
  const usable = spoolOf(5, HOLD);
  expect(await plan(sourceOf(1, usable))).toEqual({way: 'spool', span: 'short', left: usable, fromBlock: 0});
  const old = sourceOf(1, spoolOf(5, HOLD - 1n));
  expect(await plan(old)).toMatchObject({way: 'direct'});
  expect(old.dropped).toBe(true);
});

test('one that has been begun is ended, however old, and no other one', async () => {
  const begun = spoolOf(5, HOLD - 1n);
  const cursor = {spool: 5, nextBlock: 4};
  expect(await plan(sourceOf(1, begun), {cursor})).toEqual({way: 'spool', span: 'short', left: begun, fromBlock: 4});
  await expect(plan(sourceOf(1, spoolOf(6, HOLD)), {cursor})).rejects.toMatchObject({code: 'SL010'});
  await expect(plan(sourceOf(1), {cursor})).rejects.toMatchObject({code: 'SL010'});
});

test('a pace is too slow when the time is up, or when by far too much would be left', () => {
  const limitMs = 100_000;
  expect(isTooSlow({elapsedMs: 60_000, limitMs, rows: 999, ofRows: 1000})).toBe(false);
  expect(isTooSlow({elapsedMs: 60_001, limitMs, rows: 999, ofRows: 1000})).toBe(true);
  // After 12 s of 60: five times as many are to be expected, and twice as many may be.
  expect(isTooSlow({elapsedMs: 12_000, limitMs, rows: 100, ofRows: 1000})).toBe(false);
  expect(isTooSlow({elapsedMs: 12_000, limitMs, rows: 99, ofRows: 1000})).toBe(true);
  expect(isTooSlow({elapsedMs: 10_000, limitMs, rows: 0, ofRows: 1000})).toBe(false);
  expect(isTooSlow({elapsedMs: 12_000, limitMs, rows: 0, ofRows: undefined})).toBe(false);
  // Of a shorter span the first look is at a quarter.
  expect(isTooSlow({elapsedMs: 3001, limitMs: 20_000, rows: 0, ofRows: 1})).toBe(true);
});
