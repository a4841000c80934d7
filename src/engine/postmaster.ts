import {execFileSync, spawn} from 'node:child_process';
import fs from 'node:fs';
import {join} from 'node:path';
import {setTimeout as delay} from 'node:timers/promises';
import {SqlError} from '../base/sql-error.ts';
import type {ServerUser} from './server-user.ts';

const POLL_MS = 15;
const FAST_SHUTDOWN_MS = 10_000;
const IMMEDIATE_SHUTDOWN_MS = 5_000;

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

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
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
 * A process of the server's user that has the number of a dead postmaster would keep the new one from starting. The line
 * with the number is changed to ours, which the new one, our child, takes for stale; the file stays, because its last lines let the server
 * recognise backends that outlived their postmaster.
 */
function disarmStaleFile(dataDirectory: string): void {
  const file = readPostmasterFile(dataDirectory);
  if (file === undefined || !isAlive(file.pid) || isPostmasterOf(file.pid, dataDirectory)) return;
  const path = join(dataDirectory, 'postmaster.pid');
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
  readonly startupLog: string;
  readonly user: ServerUser | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Starts the server in a session of its own, so that neither Ctrl-C nor our death reaches it, and resolves when it accepts
 * connections, however long recovery takes. Throws `SqlError` 58000 with what the server said if it ends instead.
 */
export async function startPostmaster(options: StartPostmaster): Promise<number> {
  disarmStaleFile(options.dataDirectory);
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
    if (file !== undefined && file.pid === child.pid && file.status === 'ready') return file.pid;
    if (options.signal?.aborted && child.pid !== undefined) {
      await stopPostmaster(child.pid);
      options.signal.throwIfAborted();
    }
    await delay(POLL_MS);
  }
  throw new SqlError('58000', `PostgreSQL did not start (${ending})`, {
    detail: fs.readFileSync(options.startupLog, 'utf8').trim().slice(-2000),
    hint: `Its log is beside the data, in ${join(options.dataDirectory, '..', 'log')}.`,
  });
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
