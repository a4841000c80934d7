import {setTimeout as delay} from 'node:timers/promises';

/** Asks until the answer is neither undefined nor false; throws `what` when `limitMs` have passed. */
export async function poll<T>(
  what: string,
  limitMs: number,
  ask: () => T | undefined | false | Promise<T | undefined | false>,
  everyMs = 25,
): Promise<T> {
  const deadline = performance.now() + limitMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined && answer !== false) return answer;
    if (performance.now() > deadline) throw new Error(`waited ${limitMs} ms for ${what}`);
    await delay(everyMs);
  }
}
