import {execFile} from 'node:child_process';
import {join} from 'node:path';
import {promisify} from 'node:util';
import pg from 'pg';
import {PostgresServer} from '../scripts/postgres/server.ts';
import {SluiceProcess} from '../test/crash/sluice-process.ts';
import type {Benchmark, BenchmarkOptions} from './benchmark.ts';
import {summary, toRun} from './result.ts';
import type {Result, Run} from './result.ts';
import {Usage} from './usage.ts';

const CLIENTS = 8;
const SCALE = 10;
const USER = 'bench';

/** What a disk and a virtual core do for some seconds is more than what is to be seen, so direct and through the gateway take turns more often than a run is asked for. */
const TURNS = 3;

/** `share`: a transaction that writes waits for the disk, so fewer of them do; still enough that log-ins do not count. */
const SCRIPTS = [
  {name: 'select-only', switches: ['-S'], share: 1},
  {name: 'TPC-B-like', switches: [], share: 0.1},
] as const;
const MODES = ['simple', 'extended', 'prepared'] as const;

interface Cell {
  readonly name: string;
  readonly runs: readonly Run[];
}

/**
 * pgbench through the gateway, against pgbench straight to the same PostgreSQL, in turns, over TCP both ways. Where the gateway is on the
 * engine's machine it reaches it by its Unix socket, as the embedded one always.
 */
export const gateway: Benchmark = {
  rows: 80_000,
  runs: 3,
  async run(options: BenchmarkOptions): Promise<Result> {
    // Within its data directory.
    const settings = {fsync: 'on', shared_buffers: '256MB', unix_socket_directories: '.'};
    await using server = await PostgresServer.start({settings});
    const direct = await prepare(server);
    await using sluice = await SluiceProcess.create();
    const administrator = new URL(server.url);
    administrator.pathname = direct.pathname;
    administrator.searchParams.set('host', join(server.directory, 'data'));
    await sluice.start({SLUICE_POSTGRES: administrator.href, ...profiling(options.profileDirectory)});
    const through = new URL(direct);
    through.port = new URL(sluice.url).port;

    const usage = new Usage(sluice.pid);
    const cells: Cell[] = [];
    for (const {name, switches, share} of SCRIPTS) {
      for (const mode of MODES) {
        const args = [...switches, '-M', mode, '-t', String(Math.ceil((options.rows * share) / CLIENTS))];
        const runs: Run[] = [];
        for (let turn = 0; turn < TURNS * options.runs; turn++) runs.push(await measure(direct, through, args, usage));
        const cell = {name: `${name} ${mode}`, runs};
        cells.push(cell);
        options.say(`${cell.name}: ratios ${runs.map(({ratio}) => ratio).join(', ')}`);
      }
    }
    usage.stop();
    const byRatio = cells.toSorted((a, b) => summary(a.runs).ratio - summary(b.runs).ratio);
    const [{name, runs}] = byRatio;
    return {
      name: 'gateway',
      rows: options.rows,
      ...summary(runs),
      runs,
      cells: cells.map(cell => ({name: cell.name, rows: cell.runs[0].commits, ...summary(cell.runs)})),
      facts: {clients: CLIENTS, scale: SCALE, 'lowest ratio': name, ...Object.fromEntries(cells.flatMap(factsOf))},
    };
  },
};

function factsOf({name, runs}: Cell): [string, number][] {
  const {ratio, rows_per_s, limit_rows_per_s, cpu_us_per_row} = summary(runs);
  return [
    [`${name}: ratio`, ratio],
    [`${name}: tps`, rows_per_s],
    [`${name}: direct tps`, limit_rows_per_s],
    [`${name}: CPU µs`, cpu_us_per_row],
  ];
}

async function prepare(server: PostgresServer): Promise<URL> {
  const admin = new pg.Client({connectionString: server.url});
  await admin.connect();
  await admin.query(`CREATE ROLE ${USER} LOGIN PASSWORD '${server.password}'`);
  await admin.query(`CREATE DATABASE ${USER} OWNER ${USER}`);
  await admin.end();
  const url = new URL(server.url);
  url.username = USER;
  url.pathname = `/${USER}`;
  await pgbench(url, ['-i', '-q', '-s', String(SCALE)]);
  return url;
}

async function measure(direct: URL, through: URL, args: readonly string[], usage: Usage): Promise<Run> {
  const limit = await transactions(direct, args);
  const from = Date.now();
  const {perSecond, count} = await transactions(through, args);
  return toRun({
    rows: count,
    limitSeconds: count / limit.perSecond,
    seconds: count / perSecond,
    cpuSeconds: usage.cpuSeconds(from, Date.now()),
    peakRssMib: usage.peakRssMib,
    commits: count,
  });
}

/** Fails unless every transaction was carried out. */
async function transactions(url: URL, args: readonly string[]): Promise<{perSecond: number; count: number}> {
  const output = await pgbench(url, ['-n', '-c', String(CLIENTS), ...args]);
  const [, done, asked] = /actually processed: (\d+)\/(\d+)/.exec(output) ?? [];
  const [, perSecond] = /tps = ([\d.]+) \(without initial connection time\)/.exec(output) ?? [];
  if (done === undefined || done !== asked || !output.includes('failed transactions: 0 ')) throw new Error(output);
  return {perSecond: Number(perSecond), count: Number(done)};
}

async function pgbench(url: URL, args: readonly string[]): Promise<string> {
  const {stdout} = await promisify(execFile)('pgbench', args, {
    env: {
      ...process.env,
      PGHOST: url.hostname,
      PGPORT: url.port,
      PGUSER: url.username,
      PGPASSWORD: url.password,
      PGDATABASE: url.pathname.slice(1),
    },
  });
  return stdout;
}

const profiling = (directory: string | undefined): Record<string, string> =>
  directory === undefined ? {} : {NODE_OPTIONS: `--cpu-prof --cpu-prof-dir=${directory}`};
