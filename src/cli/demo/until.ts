import {setTimeout as sleep} from 'node:timers/promises';

const EVERY_MS = 50;

/** Asks again and again: true when the answer was, false when `limitMs` have passed. Throws the reason of `signal` when that is aborted. */
export async function until(
  limitMs: number,
  ask: () => boolean | Promise<boolean>,
  signal?: AbortSignal,
): Promise<boolean> {
  const deadline = performance.now() + limitMs;
  for (;;) {
    signal?.throwIfAborted();
    if (await ask()) return true;
    if (performance.now() > deadline) return false;
    await sleep(EVERY_MS);
  }
}
