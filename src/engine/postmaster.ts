import {execFileSync, spawn} from 'node:child_process';
import fs from 'node:fs';
import {join} from 'node:path';
import {setTimeout as delay} from 'node:timers/promises';
import {SqlError} from '../base/sql-error.ts';
import {processState} from './process-state.ts';
import {SOCKET_PORT} from './server-settings.ts';
import type {ServerUser} from './server-user.ts';

const POLL_MS = 15;
const FAST_SHUTDOWN_MS = 10_000;
const IMMEDIATE_SHUTDOWN_MS = 5_000;
const ORPHANS_MS = 10_000;
const RETRY_MS = 50;
const EMPTY_FILE_MS = 1_000;
/** Characters. A week's log can be large. */
const LOG_TAIL = 64 * 1024;

/** The lines of `postmaster.pid` that we read (miscadmin.h: LOCK_FILE_LINE_…). */
export interface PostmasterFile {
  readonly pid: number;
  /** Of the first socket directory; empty while the server has not opened it. */
  readonly socketDirectory: string;
  /** `starting`, `stopping`, `ready` or `standby`; empty at first. */
  readonly status: string;
}

export function parsePostmasterFile(text: string): PostmasterFile | undefined {
  const lines = text.split('\n');
  const pid = Number(lines[0]);
  if (!Number.isInteger(pid) || pid <= 0) return undefined;
  return {pid, socketDirectory: lines[4] ?? '', status: (lines[7] ?? '').trim()};
}

