import fs from 'node:fs';

/** Threads of native/stream-reader.c in this process. */
export const readersRunning = (): number =>
  fs.readdirSync('/proc/self/task').filter(task => {
    try {
      return fs.readFileSync(`/proc/self/task/${task}/comm`, 'utf8').trim() === 'stream-reader';
    } catch {
      // It has ended since.
      return false;
    }
  }).length;
