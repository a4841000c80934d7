import type {Benchmark} from './benchmark.ts';
import {House, type Fleet} from './house.ts';
import {JAVA} from './java.ts';
import {copyToNowhere} from './limits.ts';
import {produceFromJava} from './producer-performance.ts';
import {expectedOf, readBack} from './read-back.ts';
import {phasesNote, summary, toRun, type Measured, type Run} from './result.ts';
import {ORDERS} from './table.ts';
import {bytesPerRow, createTable} from './workload.ts';

/**
 * W5: a new sink of a full table. Measured from CREATE CLUSTER until a reader of committed records can see that the snapshot is whole: the
 * start of the worker, slot, publication and topics are included, and said by themselves. The limit is the smaller of what PostgreSQL can
 * read and what the broker can take.
 */
export const snapshot: Benchmark = {
  rows: 10_000_000,
  runs: 5,
  async run({rows, runs, profileDirectory, say}) {
    await using house = await House.open(profileDirectory);
    await createTable(house.client, ORDERS, rows);
    await house.engine.query('VACUUM (FREEZE, ANALYZE) orders');
    await house.engine.query('CHECKPOINT');
    const url = await house.sluice.engineUrl();
    const expected = await expectedOf(url, ORDERS);
    const measured: Run[] = [];
    for (let number = 1; number <= runs; number++) {
      const servers = await house.servers();
      const copy = await copyToNowhere({url, table: ORDERS.name, rows, servers});
      const {fleet, ...ours} = await snapshotOnce(house, `run_${number}`);
      await readBack({broker: house.kafka.address, topic: fleet.sinks[0].topic, messages: rows, expected});
      const java = await produceFromJava({house, table: ORDERS, number, messages: rows});
      const run = toRun({
        rows,
        limitSeconds: rows / Math.min(copy.rows_per_s, java.rows_per_s),
        ...ours,
        peers: {'COPY (FORMAT binary)': copy, ProducerPerformance: java},
      });
      say(`run ${number}: ${JSON.stringify(run)}, all ${rows} messages read back and equal`);
      measured.push(run);
    }
    return {
      name: 'snapshot',
      rows,
      ...summary(measured),
      runs: measured,
      note: phasesNote(measured),
      facts: {
        bytes_per_row: await bytesPerRow(house.engine, ORDERS),
        partitions: 3,
        limit: 'the smaller of COPY (FORMAT binary) and ProducerPerformance',
        java: JAVA.join(' '),
      },
    };
  },
};

async function snapshotOnce(
  house: House,
  name: string,
): Promise<Omit<Measured, 'rows' | 'limitSeconds'> & {fleet: Fleet}> {
  const from = Date.now();
  const fleet = await house.createFleet(name, [ORDERS]);
  const watch = await house.watch(await house.workerPid());
  const [{id}] = fleet.sinks;
  const end = await house.progress.until(id, 900_000, p => p.snapshotDone);
  watch.stop();
  await house.pause(fleet);
  // The first commit of a sink has no data: with it the target is open, and the snapshot can begin.
  const opened = await house.progress.until(id, 1000, () => true);
  return {
    fleet,
    seconds: (end.at - from) / 1000,
    ...watch.used(from, end.at),
    commits: house.commits(fleet),
    phases: {start_s: (opened.at - from) / 1000, rows_s: (end.at - opened.at) / 1000},
  };
}
