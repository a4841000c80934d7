import {BENCHMARKS} from './benchmarks.ts';
import {countOf} from './count-of.ts';
import {keepResult, type Result} from './result.ts';
import {toMarkdown} from './result-table.ts';

interface Planned {
  readonly rows: number;
  readonly runs: number;
  readonly peers?: boolean | undefined;
  /** Whatever the scale. */
  readonly least?: number | undefined;
}

/** Sizes with which each takes some four minutes on a quiet machine of two cores, and all of them about half an hour. */
const PLAN: Readonly<Record<string, Planned>> = {
  'catch-up': {rows: 1_500_000, runs: 3, peers: true},
  // The first five seconds do not count.
  latency: {rows: 200_000, runs: 5, least: 60_000},
  width: {rows: 500_000, runs: 3},
  'large-transaction': {rows: 3_000_000, runs: 3},
  snapshot: {rows: 2_000_000, runs: 5},
  'many-sinks': {rows: 1_000_000, runs: 5},
  restart: {rows: 3_500_000, runs: 3},
  gateway: {rows: 40_000, runs: 3},
};

export interface AllOptions {
  /** Instead of the plan's: `name=rows`. */
  readonly rows: readonly string[];
  readonly runs: string | undefined;
  /** Names, with commas between them. */
  readonly only: string | undefined;
  /** Of all sizes. */
  readonly scale: string;
  readonly say: (line: string) => void;
  readonly print: (line: string) => void;
}

/** One after the other. One that fails does not keep the next from running. Returns whether none did. */
export async function runAll({rows, runs, only, scale, say, print}: AllOptions): Promise<boolean> {
  const sizes = new Map(rows.map(size => size.split('=') as [string, string]));
  const names = only?.split(',') ?? Object.keys(PLAN);
  for (const name of [...sizes.keys(), ...names]) {
    if (!Object.hasOwn(PLAN, name)) throw new Error(`there is no benchmark "${name}"`);
  }
  const factor = Number(scale);
  if (!(factor > 0)) throw new Error(`"${scale}" is no factor`);
  const results: Result[] = [];
  const failed: string[] = [];
  for (const name of names) {
    const planned = PLAN[name];
    const size = sizes.get(name);
    const startedAt = performance.now();
    try {
      const result = await BENCHMARKS[name].run({
        rows: size === undefined ? Math.max(planned.least ?? 1, Math.ceil(planned.rows * factor)) : countOf(size),
        runs: runs === undefined ? planned.runs : countOf(runs),
        peers: planned.peers ?? false,
        profileDirectory: undefined,
        say: line => say(`${name}: ${line}`),
      });
      print(keepResult(result));
      results.push(result);
    } catch (error) {
      say(`${name} FAILED: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
      failed.push(name);
    }
    say(`${name} took ${Math.round((performance.now() - startedAt) / 1000)} s`);
  }
  print(`\n${toMarkdown(results)}`);
  if (failed.length > 0) print(`\nFailed: ${failed.join(', ')}`);
  return failed.length === 0;
}
