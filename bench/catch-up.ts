import type {Benchmark, BenchmarkOptions} from './benchmark.ts';
import {DebeziumPeer} from './debezium.ts';
import {House, type Fleet} from './house.ts';
import {JAVA} from './java.ts';
import {receiveToNowhere} from './limits.ts';
import {produceFromJava} from './producer-performance.ts';
import {parseLsn} from './progress-watch.ts';
import {expectedOf, readBack, type Expected} from './read-back.ts';
import {summary, toRun, type Figures, type Measured, type Result, type Run} from './result.ts';
import {ORDERS, type BenchTable} from './table.ts';
import {bytesPerRow, createTable, writeBacklog, writeTransaction, type Backlog, type WriteBacklog} from './workload.ts';

/**
 * W1: everything is in the log beforehand, and a worker that has just been started catches up. Measured from the moment at which it
 * begins to read the stream until a reader of committed records can see the last change; the start of the process and the opening of the
 * target come before that and do not count, the warming up of its code does. Each run has a slot and a topic of its own over the
 * same log, and so has pg_recvlogical, in turns with us.
 */
export const catchUp: Benchmark = {
  rows: 2_000_000,
  runs: 5,
  run: options => ofOrders('catch-up', writeBacklog, options, {rows_per_transaction: 100, mix: '70/20/10'}),
};

/** W4: the same with a single transaction of new rows, which the server streams before its commit and which does not fit into memory. */
export const largeTransaction: Benchmark = {
  rows: 5_000_000,
  runs: 5,
  run: options => ofOrders('large-transaction', writeTransaction, options, {rows_per_transaction: options.rows}),
};

async function ofOrders(
  name: string,
  write: WriteBacklog,
  options: BenchmarkOptions,
  facts: Result['facts'],
): Promise<Result> {
  await using house = await House.open(options.profileDirectory);
  const {backlog, runs} = await measureCatchUp(house, {...options, name: 'run', tables: [ORDERS], write});
  return {
    name,
    rows: backlog.changes,
    ...summary(runs),
    runs,
    facts: {
      bytes_per_row: await bytesPerRow(house.engine, ORDERS),
      log_mib: Math.round(backlog.logBytes / 2 ** 20),
      ...facts,
      partitions: 3,
      limit: 'pg_recvlogical',
      java: JAVA.join(' '),
    },
  };
}

export interface CatchUp extends Omit<BenchmarkOptions, 'profileDirectory'> {
  /** Of this measurement, among those in one house: for names of clusters and slots. */
  readonly name: string;
  /** Not there yet. Each has a sink of its own, all in one cluster. */
  readonly tables: readonly BenchTable[];
  readonly write: WriteBacklog;
}

/** Makes the tables and their sinks, fills the log, and lets everybody catch up with it in turns. */
export async function measureCatchUp(house: House, options: CatchUp): Promise<{backlog: Backlog; runs: Run[]}> {
  const {tables, say} = options;
  await using debezium = options.peers ? await DebeziumPeer.open(house, options) : undefined;
  const {before, backlog, fleets} = await prepareBacklog(house, options);
  const url = await house.sluice.engineUrl();
  const expected = await Promise.all(tables.map(table => expectedOf(url, table)));
  const topics = {before, changes: backlog.changesOfTable, expected};
  const measured: Run[] = [];
  for (const [at, fleet] of fleets.entries()) {
    const number = at + 1;
    const limit = await limitOf(house, {name: options.name, run: number, fleet, backlog});
    const ours = await catchUpOnce(house, fleet, backlog);
    await readAllBack(house, fleet, topics);
    const peers: Record<string, Figures> = {pg_recvlogical: limit};
    if (debezium !== undefined) {
      const java = {house, table: tables[0], number, messages: backlog.changes};
      peers['ProducerPerformance'] = await produceFromJava(java);
      peers['Kafka Connect + Debezium'] = await debezium.run(number);
    }
    const run = toRun({rows: backlog.changes, limitSeconds: backlog.changes / limit.rows_per_s, ...ours, peers});
    say(`${options.name} ${number}: ${JSON.stringify(run)}, all messages read back and equal`);
    measured.push(run);
  }
  for (const fleet of fleets) await house.drop(fleet);
  return {backlog, runs: measured};
}

interface Prepared {
  /** Rows of each table before its sinks. */
  readonly before: number;
  readonly backlog: Backlog;
  /** One for each run: paused, with everything of the backlog before them. */
  readonly fleets: readonly Fleet[];
}

/** Also leaves a slot for pg_recvlogical for each run, made at the same moment as the sinks'. */
export async function prepareBacklog(house: House, options: Omit<CatchUp, 'peers'>): Promise<Prepared> {
  const {name, tables, write, rows, runs, say} = options;
  let before = 0;
  for (const table of tables) before = await createTable(house.client, table);
  const fleets: Fleet[] = [];
  for (let run = 1; run <= runs; run++) {
    const fleet = await house.createFleet(`${name}_${run}`, tables);
    await house.untilRunning(fleet);
    await house.pause(fleet);
    await house.engine.query(`SELECT pg_create_logical_replication_slot('${limitSlot(name, run)}', 'pgoutput')`);
    fleets.push(fleet);
  }
  const startedAt = performance.now();
  const backlog = await write(house.engine, tables, rows);
  const seconds = Math.round((performance.now() - startedAt) / 100) / 10;
  say(`${name}: ${backlog.changes} changes, ${Math.round(backlog.logBytes / 2 ** 20)} MiB of log, in ${seconds} s`);
  return {before, backlog, fleets};
}

/** Lets pg_recvlogical read the backlog, from the slot that `prepareBacklog` has left for the run. */
export async function limitOf(
  house: House,
  {
    name,
    run,
    fleet,
    backlog,
  }: {readonly name: string; readonly run: number; readonly fleet: Fleet; readonly backlog: Backlog},
): Promise<Figures> {
  const slot = limitSlot(name, run);
  const limit = await receiveToNowhere({
    url: await house.sluice.engineUrl(),
    slot,
    publication: fleet.publication,
    end: backlog.end,
    rows: backlog.changes,
    servers: await house.servers(),
  });
  // It would hold the log for ever.
  await house.engine.query('SELECT pg_drop_replication_slot($1)', [slot]);
  return limit;
}

function limitSlot(name: string, run: number): string {
  return `limit_${name}_${run}`;
}

export interface Topics {
  /** Messages of a topic's snapshot and of the changes after it. */
  readonly before: number;
  readonly changes: number;
  /** In the order of the fleet's sinks. */
  readonly expected: readonly Expected[];
}

export async function readAllBack(house: House, fleet: Fleet, {before, changes, expected}: Topics): Promise<void> {
  for (const [at, {topic}] of fleet.sinks.entries()) {
    const messages = before + changes;
    await readBack({broker: house.kafka.address, topic, messages, expected: expected[at]});
  }
}

async function catchUpOnce(
  house: House,
  fleet: Fleet,
  backlog: Backlog,
): Promise<Omit<Measured, 'rows' | 'limitSeconds'>> {
  const commitsBefore = house.commits(fleet);
  const pid = await house.resume(fleet);
  const watch = await house.watch(pid);
  const end = await house.untilLevel(fleet, parseLsn(backlog.last), 600_000);
  watch.stop();
  const from = await house.readingSince(pid);
  const commits = house.commits(fleet) - commitsBefore;
  await house.pause(fleet);
  return {seconds: (end - from) / 1000, ...watch.used(from, end), commits};
}
