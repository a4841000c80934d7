import {expect, test} from 'vitest';
import {StallCounts} from './stall-counts.ts';

test('counts what comes after the first look, once, by sink and code', () => {
  const counts = new StallCounts();
  counts.add([{number: 7, sink: 'u1', code: 'SL001'}]);
  expect(counts.of('u1')).toEqual([]);
  expect([...counts.known]).toEqual([['u1', 7]]);
  counts.add([
    {number: 7, sink: 'u1', code: 'SL001'},
    {number: 8, sink: 'u1', code: 'SL001'},
    {number: 9, sink: 'u2', code: null},
    {number: 10, sink: 'u1', code: 'SL001'},
  ]);
  expect(counts.of('u1')).toEqual([['SL001', 2]]);
  expect(counts.of('u2')).toEqual([['', 1]]);
  expect([...counts.known]).toEqual([
    ['u1', 10],
    ['u2', 9],
  ]);
});
