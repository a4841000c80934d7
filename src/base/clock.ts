import {setImmediate, setTimeout} from 'node:timers/promises';

/** Time as an argument, so that a test or a simulation can hold it. */
export interface Clock {
  /** Milliseconds since some moment; never goes back. */
  readonly now: () => number;
  /** Rejects when the signal is aborted. */
  sleep(ms: number, signal?: AbortSignal): Promise<void>;
  /** Lets everything run that waits for the event loop: timers, sockets, other sinks. */
  turn(): Promise<void>;
}

export const systemClock: Clock = {
  now: () => performance.now(),
  sleep: (ms, signal) => setTimeout(ms, undefined, {signal}),
  turn: () => setImmediate(),
};
