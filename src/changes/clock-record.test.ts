import {describe, expect, test} from 'vitest';
import {chooseStart, type ClockRecord} from './clock-record.ts';
import {isInOurPast, parseTimelineHistory} from './system-identity.ts';

const present = {system: 7n, timeline: 3};
const history = [
  {timeline: 1, end: 100n},
  {timeline: 2, end: 250n},
];
const record = (endLsn: bigint, rest: Partial<ClockRecord> = {}): ClockRecord => ({
  ...present,
  endLsn,
  clock: endLsn * 10n,
  ...rest,
});

describe('chooseStart', () => {
  const records = [record(300n), record(400n), record(500n)];

  test('the furthest one that no sink has passed and that can still be read', () => {
    const choose = (confirmed: bigint, progress: bigint | undefined) =>
      chooseStart(records, {confirmed, progress, present, history})?.endLsn;
    expect(choose(300n, 450n)).toBe(400n);
    expect(choose(300n, 400n)).toBe(400n);
    expect(choose(400n, 399n)).toBeUndefined();
    expect(choose(401n, 499n)).toBeUndefined();
    expect(choose(501n, 600n)).toBeUndefined();
    expect(choose(300n, undefined)).toBe(500n);
  });

  test('none of another system, and of older timelines only what is in our past', () => {
    const mixed = [
      record(90n, {timeline: 1}),
      record(110n, {timeline: 1}),
      record(120n, {system: 8n}),
      record(250n, {timeline: 2}),
      record(260n, {timeline: 2}),
    ];
    const choose = (progress: bigint) => chooseStart(mixed, {confirmed: 0n, progress, present, history})?.endLsn;
    expect(choose(200n)).toBe(90n);
    expect(choose(300n)).toBe(250n);
  });
});

test('a timeline that is not in the history forked off somewhere else', () => {
  expect(isInOurPast({system: 7n, timeline: 3, endLsn: 999n}, present, history)).toBe(true);
  expect(isInOurPast({system: 7n, timeline: 4, endLsn: 1n}, present, history)).toBe(false);
  expect(isInOurPast({system: 8n, timeline: 3, endLsn: 1n}, present, history)).toBe(false);
});

test('history files', () => {
  const text = '# a comment\n1\t0/3000060\tno recovery target specified\n\n2\tA/10\tbefore 2026-01-01\n';
  expect(parseTimelineHistory(text)).toEqual([
    {timeline: 1, end: 0x3000060n},
    {timeline: 2, end: 0xa_0000_0010n},
  ]);
});
