import {expect, test} from 'vitest';
import {parseUsage} from './process-usage.ts';

test('a process whose name looks like fields', () => {
  const stat = '42 (a) S (b c) S 1 42 42 0 -1 4194560 100 0 0 0 150 50 0 0 20 0 11 0 100 1000 200';
  expect(parseUsage(stat, 'Name:\ta\nVmRSS:\t    2048 kB\n')).toEqual({cpuSeconds: 2, residentBytes: 2 ** 21});
});

test('a process that is a zombie has no memory', () => {
  expect(parseUsage('42 (a) Z 1', 'Name:\ta\n')).toBeUndefined();
});
