import {existsSync, readFileSync} from 'node:fs';
import {expect, test} from 'vitest';
import {poll} from '../../scripts/process/poll.ts';
import {SluiceProcess} from '../crash/sluice-process.ts';

// Where scripts/setup could install it, it has to be there.
const installed = existsSync('/etc/debian_version') && process.getuid?.() === 0;

test.runIf(installed)('workers have jemalloc, and only they', async () => {
  await using sluice = await SluiceProcess.create();
  await sluice.start();
  const maps = (pid: number): string => readFileSync(`/proc/${pid}/maps`, 'utf8');
  const [worker] = await poll('a worker', 60_000, async () => {
    const pids = await sluice.workerPids();
    return pids.length > 0 && pids;
  });
  await poll('its libraries', 60_000, () => maps(worker).includes('libc.so'));
  expect(maps(worker)).toContain('libjemalloc.so.2');
  expect(maps(sluice.pid)).not.toContain('libjemalloc');
});
