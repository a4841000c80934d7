import {setTimeout as sleep} from 'node:timers/promises';
import {SqlError} from '../base/sql-error.ts';
import {tuned} from '../base/tuning.ts';

/** After so long a connection counts as dead, although nobody has said so: a machine or a network between has forgotten it. */
export const DEAD_MS = tuned({deadMs: 30_000}).deadMs;

export const noAnswer = (ms: number): SqlError =>
  new SqlError('08006', `PostgreSQL has not answered for ${ms / 1000} s`);

/** What PostgreSQL answers; 08006 when it does not, the signal's reason when that is aborted. */
export async function answerWithin<T>(ms: number, answer: Promise<T>, signal?: AbortSignal): Promise<T> {
  const answered = new AbortController();
  const signals = signal === undefined ? [answered.signal] : [answered.signal, signal];
  const silence = sleep(ms, undefined, {signal: AbortSignal.any(signals)}).then(() => {
    throw noAnswer(ms);
  });
  // Whichever comes second has nobody who listens.
  silence.catch(() => undefined);
  answer.catch(() => undefined);
  try {
    return await Promise.race([answer, silence]);
  } finally {
    answered.abort();
  }
}
