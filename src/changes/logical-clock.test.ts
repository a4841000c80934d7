import fc from 'fast-check';
import {describe, expect, test} from 'vitest';
import {commitMillis, LogicalClock} from './logical-clock.ts';

test('microseconds since 2000 become whole milliseconds since 1970, rounded down', () => {
  expect(commitMillis(0n)).toBe(946_684_800_000n);
  expect(commitMillis(1999n)).toBe(946_684_800_001n);
  expect(commitMillis(-1n)).toBe(946_684_799_999n);
  expect(commitMillis(-1000n)).toBe(946_684_799_999n);
});

interface Step {
  readonly heartbeat: boolean;
  /** Microseconds between this commit and the one before it, also negative: clocks that are set back. */
  readonly delta: number;
}

const history = fc.array(
  fc.record<Step>({
    heartbeat: fc.boolean(),
    delta: fc.oneof(
      {weight: 8, arbitrary: fc.integer({min: -2000, max: 5000})},
      {weight: 1, arbitrary: fc.integer({min: -7_200_000_000, max: 7_200_000_000})},
    ),
  }),
  {minLength: 1, maxLength: 200},
);

function run(clock: LogicalClock, steps: readonly Step[], from: number, commitTimes: readonly bigint[]): bigint[] {
  return steps.slice(from).map((step, i) => {
    const commitTime = commitTimes[from + i];
    return step.heartbeat ? clock.heartbeat(commitTime) : clock.transaction(commitTime);
  });
}

function commitTimesOf(steps: readonly Step[]): bigint[] {
  let at = 845_000_000_000_000n;
  return steps.map(step => (at += BigInt(step.delta)));
}

describe('LogicalClock', () => {
  test('a replay from any recorded position tells the same times', () => {
    fc.assert(
      fc.property(history, fc.nat(), (steps, pick) => {
        const commitTimes = commitTimesOf(steps);
        const from = pick % steps.length;
        const clock = new LogicalClock(0n);
        run(clock, steps.slice(0, from), 0, commitTimes);
        const recorded = clock.now;
        const first = run(clock, steps, from, commitTimes);
        expect(run(new LogicalClock(recorded), steps, from, commitTimes)).toEqual(first);
      }),
      {numRuns: 1000},
    );
  });

  test('times never fall, a heartbeat always raises them, and they keep up with the wall clock', () => {
    fc.assert(
      fc.property(history, steps => {
        const commitTimes = commitTimesOf(steps);
        const clock = new LogicalClock(0n);
        let last = 0n;
        for (const [i, step] of steps.entries()) {
          const time = step.heartbeat ? clock.heartbeat(commitTimes[i]) : clock.transaction(commitTimes[i]);
          if (step.heartbeat) expect(time).toBeGreaterThan(last);
          else expect(time).toBeGreaterThanOrEqual(last);
          expect(time).toBeGreaterThanOrEqual(commitMillis(commitTimes[i]));
          last = time;
        }
      }),
      {numRuns: 1000},
    );
  });

  test('the time of a transaction does not depend on the times recorded for earlier ones being lower', () => {
    // Three hours back: ordinary transactions stay at the highest time, heartbeats go on by one.
    const clock = new LogicalClock(0n);
    const noon = 845_000_000_000_000n;
    const top = clock.transaction(noon);
    expect(clock.transaction(noon - 10_800_000_000n)).toBe(top);
    expect(clock.heartbeat(noon - 10_799_000_000n)).toBe(top + 1n);
    expect(clock.transaction(noon + 1_000n)).toBe(top + 1n);
    expect(clock.transaction(noon + 2_000n)).toBe(top + 2n);
  });
});
