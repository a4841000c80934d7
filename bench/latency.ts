import pg from 'pg';
import {poll} from '../scripts/process/poll.ts';
import type {Benchmark} from './benchmark.ts';
import {followTopic} from './follow-topic.ts';
import {House, type Fleet} from './house.ts';
import {expectedOf, readBack} from './read-back.ts';
import {hundredths, summary, toRun, type Run} from './result.ts';
import {ORDERS} from './table.ts';
import {createTable, insertRows} from './workload.ts';

const CHANGES_PER_SECOND = 10_000;
/** A transaction has so many changes, and one begins every `ROWS / CHANGES_PER_SECOND` seconds. */
const ROWS = 20;
/** Connections that take the transactions in turns, so that one slow commit does not hold the next ones back. */
const WRITERS = 4;
/** Not counted: code that has not been compiled yet, and topics that are new. */
const WARM_UP_MS = 5000;

/**
 * W2: a writer commits at a fixed pace, and a reader of committed records notes when it sees the last row of each transaction. A latency
 * runs from the moment at which the transaction was *due*, whether the writer was on time or not, so that a stall counts for everything
 * that it has held up.
 */
export const latency: Benchmark = {
  rows: 300_000,
  runs: 5,
  async run({rows, runs, profileDirectory, say}) {
    await using house = await House.open(profileDirectory);
    let next = await createTable(house.client, ORDERS);
    const transactions = Math.ceil(rows / ROWS);
    const measured: Run[] = [];
    const figures: Record<string, number>[] = [];
    // The first does not count: the broker compiles its code in it, which takes a fifth of a core from everybody else.
    for (let number = 0; number <= runs; number++) {
      const fleet = await house.createFleet(`run_${number}`, [ORDERS]);
      await house.untilRunning(fleet);
      const once = await measureOnce(house, fleet, next, transactions);
      next += transactions * ROWS;
      await house.pause(fleet);
      const [{topic}] = fleet.sinks;
      const expected = await expectedOf(await house.sluice.engineUrl(), ORDERS);
      await readBack({broker: house.kafka.address, topic, messages: next, expected});
      await house.drop(fleet);
      say(`run ${number}: ${JSON.stringify(once.latencies)}, all ${next} messages read back and equal`);
      if (number === 0) continue;
      measured.push(once.run);
      figures.push(once.latencies);
    }
    const middle = figures.toSorted((a, b) => a['p99_ms'] - b['p99_ms'])[Math.floor(runs / 2)];
    return {
      name: 'latency',
      rows: transactions * ROWS,
      ...summary(measured),
      runs: measured,
      note: `p50 ${middle['p50_ms']} ms, p99 ${middle['p99_ms']} ms, p99.9 ${middle['p999_ms']} ms`,
      facts: {
        changes_per_s: CHANGES_PER_SECOND,
        rows_per_transaction: ROWS,
        partitions: 3,
        commit_interval_ms: 100,
        limit: 'the pace of the writer',
        ...middle,
        ...Object.fromEntries(figures.map((each, at) => [`p99_ms of run ${at + 1}`, each['p99_ms']])),
      },
    };
  },
};

async function measureOnce(
  house: House,
  fleet: Fleet,
  firstId: number,
  transactions: number,
): Promise<{run: Run; latencies: Record<string, number>}> {
  const seen = new Map<number, number>();
  // A key is {"id":4711}: to parse it as JSON takes from the measured more than they can spare.
  const reader = followTopic(house.kafka.address, fleet.sinks[0].topic, '%k', (key, at) =>
    seen.set(Number(key.slice('{"id":'.length, -1)), at),
  );
  const writers = await Promise.all(Array.from({length: WRITERS}, () => connect(house)));
  // The rows of earlier runs are in the topic too, and to read them takes a moment.
  await poll('the earlier rows in the topic', 120_000, () => seen.size >= firstId);
  const watch = await house.watch(await house.workerPid());
  const commitsBefore = house.commits(fleet);
  const startAt = Date.now() + 100;
  const due = (transaction: number): number => startAt + (transaction * ROWS * 1000) / CHANGES_PER_SECOND;
  const lastId = (transaction: number): number => firstId + (transaction + 1) * ROWS - 1;
  try {
    await Promise.all(
      writers.map(async (writer, at) => {
        for (let transaction = at; transaction < transactions; transaction += WRITERS) {
          const early = due(transaction) - Date.now();
          if (early > 0) await new Promise(resolve => setTimeout(resolve, early));
          await insertRows(writer, ORDERS, firstId + transaction * ROWS, ROWS);
        }
      }),
    );
    await poll('all rows in the topic', 120_000, () => seen.size >= firstId + transactions * ROWS);
  } finally {
    reader.kill();
    await Promise.all(writers.map(writer => writer.end()));
  }
  watch.stop();
  const end = Date.now();
  const latencies: number[] = [];
  for (let transaction = 0; transaction < transactions; transaction++) {
    const at = seen.get(lastId(transaction));
    if (at === undefined) throw new Error(`transaction ${transaction} never became visible`);
    if (due(transaction) - startAt >= WARM_UP_MS) latencies.push(at - due(transaction));
  }
  latencies.sort((a, b) => a - b);
  if (latencies.length === 0) throw new Error('too few rows: everything is warming up');
  const at = (share: number): number =>
    Math.round(latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * share))]);
  const seconds = (end - startAt) / 1000;
  const rows = transactions * ROWS;
  return {
    run: toRun({
      rows,
      limitSeconds: rows / CHANGES_PER_SECOND,
      seconds,
      ...watch.used(startAt, end),
      commits: house.commits(fleet) - commitsBefore,
    }),
    latencies: {
      p50_ms: at(0.5),
      p99_ms: at(0.99),
      p999_ms: at(0.999),
      max_ms: Math.round(latencies.at(-1)!),
      changes_per_s_reached: hundredths(rows / seconds),
    },
  };
}

async function connect(house: House): Promise<pg.Client> {
  const client = new pg.Client({connectionString: await house.sluice.engineUrl()});
  await client.connect();
  // As applications that insert a row at a time have it; to plan twenty computed rows each time takes longer than to insert them.
  await client.query('SET plan_cache_mode = force_generic_plan');
  return client;
}
