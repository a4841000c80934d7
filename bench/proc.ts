import {readFileSync} from 'node:fs';

/** `getconf CLK_TCK`; 100 on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;

/** Undefined when the process or thread has ended. */
export function readProc(path: string): string | undefined {
  return ifThere(() => readFileSync(`/proc/${path}`, 'utf8'));
}

export function ifThere<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    const {code} = error as NodeJS.ErrnoException;
    if (code === 'ENOENT' || code === 'ESRCH') return undefined;
    throw error;
  }
}

/** User and system time of all threads. Undefined when the process has ended. */
export function cpuSecondsOf(pid: number): number | undefined {
  const times = cpuTimes(pid);
  return times && times.own;
}

/** Of a process, its living children, and those that it has seen end. */
export function cpuSecondsOfFamily(pid: number): number | undefined {
  // Children first: one that ends in between is then counted twice for a moment rather than not at all.
  const children = (readProc(`${pid}/task/${pid}/children`) ?? '').split(' ').filter(Boolean).map(Number);
  const living = children.map(child => cpuSecondsOf(child) ?? 0).reduce((a, b) => a + b, 0);
  const times = cpuTimes(pid);
  return times && times.own + times.ended + living;
}

function cpuTimes(pid: number): {own: number; ended: number} | undefined {
  const stat = readProc(`${pid}/stat`);
  if (stat === undefined) return undefined;
  // Behind the name of the command, which may hold anything; utime, stime, cutime and cstime are the 14th to 17th field.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const [user, system, endedUser, endedSystem] = fields.slice(11, 15).map(Number);
  return {own: (user + system) / TICKS_PER_SECOND, ended: (endedUser + endedSystem) / TICKS_PER_SECOND};
}
