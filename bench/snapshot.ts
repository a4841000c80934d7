import type {Benchmark} from './benchmark.ts';
import {House, type Sink} from './house.ts';
import {copyToNowhere} from './limits.ts';
import {readBack} from './read-back.ts';
import {summary, toRun, type Measured, type Run} from './result.ts';
import {Usage} from './usage.ts';
import {bytesPerRow, createTable} from './workload.ts';

/**
 * W5: a new sink of a full table. Measured from CREATE CLUSTER until a reader of committed records can see that the snapshot is whole: the
 * start of the worker, slot, publication and topics are included.
 */
export const snapshot: Benchmark = {
  rows: 10_000_000,
  runs: 3,
  async run({rows, runs, profileDirectory, say}) {
    await using house = await House.open(profileDirectory);
    await createTable(house.client, rows);
    await house.engine.query('VACUUM (FREEZE, ANALYZE) orders');
    await house.engine.query('CHECKPOINT');
    const url = await house.sluice.engineUrl();
    const measured: Run[] = [];
    for (let number = 1; number <= runs; number++) {
      const limitSeconds = await copyToNowhere(url, 'orders');
      const ours = await snapshotOnce(house, `run_${number}`);
      await readBack({broker: house.kafka.address, topic: ours.sink.topic, messages: rows, url});
      const run = toRun({rows, limitSeconds, ...ours});
      say(`run ${number}: ${JSON.stringify(run)}, all ${rows} messages read back and equal`);
      measured.push(run);
    }
    return {
      name: 'snapshot',
      rows,
      ...summary(measured),
      runs: measured,
      facts: {bytes_per_row: await bytesPerRow(house.engine), partitions: 3, limit: 'COPY (FORMAT binary)'},
    };
  },
};

async function snapshotOnce(
  house: House,
  name: string,
): Promise<Omit<Measured, 'rows' | 'limitSeconds'> & {sink: Sink}> {
  const from = Date.now();
  const sink: Sink = await house.createSink(name);
  const usage = new Usage(await house.workerPid());
  const end = await house.progress.until(sink.id, 900_000, p => p.snapshotDone);
  usage.stop();
  await house.pause(sink);
  return {
    sink,
    seconds: (end.at - from) / 1000,
    cpuSeconds: usage.cpuSeconds(from, end.at),
    peakRssMib: usage.peakRssMib,
    threads: usage.threads(from, end.at),
    commits: house.progress.commits(sink.id),
  };
}
