import {errorCode} from '../engine/connection-errors.ts';
import {CommitUnknown, Fenced, isTransient, Stall} from './errors.ts';

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
  const hints = new Set<string>();
  const messages = new Set<string>();
  for (let at: unknown = error, depth = 0; at instanceof Error && depth < 5; at = at.cause, depth++) {
    const {detail, hint} = fieldsOf(at);
    if (at.message !== '') messages.add(detail === undefined ? at.message : `${at.message} (${detail})`);
    if (hint !== undefined) hints.add(hint);
  }
  return {
    error: messages.size > 0 ? [...messages].join(': ') : String(error),
    details: {retrying, hints: [...hints], code: retrying ? undefined : codeOf(error)},
  };
}

/** Of our own errors and of PostgreSQL's. */
function fieldsOf(error: Error): {detail: string | undefined; hint: string | undefined} {
  const text = (value: unknown) => (typeof value === 'string' && value !== '' ? value : undefined);
  const {detail, hint} = error as {detail?: unknown; hint?: unknown};
  return {detail: text(detail), hint: text(hint)};
}

/** SL200: PostgreSQL has refused something. SL900: nobody has thought of it. */
function codeOf(error: unknown): string {
  if (error instanceof Stall) return error.code;
  return /^[0-9A-Z]{5}$/.test(errorCode(error) ?? '') ? 'SL200' : 'SL900';
}

/** Exponential, from 100 ms to 30 s, with half of it random so that many sinks do not come back at once. */
export function backOffMs(attempt: number, random: () => number): number {
  const full = Math.min(30_000, 100 * 2 ** Math.min(attempt, 20));
  return full / 2 + (random() * full) / 2;
}
