import type {Benchmark} from './benchmark.ts';
import {measureCatchUp} from './catch-up.ts';
import {House} from './house.ts';
import {summary} from './result.ts';
import {ordersTable} from './table.ts';
import {writeBacklog} from './workload.ts';

const SINKS = 20;

/** W9: catching up of twenty sinks in one cluster, so on one slot, each of a table of its own; the tables' transactions take turns. */
export const manySinks: Benchmark = {
  rows: 2_000_000,
  runs: 5,
  async run({profileDirectory, ...options}) {
    await using house = await House.open(profileDirectory);
    const tables = Array.from({length: SINKS}, (_, at) => ordersTable(`orders_${at + 1}`));
    const one = {...options, peers: false, name: 'many', tables, write: writeBacklog};
    const {backlog, runs} = await measureCatchUp(house, one);
    return {
      name: 'many-sinks',
      rows: backlog.changes,
      ...summary(runs),
      runs,
      facts: {sinks: SINKS, partitions: 3, limit: 'pg_recvlogical'},
    };
  },
};
