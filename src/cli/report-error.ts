import {withoutPassword} from '../base/log.ts';
import {SqlError} from '../base/sql-error.ts';

/** What a person sees when a command fails: message, DETAIL and HINT as psql shows them; a stack only where it is our own fault. */
export function describeFailure(error: unknown): string {
  if (error instanceof SqlError) {
    const lines = [`sluice: ${error.message}`];
    if (error.detail !== undefined) lines.push(`DETAIL:  ${error.detail}`);
    if (error.hint !== undefined) lines.push(`HINT:  ${error.hint}`);
    return withoutPassword(`${lines.join('\n')}\n`);
  }
  // Errors of system calls and of PostgreSQL carry a code and say all in one line.
  if (error instanceof Error && 'code' in error) return withoutPassword(`sluice: ${error.message}\n`);
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return withoutPassword(`sluice: ${text}\n`);
}
