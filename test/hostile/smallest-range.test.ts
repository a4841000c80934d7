import fc from 'fast-check';
import {expect, test} from 'vitest';
import {smallestRange} from './smallest-range.ts';
import type {SessionRange} from './smallest-range.ts';

const failsWith =
  (...culprits: readonly number[]) =>
  ({first, sessions}: SessionRange) =>
    Promise.resolve(culprits.every(culprit => culprit >= first && culprit < first + sessions));

test('one session that is to blame alone is found, with about twice as many sessions sent', async () => {
  let sent = 0;
  const found = await smallestRange({first: 500, sessions: 100_000}, range => {
    sent += range.sessions;
    return failsWith(77_777)(range);
  });
  expect(found).toEqual({first: 77_777, sessions: 1});
  expect(sent).toBeLessThan(210_000);
});

test('sessions that fail together only are what begins and ends the range', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.uniqueArray(fc.integer({min: 10, max: 400}), {minLength: 1, maxLength: 3}),
      fc.integer({min: 391, max: 500}),
      async (culprits, sessions) => {
        const low = Math.min(...culprits);
        const found = await smallestRange({first: 10, sessions}, failsWith(...culprits));
        expect(found).toEqual({first: low, sessions: Math.max(...culprits) - low + 1});
      },
    ),
  );
});
