import {expect, test} from 'vitest';
import {allocatorEnvironment} from './allocator.ts';

const everywhere = (): boolean => true;
const only =
  (wanted: string) =>
  (path: string): boolean =>
    path === wanted;

test('the library is preloaded behind what is preloaded already', () => {
  const found = only('/usr/lib64/libjemalloc.so.2');
  expect(allocatorEnvironment({}, found)).toEqual({LD_PRELOAD: '/usr/lib64/libjemalloc.so.2'});
  expect(allocatorEnvironment({LD_PRELOAD: ''}, found)).toEqual({LD_PRELOAD: '/usr/lib64/libjemalloc.so.2'});
  expect(allocatorEnvironment({LD_PRELOAD: '/clock.so'}, found)).toEqual({
    LD_PRELOAD: '/clock.so:/usr/lib64/libjemalloc.so.2',
  });
});

test('not where it is missing or not wanted', () => {
  expect(allocatorEnvironment({LD_PRELOAD: '/clock.so'}, () => false)).toEqual({});
  expect(allocatorEnvironment({SLUICE_ALLOCATOR: 'system'}, everywhere)).toEqual({});
});
