import fs from 'node:fs';

/** The letter of proc_pid_stat(5): `R`, `S`, `T` (stopped), `Z` (ended, not collected yet). Undefined where that cannot be known. */
export function processState(pid: number): string | undefined {
  try {
    const stat = fs.readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The name in parentheses may contain anything; the state follows the last one.
    return stat.slice(stat.lastIndexOf(')') + 2)[0];
  } catch {
    return undefined;
  }
}
