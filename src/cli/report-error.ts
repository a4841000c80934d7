import {withoutPassword} from '../base/log.ts';

/** What a person sees when a command fails: message, DETAIL and HINT as psql shows them; a stack only where it is our own fault. */
export function describeFailure(error: unknown): string {
  // Ours, PostgreSQL's and those of system calls carry a code; only the first two say more than their message.
  if (error instanceof Error && 'code' in error) {
    const {detail, hint} = error as {detail?: unknown; hint?: unknown};
    const lines = [`sluice: ${error.message}`];
    if (typeof detail === 'string') lines.push(`DETAIL:  ${detail}`);
    if (typeof hint === 'string') lines.push(`HINT:  ${hint}`);
    return withoutPassword(`${lines.join('\n')}\n`);
  }
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return withoutPassword(`sluice: ${text}\n`);
}
