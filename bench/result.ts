import {execFileSync} from 'node:child_process';
import {mkdirSync, writeFileSync} from 'node:fs';
import {cpus, loadavg, release, totalmem} from 'node:os';
import {join} from 'node:path';
import type {ThreadsUse} from './usage.ts';

/** One of the alternating runs. */
export interface Run {
  readonly rows_per_s: number;
  readonly limit_rows_per_s: number;
  readonly ratio: number;
  readonly cpu_us_per_row: number;
  readonly peak_rss_mib: number;
  readonly commits: number;
  /** CPU µs a row of the worker's threads, and the parts of the time in which its main thread ran or waited for a core. */
  readonly threads?: Readonly<Record<string, number>> | undefined;
}

/** One benchmark's outcome: medians, and every value that they are of. */
export interface Result {
  readonly name: string;
  readonly rows: number;
  readonly rows_per_s: number;
  /** The smaller limit, measured in turns with us in the same run. */
  readonly limit_rows_per_s: number;
  /** Median of the ratios of neighbouring runs. */
  readonly ratio: number;
  /** All threads of the worker. */
  readonly cpu_us_per_row: number;
  readonly peak_rss_mib: number;
  readonly runs: readonly Run[];
  /** What the figures depend on, by name. */
  readonly facts: Readonly<Record<string, string | number>>;
}

/** Medians of the runs; of memory the highest. */
export function summary(runs: readonly Run[]): Omit<Run, 'commits' | 'threads'> {
  const middle = (name: Exclude<keyof Run, 'threads'>) => median(runs.map(run => run[name]));
  return {
    rows_per_s: middle('rows_per_s'),
    limit_rows_per_s: middle('limit_rows_per_s'),
    ratio: middle('ratio'),
    cpu_us_per_row: middle('cpu_us_per_row'),
    peak_rss_mib: Math.max(...runs.map(run => run.peak_rss_mib)),
  };
}

export interface Measured {
  readonly rows: number;
  readonly limitSeconds: number;
  readonly seconds: number;
  readonly cpuSeconds: number;
  readonly peakRssMib: number;
  readonly commits: number;
  readonly threads?: ThreadsUse | undefined;
}

export function toRun({rows, limitSeconds, seconds, cpuSeconds, peakRssMib, commits, threads}: Measured): Run {
  return {
    rows_per_s: Math.round(rows / seconds),
    limit_rows_per_s: Math.round(rows / limitSeconds),
    ratio: hundredths(limitSeconds / seconds),
    cpu_us_per_row: hundredths((cpuSeconds / rows) * 1e6),
    peak_rss_mib: peakRssMib,
    commits,
    ...(threads === undefined ? {} : {threads: threadFigures(threads, rows)}),
  };
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
    }).trim();
  } catch {
    return 'unknown';
  }
}
