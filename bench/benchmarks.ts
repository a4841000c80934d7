import type {Benchmark} from './benchmark.ts';
import {catchUp, largeTransaction} from './catch-up.ts';
import {gateway} from './gateway.ts';
import {latency} from './latency.ts';
import {manySinks} from './many-sinks.ts';
import {restart} from './restart.ts';
import {snapshot} from './snapshot.ts';
import {width} from './width.ts';

/** By the name that a user types. */
export const BENCHMARKS: Readonly<Record<string, Benchmark>> = {
  'catch-up': catchUp,
  latency,
  width,
  'large-transaction': largeTransaction,
  snapshot,
  'many-sinks': manySinks,
  restart,
  gateway,
};
