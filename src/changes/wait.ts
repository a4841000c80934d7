import {setTimeout as sleep} from 'node:timers/promises';

/**
 * Asks `condition` until it holds, with pauses that grow from 5 to 200 ms. False when `limitMs` have passed without; throws what
 * `condition` throws, and the signal's reason when that is aborted.
 */
export async function sleepUntil(
  limitMs: number,
  condition: () => Promise<boolean>,
  signal?: AbortSignal,
): Promise<boolean> {
  const deadline = performance.now() + limitMs;
  for (let pauseMs = 5; ; pauseMs = Math.min(200, pauseMs * 1.5)) {
    signal?.throwIfAborted();
    if (await condition()) return true;
    if (performance.now() >= deadline) return false;
    await sleep(pauseMs, undefined, {signal}).catch(() => undefined);
  }
}
