/** Sessions `first` up to but not `first + sessions` of a seed. */
export interface SessionRange {
  readonly first: number;
  readonly sessions: number;
}

/**
 * The smallest range within `range`, which fails, that still does. Half after half as long as one of them fails alone; where the failure
 * needs both, the shortest beginning that fails, and of that the shortest end. About twice as many sessions are sent as `range` has
 * where one of them is to blame.
 */
export async function smallestRange(
  range: SessionRange,
  fails: (range: SessionRange) => Promise<boolean>,
): Promise<SessionRange> {
  let {first, sessions} = range;
  while (sessions > 1) {
    const half = Math.ceil(sessions / 2);
    if (await fails({first, sessions: half})) {
      sessions = half;
    } else if (await fails({first: first + half, sessions: sessions - half})) {
      first += half;
      sessions -= half;
    } else {
      const end = first + (await least(half + 1, sessions, count => fails({first, sessions: count})));
      const count = await least(end - first - half + 1, end - first, n => fails({first: end - n, sessions: n}));
      return {first: end - count, sessions: count};
    }
  }
  return {first, sessions};
}

/** The least number from `low` to `high` that holds, where `high` does and what holds for a number holds for greater ones. */
async function least(low: number, high: number, holds: (n: number) => Promise<boolean>): Promise<number> {
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if (await holds(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}
