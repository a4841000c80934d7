import {expect, test} from 'vitest';
import {allocatorEnvironment} from './allocator.ts';

const everywhere = (): boolean => true;
const only =
  (wanted: string) =>
  (path: string): boolean =>
    path === wanted;

test('the library is preloaded behind what is preloaded already', () => {
  const found = only('/usr/lib64/libjemalloc.so.2');
  const preloaded = (before: Record<string, string>) => allocatorEnvironment(before, found).LD_PRELOAD;
  expect(preloaded({})).toBe('/usr/lib64/libjemalloc.so.2');
  expect(preloaded({LD_PRELOAD: ''})).toBe('/usr/lib64/libjemalloc.so.2');
  expect(preloaded({LD_PRELOAD: '/clock.so'})).toBe('/clock.so:/usr/lib64/libjemalloc.so.2');
});

test('its settings are those of the environment where that has some', () => {
  expect(allocatorEnvironment({}, everywhere).MALLOC_CONF).toMatch(/^[a-z]+:[a-z0-9]+(,[a-z]+:[a-z0-9]+)*$/);
  expect(allocatorEnvironment({MALLOC_CONF: 'stats_print:true'}, everywhere).MALLOC_CONF).toBe('stats_print:true');
});

test('not where it is missing or not wanted', () => {
  expect(allocatorEnvironment({LD_PRELOAD: '/clock.so'}, () => false)).toEqual({});
  expect(allocatorEnvironment({SLUICE_ALLOCATOR: 'system'}, everywhere)).toEqual({});
});
