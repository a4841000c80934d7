import type {Benchmark} from './benchmark.ts';
import {limitOf, prepareBacklog, readAllBack} from './catch-up.ts';
import {House, type Fleet} from './house.ts';
import {parseLsn} from './progress-watch.ts';
import {expectedOf} from './read-back.ts';
import {phasesNote, summary, toRun, type Measured, type Run} from './result.ts';
import {ORDERS} from './table.ts';
import {writeBacklog, type Backlog} from './workload.ts';

/**
 * W10: everything is killed while a worker has just begun with a log that is long (the rows unless told otherwise make 1 GiB), and started again. Measured
 * from the start command until a reader of committed records can see the last change: recovery, migrations, the lease, the opening of the
 * target and the start of every process count, and so does all that the processes use from their birth on.
 */
export const restart: Benchmark = {
  rows: 3_500_000,
  runs: 5,
  async run({profileDirectory, ...options}) {
    await using house = await House.open(profileDirectory);
    const backlogOptions = {...options, name: 'restart', tables: [ORDERS], write: writeBacklog};
    const {before, backlog, fleets} = await prepareBacklog(house, backlogOptions);
    const expected = [await expectedOf(await house.sluice.engineUrl(), ORDERS)];
    const measured: Run[] = [];
    for (const [at, fleet] of fleets.entries()) {
      const limit = await limitOf(house, {name: 'restart', run: at + 1, fleet, backlog});
      const ours = await restartOnce(house, fleet, backlog);
      await readAllBack(house, fleet, {before, changes: backlog.changesOfTable, expected});
      const run = toRun({
        rows: backlog.changes,
        limitSeconds: backlog.changes / limit.rows_per_s,
        ...ours,
        peers: {pg_recvlogical: limit},
      });
      options.say(`run ${at + 1}: ${JSON.stringify(run)}, all messages read back and equal`);
      measured.push(run);
    }
    return {
      name: 'restart',
      rows: backlog.changes,
      ...summary(measured),
      runs: measured,
      note: phasesNote(measured),
      facts: {log_mib: Math.round(backlog.logBytes / 2 ** 20), partitions: 3, limit: 'pg_recvlogical'},
    };
  },
};

async function restartOnce(
  house: House,
  fleet: Fleet,
  backlog: Backlog,
): Promise<Omit<Measured, 'rows' | 'limitSeconds'>> {
  await house.resume(fleet);
  const commitsBefore = house.commits(fleet);
  const {from, ready} = await house.restart();
  const pid = await house.workerPid();
  const watch = await house.watch(pid);
  const end = await house.untilLevel(fleet, parseLsn(backlog.last), 600_000);
  watch.stop();
  const reading = await house.readingSince(pid);
  const commits = house.commits(fleet) - commitsBefore;
  await house.pause(fleet);
  return {
    seconds: (end - from) / 1000,
    ...watch.usedSinceBirth(from, end),
    commits,
    phases: {ready_s: (ready - from) / 1000, reading_s: (reading - from) / 1000, level_s: (end - from) / 1000},
  };
}
