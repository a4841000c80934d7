import {expect, test} from 'vitest';
import {LendingPace} from './lending-pace.ts';

/** How many ReadyForQuery it takes until the session may be lent. */
function wait(pace: LendingPace): number {
  let seen = 0;
  for (; !pace.permits; seen++) pace.ready();
  return seen;
}

test('a session that keeps coming back waits longer and longer, up to a limit', () => {
  const pace = new LendingPace(16);
  const waits: number[] = [];
  for (let time = 0; time < 6; time++) {
    waits.push(wait(pace));
    pace.recalled(3);
  }
  expect(waits).toEqual([1, 2, 4, 8, 16, 16]);
});

test('one that was worth it starts afresh', () => {
  const pace = new LendingPace();
  for (let time = 0; time < 5; time++) pace.recalled(0);
  expect(wait(pace)).toBe(32);
  pace.recalled(127);
  expect(wait(pace)).toBe(64);
  pace.recalled(256);
  expect(wait(pace)).toBe(1);
});
