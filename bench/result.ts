import {execFileSync} from 'node:child_process';
import {mkdirSync, writeFileSync} from 'node:fs';
import {cpus, loadavg, release, totalmem} from 'node:os';
import {join} from 'node:path';
import type {ThreadsUse} from './usage.ts';

/** What a program did in one run, and what it cost. */
export interface Figures {
  readonly rows_per_s: number;
  /** All threads of all processes of the program. */
  readonly cpu_us_per_row: number;
  /** The sum of the peaks of its processes. */
  readonly peak_rss_mib: number;
  /** Of the servers around it, all their processes. */
  readonly postgres_us_per_row?: number | undefined;
  readonly broker_us_per_row?: number | undefined;
}

/** Other programs on the same data, by name. */
export type Peers = Readonly<Record<string, Figures>>;

/** One of the alternating runs. */
export interface Run extends Figures {
  readonly limit_rows_per_s: number;
  readonly ratio: number;
  readonly commits: number;
  /** CPU µs a row of the worker's threads, and the parts of the time in which its main thread ran or waited for a core. */
  readonly threads?: Readonly<Record<string, number>> | undefined;
  /** Seconds of parts of the run, where they are told apart. */
  readonly phases?: Readonly<Record<string, number>> | undefined;
  readonly peers: Peers;
}

/** Medians of runs; of memory the highest. */
export interface Summary extends Figures {
  /** The smaller limit, measured in turns with us in the same run. */
  readonly limit_rows_per_s: number;
  /** Median of the ratios of neighbouring runs. */
  readonly ratio: number;
  readonly peers: Peers;
}

/** A part of a benchmark that measures several things. */
export interface Cell extends Summary {
  readonly name: string;
  readonly rows: number;
}

/** One benchmark's outcome: medians, and every value that they are of. */
export interface Result extends Summary {
  readonly name: string;
  readonly rows: number;
  readonly runs: readonly Run[];
  /** The figures above are then those of the cell with the lowest ratio. */
  readonly cells?: readonly Cell[] | undefined;
  /** For readers of a table, what its columns do not say. */
  readonly note?: string | undefined;
  /** What the figures depend on, by name. */
  readonly facts: Readonly<Record<string, string | number>>;
}

/** `runs`: at least one. */
export function summary(runs: readonly Run[]): Summary {
  const names = [...new Set(runs.flatMap(run => Object.keys(run.peers)))];
  return {
    ...figuresOf(runs),
    limit_rows_per_s: median(runs.map(run => run.limit_rows_per_s)),
    ratio: hundredths(median(runs.map(run => run.ratio))),
    peers: Object.fromEntries(
      names.map(name => [name, figuresOf(runs.map(run => run.peers[name]).filter(peer => peer !== undefined))]),
    ),
  };
}

function figuresOf(all: readonly Figures[]): Figures {
  const middle = (name: keyof Figures): number | undefined => {
    const values = all.map(figures => figures[name]).filter(value => value !== undefined);
    return values.length === 0 ? undefined : hundredths(median(values));
  };
  return {
    rows_per_s: middle('rows_per_s')!,
    cpu_us_per_row: middle('cpu_us_per_row')!,
    peak_rss_mib: Math.max(...all.map(figures => figures.peak_rss_mib)),
    postgres_us_per_row: middle('postgres_us_per_row'),
    broker_us_per_row: middle('broker_us_per_row'),
  };
}

export interface Spent {
  readonly rows: number;
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly peakRssMib: number;
  readonly postgresCpuSeconds?: number | undefined;
  readonly brokerCpuSeconds?: number | undefined;
}

export interface Measured extends Spent {
  readonly limitSeconds: number;
  readonly commits: number;
  readonly threads?: ThreadsUse | undefined;
  readonly phases?: Readonly<Record<string, number>> | undefined;
  readonly peers?: Peers | undefined;
}

export function toFigures({rows, seconds, cpuSeconds, peakRssMib, ...servers}: Spent): Figures {
  const microseconds = (of: number): number => hundredths((of / rows) * 1e6);
  const {postgresCpuSeconds: postgres, brokerCpuSeconds: broker} = servers;
  return {
    rows_per_s: Math.round(rows / seconds),
    cpu_us_per_row: microseconds(cpuSeconds),
    peak_rss_mib: peakRssMib,
    ...(postgres === undefined ? {} : {postgres_us_per_row: microseconds(postgres)}),
    ...(broker === undefined ? {} : {broker_us_per_row: microseconds(broker)}),
  };
}

export function toRun(measured: Measured): Run {
  const {rows, limitSeconds, seconds, commits, threads, phases, peers} = measured;
  return {
    ...toFigures(measured),
    limit_rows_per_s: Math.round(rows / limitSeconds),
    ratio: hundredths(limitSeconds / seconds),
    commits,
    ...(threads === undefined ? {} : {threads: threadFigures(threads, rows)}),
    ...(phases === undefined ? {} : {phases}),
    peers: peers ?? {},
  };
}

/** Medians of the parts of the runs, in words. */
export function phasesNote(runs: readonly Run[]): string {
  const names = Object.keys(runs[0].phases ?? {});
  return names.map(name => `${name} ${hundredths(median(runs.map(run => run.phases?.[name] ?? 0)))}`).join(', ');
}

function threadFigures({cpuSeconds, mainRan, mainWaited}: ThreadsUse, rows: number): Record<string, number> {
  const figures: Record<string, number> = {main_ran: hundredths(mainRan), main_waited: hundredths(mainWaited)};
  for (const [name, seconds] of Object.entries(cpuSeconds)) figures[`${name}_us`] = hundredths((seconds / rows) * 1e6);
  return figures;
}

export function hundredths(value: number): number {
  return Math.round(value * 100) / 100;
}

function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Keeps the result under bench/results/ and returns it as the one line that a benchmark ends with. */
export function keepResult(result: Result): string {
  const at = new Date().toISOString();
  const line = JSON.stringify({...result, at, machine: machineFacts()});
  const directory = join(import.meta.dirname, 'results');
  mkdirSync(directory, {recursive: true});
  writeFileSync(join(directory, `${result.name}-${at.replace(/[:.]/g, '-')}.json`), `${line}\n`);
  return line;
}

function machineFacts(): Record<string, string | number> {
  const processors = cpus();
  return {
    cpu: processors[0]?.model ?? 'unknown',
    cores: processors.length,
    memory_gib: Math.round(totalmem() / 2 ** 30),
    kernel: release(),
    node: process.version,
    commit: commit(),
    // Above the number of cores others were at work too: then only ratios and CPU time mean something.
    load_after: Math.round(loadavg()[0] * 10) / 10,
  };
}

function commit(): string {
  try {
    return execFileSync('git', ['describe', '--always', '--dirty'], {
      cwd: import.meta.dirname,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    }).trim();
  } catch {
    return 'unknown';
  }
}
