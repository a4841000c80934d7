import {spawn} from 'node:child_process';
import fs from 'node:fs';
import {hostname} from 'node:os';
import {SqlError} from '../base/sql-error.ts';
import {processState} from './process-state.ts';

/** What the holder writes into the file, for the message that the second one gets. The lock itself is the kernel's. */
export interface LockHolder {
  readonly pid: number;
  readonly host: string;
  /** ISO 8601. */
  readonly since: string;
}

/** `O_EXLOCK` of the BSDs and macOS: open and flock in one call. Node passes unknown flags through. */
const BSD_EXLOCK = 0x20;

/**
 * An exclusive lock on a file that ends with the process, however that ends, and does not end while the process is only
 * suspended (flock(2)). Node has no flock: on Linux the program of that name locks the descriptor that it inherits, and since
 * the lock belongs to the open file and not to the process, it stays with us when the program has ended. The file itself
 * is never removed: a lock on a removed file keeps nobody out.
 */
export class FileLock {
  readonly #fd: number;
  #held = true;

  private constructor(fd: number) {
    this.#fd = fd;
  }

  /** The lock, or who holds it; undefined if that cannot be read. */
  static async acquire(path: string): Promise<FileLock | {readonly holder: LockHolder | undefined}> {
    const flags = fs.constants.O_RDWR | fs.constants.O_CREAT | fs.constants.O_NOFOLLOW;
    const fd = process.platform === 'linux' ? fs.openSync(path, flags, 0o600) : openLocked(path, flags);
    if (fd === undefined) return {holder: readHolder(path)};
    try {
      if (process.platform === 'linux' && !(await flock(fd))) {
        fs.closeSync(fd);
        return {holder: readHolder(path)};
      }
      const holder: LockHolder = {pid: process.pid, host: hostname(), since: new Date().toISOString()};
      fs.ftruncateSync(fd);
      fs.writeSync(fd, JSON.stringify(holder), 0);
      return new FileLock(fd);
    } catch (error) {
      fs.closeSync(fd);
      throw error;
    }
  }

  release(): void {
    if (!this.#held) return;
    this.#held = false;
    fs.ftruncateSync(this.#fd);
    fs.closeSync(this.#fd);
  }
}

function openLocked(path: string, flags: number): number | undefined {
  try {
    return fs.openSync(path, flags | BSD_EXLOCK | fs.constants.O_NONBLOCK, 0o600);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EAGAIN') return undefined;
    throw error;
  }
}

/** False: somebody else holds it. */
async function flock(fd: number): Promise<boolean> {
  const child = spawn('flock', ['-n', '3'], {stdio: ['ignore', 'ignore', 'ignore', fd]});
  const status = await new Promise<number | null>((resolve, reject) => {
    child.once('error', error => {
      reject(
        new SqlError('58000', 'could not run the program "flock", which guards the data directory', {
          hint: 'Install the package util-linux.',
          cause: error,
        }),
      );
    });
    child.once('close', resolve);
  });
  if (status === 0) return true;
  if (status === 1) return false;
  throw new SqlError('58000', `the program "flock" ended with status ${status} instead of locking the data directory`, {
    hint: 'The file system of the data directory must support locks (flock).',
  });
}

function readHolder(path: string): LockHolder | undefined {
  try {
    return JSON.parse(fs.readFileSync(path, 'utf8')) as LockHolder;
  } catch {
    return undefined;
  }
}

/** A process that somebody has stopped (SIGSTOP, Ctrl-Z) lives and holds its locks, but does nothing. Linux only; elsewhere false. */
export function isSuspended(pid: number): boolean {
  return /^[Tt]$/.test(processState(pid) ?? '');
}
