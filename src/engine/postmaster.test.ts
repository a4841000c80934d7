import {expect, test} from 'vitest';
import {parsePostmasterFile} from './postmaster.ts';

test('the lines that we read', () => {
  const text = '4711\n/data\n1763700000\n5432\n/run/x\n\n  5001   32\nready   \n';
  expect(parsePostmasterFile(text)).toEqual({pid: 4711, socketDirectory: '/run/x', status: 'ready'});
});

test('a file that is still being written', () => {
  expect(parsePostmasterFile('4711\n/data\n1763700000\n')).toEqual({pid: 4711, socketDirectory: '', status: ''});
});

test.each(['', '\n', 'x\n', '-5\n/single-user'])('%j names no postmaster', text => {
  expect(parsePostmasterFile(text)).toBeUndefined();
});
