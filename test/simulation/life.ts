import type {Clock} from '../../src/base/clock.ts';
import type {Time} from './time.ts';

/**
 * One process. Whatever comes in from outside comes in through `run`: a dead process hears nothing any more, a paused one hears
 * it when it goes on, late and all at once. What it has sent is on its way all the same.
 */
export class Life {
  readonly name: string;
  readonly time: Time;
  readonly clock: Clock;
  #state: 'running' | 'paused' | 'dead' = 'running';
  #held: (() => void)[] = [];

  constructor(name: string, time: Time) {
    this.name = name;
    this.time = time;
    this.clock = {
      now: time.now,
      sleep: (ms, signal) => this.#sleep(ms, signal),
      turn: () => this.#sleep(0),
    };
  }

  get isDead(): boolean {
    return this.#state === 'dead';
  }

  get isPaused(): boolean {
    return this.#state === 'paused';
  }

  run(act: () => void): void {
    if (this.#state === 'paused') this.#held.push(act);
    else if (this.#state === 'running') {
      this.time.touch();
      act();
    }
  }

  after(ms: number, act: () => void): () => void {
    return this.time.after(ms, () => this.run(act));
  }

  /** Every so many milliseconds until the process is dead. */
  every(ms: number, act: () => void): void {
    this.after(ms, () => {
      act();
      this.every(ms, act);
    });
  }

  kill(): void {
    this.#state = 'dead';
    this.#held = [];
  }

  pause(): void {
    if (this.#state === 'running') this.#state = 'paused';
  }

  resume(): void {
    if (this.#state !== 'paused') return;
    this.#state = 'running';
    // One after the other, as an event loop has them: each may set something going.
    for (const act of this.#held.splice(0)) this.after(0, act);
  }

  #sleep(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) {
        reject(new Error('aborted'));
        return;
      }
      const abort = (): void => {
        forget();
        reject(new Error('aborted'));
      };
      const forget = this.after(ms, () => {
        signal?.removeEventListener('abort', abort);
        resolve();
      });
      signal?.addEventListener('abort', abort, {once: true});
    });
  }
}
