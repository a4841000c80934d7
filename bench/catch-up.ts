import {poll} from '../scripts/process/poll.ts';
import type {Benchmark, BenchmarkOptions} from './benchmark.ts';
import {House, type Sink} from './house.ts';
import {receiveToNowhere} from './limits.ts';
import {parseLsn} from './progress-watch.ts';
import {readBack} from './read-back.ts';
import {summary, toRun, type Measured, type Result, type Run} from './result.ts';
import {Usage} from './usage.ts';
import {bytesPerRow, createTable, writeBacklog, writeTransaction, type Backlog} from './workload.ts';

/**
 * W1: everything is in the log beforehand, and a worker that has just been started catches up. Measured from the moment at which it
 * begins to read the stream until a reader of committed records can see the last change; the start of the process and the opening of the
 * target come before that and do not count, the warming up of its code does. Each run has a slot and a topic of its own over the
 * same log, and so has pg_recvlogical, in turns with us.
 */
export const catchUp: Benchmark = {
  rows: 2_000_000,
  runs: 3,
  run: options => catchUpWith('catch-up', writeBacklog, options, {rows_per_transaction: 100, mix: '70/20/10'}),
};

/** W4: the same with a single transaction of new rows, which the server streams before its commit and which does not fit into memory. */
export const largeTransaction: Benchmark = {
  rows: 5_000_000,
  runs: 3,
  run: options => catchUpWith('large-transaction', writeTransaction, options, {rows_per_transaction: options.rows}),
};

async function catchUpWith(
  name: string,
  write: typeof writeBacklog,
  {rows, runs, profileDirectory, say}: BenchmarkOptions,
  facts: Result['facts'],
): Promise<Result> {
  await using house = await House.open(profileDirectory);
  const before = await createTable(house.client);
  const sinks: Sink[] = [];
  for (let run = 1; run <= runs; run++) {
    const sink = await house.createSink(`run_${run}`);
    await poll('the sink to run', 60_000, () => house.isRunning(sink));
    await house.progress.until(sink.id, 30_000, p => p.snapshotDone);
    await house.pause(sink);
    await house.engine.query(`SELECT pg_create_logical_replication_slot('limit_${run}', 'pgoutput')`);
    sinks.push(sink);
  }
  const startedAt = performance.now();
  const backlog = await write(house.engine, rows);
  const row = await bytesPerRow(house.engine);
  say(`${backlog.changes} changes of rows of ${row} bytes written in ${Math.round(performance.now() - startedAt)} ms`);

  const url = await house.sluice.engineUrl();
  const measured: Run[] = [];
  for (const [at, sink] of sinks.entries()) {
    const limitSeconds = await receiveToNowhere({
      url,
      slot: `limit_${at + 1}`,
      publication: sink.publication,
      end: backlog.end,
    });
    const ours = await catchUpOnce(house, sink, backlog);
    await readBack({broker: house.kafka.address, topic: sink.topic, messages: before + backlog.changes, url});
    const run = toRun({rows: backlog.changes, limitSeconds, ...ours});
    say(`run ${at + 1}: ${JSON.stringify(run)}, all ${before + backlog.changes} messages read back and equal`);
    measured.push(run);
  }
  return {
    name,
    rows: backlog.changes,
    ...summary(measured),
    runs: measured,
    facts: {bytes_per_row: row, ...facts, partitions: 3, limit: 'pg_recvlogical'},
  };
}

async function catchUpOnce(
  house: House,
  sink: Sink,
  backlog: Backlog,
): Promise<Omit<Measured, 'rows' | 'limitSeconds'>> {
  const commitsBefore = house.progress.commits(sink.id);
  const pid = await house.resume(sink);
  const usage = new Usage(pid);
  const last = parseLsn(backlog.last);
  const end = await house.progress.until(sink.id, 600_000, p => p.lsn > last);
  usage.stop();
  const from = await house.readingSince(pid);
  const commits = house.progress.commits(sink.id) - commitsBefore;
  await house.pause(sink);
  return {
    seconds: (end.at - from) / 1000,
    cpuSeconds: usage.cpuSeconds(from, end.at),
    peakRssMib: usage.peakRssMib,
    threads: usage.threads(from, end.at),
    commits,
  };
}
