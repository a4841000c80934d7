/**
 * npm run bench -- <name> [--rows N] [--runs N] [--peers] [--profile DIRECTORY]
 * npm run bench -- all [--only NAME,NAME] [--scale FACTOR] [--rows NAME=N]... [--runs N]
 *
 * Runs benchmarks on servers of their own, says each run on standard error, ends each with one line of JSON on standard output, and keeps that
 * line under bench/results/. `all` does one after the other and ends with a table in Markdown.
 * docs/performance.md says what the figures mean.
 */
import {parseArgs} from 'node:util';
import {runAll} from './all.ts';
import type {Benchmark} from './benchmark.ts';
import {BENCHMARKS} from './benchmarks.ts';
import {countOf} from './count-of.ts';
import {keepResult} from './result.ts';

const say = (line: string): void => void process.stderr.write(`${line}\n`);
const print = (line: string): void => void process.stdout.write(`${line}\n`);

const {values, positionals} = parseArgs({
  allowPositionals: true,
  options: {
    rows: {type: 'string', multiple: true, default: []},
    runs: {type: 'string'},
    peers: {type: 'boolean', default: false},
    profile: {type: 'string'},
    only: {type: 'string'},
    scale: {type: 'string', default: '1'},
  },
});
const [name] = positionals;
if (name === 'all') {
  const {rows, runs, only, scale} = values;
  process.exitCode = (await runAll({rows, runs, only, scale, say, print})) ? 0 : 1;
} else {
  await runOne(name);
}

async function runOne(name: string | undefined): Promise<void> {
  if (name === undefined || !Object.hasOwn(BENCHMARKS, name)) {
    throw new Error(`which benchmark? There are: all, ${Object.keys(BENCHMARKS).join(', ')}`);
  }
  const benchmark: Benchmark = BENCHMARKS[name];
  const [rows] = values.rows;
  const result = await benchmark.run({
    rows: rows === undefined ? benchmark.rows : countOf(rows),
    runs: values.runs === undefined ? benchmark.runs : countOf(values.runs),
    peers: values.peers,
    profileDirectory: values.profile,
    say,
  });
  print(values.profile === undefined ? keepResult(result) : JSON.stringify(result));
}
