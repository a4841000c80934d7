import {readFile} from 'node:fs/promises';

/** What a process has used. */
export interface ProcessUsage {
  readonly cpuSeconds: number;
  readonly residentBytes: number;
}

/** The kernel counts in these towards programs, on every architecture that Node.js runs on (USER_HZ). */
const TICKS_PER_SECOND = 100;

/** Of a process of this machine; undefined when it is gone, or where there is no /proc. See proc(5). */
export async function processUsage(pid: number): Promise<ProcessUsage | undefined> {
  try {
    const [stat, status] = await Promise.all([
      readFile(`/proc/${pid}/stat`, 'latin1'),
      readFile(`/proc/${pid}/status`, 'latin1'),
    ]);
    return parseUsage(stat, status);
  } catch {
    return undefined;
  }
}

/** The name of the process stands in parentheses and may contain some itself, so fields are counted from the last one. */
export function parseUsage(stat: string, status: string): ProcessUsage | undefined {
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const kilobytes = /^VmRSS:\s+(\d+) kB$/m.exec(status)?.[1];
  if (kilobytes === undefined) return undefined;
  return {
    cpuSeconds: (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND,
    residentBytes: Number(kilobytes) * 1024,
  };
}
