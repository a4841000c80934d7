/**
 * npm run bench -- <name> [--rows N] [--runs N] [--profile DIRECTORY]
 *
 * Runs one benchmark on servers of its own, says each run on standard error, ends with one line of JSON on standard output, and keeps that
 * line under bench/results/. docs/performance.md says what the figures mean.
 */
import {parseArgs} from 'node:util';
import type {Benchmark} from './benchmark.ts';
import {catchUp, largeTransaction} from './catch-up.ts';
import {gateway} from './gateway.ts';
import {keepResult} from './result.ts';
import {latency} from './latency.ts';
import {snapshot} from './snapshot.ts';

const BENCHMARKS: Readonly<Record<string, Benchmark>> = {
  'catch-up': catchUp,
  'large-transaction': largeTransaction,
  snapshot,
  latency,
  gateway,
};

const {values, positionals} = parseArgs({
  allowPositionals: true,
  options: {rows: {type: 'string'}, runs: {type: 'string'}, profile: {type: 'string'}},
});
const [name] = positionals;
if (name === undefined || !Object.hasOwn(BENCHMARKS, name)) {
  throw new Error(`which benchmark? There are: ${Object.keys(BENCHMARKS).join(', ')}`);
}
const benchmark = BENCHMARKS[name];
const result = await benchmark.run({
  rows: count(values.rows, benchmark.rows),
  runs: count(values.runs, benchmark.runs),
  profileDirectory: values.profile,
  say: line => process.stderr.write(`${line}\n`),
});
process.stdout.write(values.profile === undefined ? `${keepResult(result)}\n` : `${JSON.stringify(result)}\n`);

function count(text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise;
  if (!/^[1-9][0-9]*$/.test(text)) throw new Error(`"${text}" is no number of rows or runs`);
  return Number(text);
}