export function readPostmasterFile(dataDirectory: string): PostmasterFile | undefined {
  try {
    return parsePostmasterFile(fs.readFileSync(join(dataDirectory, 'postmaster.pid'), 'utf8'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** False also for one that has ended and whose parent has not noticed yet, which init may put off for seconds. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return false;
  }
  return !/^[ZX]$/.test(processState(pid) ?? '');
}

/**
 * The number in the file may long belong to another process (in a container that restarts, it usually does). A postmaster's
 * working directory is its data directory; where there is no procfs, its command line names it.
 */
function isPostmasterOf(pid: number, dataDirectory: string): boolean {
  if (!isAlive(pid)) return false;
  try {
    if (process.platform !== 'linux') {
      return execFileSync('ps', ['-o', 'args=', '-p', String(pid)], {encoding: 'utf8'}).includes(dataDirectory);
    }
    const here = fs.statSync(`/proc/${pid}/cwd`);
    const there = fs.statSync(dataDirectory);
    return here.dev === there.dev && here.ino === there.ino;
  } catch {
    return false;
  }
}

/** The running postmaster of this data directory, whoever started it. */
export function findPostmaster(dataDirectory: string): PostmasterFile | undefined {
  const file = readPostmasterFile(dataDirectory);
  return file !== undefined && isPostmasterOf(file.pid, dataDirectory) ? file : undefined;
}

/**
 * Makes way for a new server where a killed one left its files. PostgreSQL refuses to start over a lock file whose number belongs to any
 * process of its user, even one that has ended and was not collected yet, or that was cut off before its number was
 * written. In `postmaster.pid` the number is changed to ours, which the new server, our child, takes for stale; the file
 * stays, because its last lines let the server recognise backends that outlived their postmaster. The folder of the socket is
 * nobody else's, so its lock file can go. Returns whether there was anything.
 */
function disarmStaleFiles(dataDirectory: string, socketDirectory: string): boolean {
  const path = join(dataDirectory, 'postmaster.pid');
  const file = readPostmasterFile(dataDirectory);
  if (file !== undefined && isPostmasterOf(file.pid, dataDirectory)) return true;
  const socketLock = join(socketDirectory, `.s.PGSQL.${SOCKET_PORT}.lock`);
  const found = [path, socketLock].some(name => fs.existsSync(name));
  fs.rmSync(socketLock, {force: true});
  if (file === undefined) removeIfEmpty(path);
  else renumber(path);
  return found;
}

/** Of a postmaster that was killed between the making of the file and its first line; one that is just starting has a moment. */
function removeIfEmpty(path: string): void {
  const found = fs.statSync(path, {throwIfNoEntry: false});
  if (found?.size === 0 && Date.now() - found.mtimeMs > EMPTY_FILE_MS) fs.rmSync(path);
}

function renumber(path: string): void {
  const fd = fs.openSync(path, fs.constants.O_RDWR | fs.constants.O_NOFOLLOW);
  try {
    const rest = fs.readFileSync(fd, 'utf8').replace(/^\d+/, String(process.pid));
    fs.ftruncateSync(fd);
    fs.writeSync(fd, rest, 0);
  } finally {
    fs.closeSync(fd);
  }
}

export interface StartPostmaster {
  readonly program: string;
  readonly args: readonly string[];
  readonly dataDirectory: string;
  readonly socketDirectory: string;
  readonly startupLog: string;
  /** Where its own log goes, once it has begun. */
  readonly logDirectory: string;
  readonly user: ServerUser | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Starts the server in a session of its own, so that neither Ctrl-C nor our death reaches it, and resolves when it accepts
 * connections, however long recovery takes. Where a postmaster was killed, its backends may live a little longer, and until
 * then the server refuses to start: it is started again. Throws `SqlError` 58000 with what the server said if it ends.
 */
export async function startPostmaster(options: StartPostmaster): Promise<void> {
  const begun = performance.now();
  let deadline = begun;
  for (;;) {
    if (disarmStaleFiles(options.dataDirectory, options.socketDirectory)) {
      deadline = begun + ORPHANS_MS;
    }
    try {
      await startOnce(options);
      return;
    } catch (error) {
      if (options.signal?.aborted === true || performance.now() > deadline) throw error;
    }
    await delay(RETRY_MS, undefined, {signal: options.signal});
  }
}

async function startOnce(options: StartPostmaster): Promise<void> {
  const {O_WRONLY, O_CREAT, O_TRUNC, O_NOFOLLOW} = fs.constants;
  const log = fs.openSync(options.startupLog, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0o600);
  let ending: string | undefined;
  const child = spawn(options.program, options.args, {
    cwd: options.dataDirectory,
    detached: true,
    stdio: ['ignore', log, log],
    // Nothing of our environment: it may hold passwords, and PG… variables.
    env: {PATH: process.env['PATH'], LANG: 'C', TZ: 'UTC'},
    ...options.user,
  });
  fs.closeSync(log);
  child.once('error', error => (ending ??= error.message));
  child.once('exit', (code, signal) => (ending ??= signal ?? `status ${code}`));
  child.unref();
  while (ending === undefined) {
    const file = readPostmasterFile(options.dataDirectory);
    if (file !== undefined && file.pid === child.pid && file.status === 'ready') return;
    if (options.signal?.aborted && child.pid !== undefined) {
      await stopPostmaster(child.pid);
      options.signal.throwIfAborted();
    }
    await delay(POLL_MS);
  }
  throw new SqlError('58000', `PostgreSQL did not start (${ending})`, {
    detail: [fs.readFileSync(options.startupLog, 'utf8').trim().slice(-2000), ...complaints(options, child.pid)].join(
      '\n',
    ),
    hint: `Its log is beside the data, in ${options.logDirectory}.`,
  });
}

/** What the process wrote into its own log, short of the reports of how it went. */
function complaints({logDirectory}: StartPostmaster, pid: number | undefined): string[] {
  const newest = fs
    .readdirSync(logDirectory)
    .map(name => join(logDirectory, name))
    .map(path => ({path, time: fs.statSync(path).mtimeMs}))
    .sort((a, b) => b.time - a.time)[0];
  if (newest === undefined || pid === undefined) return [];
  const lines = fs.readFileSync(newest.path, 'utf8').slice(-LOG_TAIL).split('\n');
  return lines.filter(line => line.includes(` [${pid}] `) && !line.includes(' LOG:  '));
}

/** A fast shutdown, then an immediate one (which the next start recovers from), then SIGKILL. Resolves when the process is gone. */
export async function stopPostmaster(pid: number): Promise<void> {
  if (await endedAfter(pid, 'SIGINT', FAST_SHUTDOWN_MS)) return;
  if (await endedAfter(pid, 'SIGQUIT', IMMEDIATE_SHUTDOWN_MS)) return;
  await endedAfter(pid, 'SIGKILL', IMMEDIATE_SHUTDOWN_MS);
}

async function endedAfter(pid: number, signal: NodeJS.Signals, limitMs: number): Promise<boolean> {
  const deadline = performance.now() + limitMs;
  try {
    process.kill(pid, signal);
  } catch {
    return true;
  }
  while (performance.now() < deadline) {
    if (!isAlive(pid)) return true;
    await delay(POLL_MS);
  }
  return false;
}
