import {CommitUnknown, Fenced, isTransient, Stall, Transient} from './errors.ts';

/** What the loop does about an error. What nobody classified stalls: a guess could lose or double a row. */
export type Reaction = 'askLease' | 'reopen' | 'retry' | 'stall';

export function reaction(error: unknown): Reaction {
  if (error instanceof Fenced) return 'askLease';
  if (error instanceof CommitUnknown) return 'reopen';
  if (isTransient(error)) return 'retry';
  return 'stall';
}

export interface Explanation {
  readonly error: string;
  readonly details: {readonly retrying: boolean; readonly hints: readonly string[]; readonly code?: string | undefined};
}

/** What `mz_sink_statuses` shows for an error: its message with the chain of causes, and what to do. */
export function explain(error: unknown): Explanation {
  const retrying = reaction(error) !== 'stall';
  const hints: string[] = [];
  if ((error instanceof Stall || error instanceof Transient) && error.hint !== undefined) hints.push(error.hint);
  const messages: string[] = [];
  for (let at: unknown = error; at instanceof Error && messages.length < 5; at = at.cause) {
    if (at.message !== '' && !messages.includes(at.message)) messages.push(at.message);
  }
  return {
    error: messages.length > 0 ? messages.join(': ') : String(error),
    details: {retrying, hints, code: error instanceof Stall ? error.code : undefined},
  };
}

/** Exponential, from 100 ms to 30 s, with half of it random so that many sinks do not come back at once. */
export function backOffMs(attempt: number, random: () => number): number {
  const full = Math.min(30_000, 100 * 2 ** Math.min(attempt, 20));
  return full / 2 + (random() * full) / 2;
}
