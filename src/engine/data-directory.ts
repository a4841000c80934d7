import {randomBytes} from 'node:crypto';
import fs from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {isAbsolute, join, resolve} from 'node:path';
import {SqlError} from '../base/sql-error.ts';
import {POSTGRES_MAJOR} from './binaries.ts';
import {writeDurably} from './durable-file.ts';
import {FileLock, isSuspended} from './file-lock.ts';
import type {LockHolder} from './file-lock.ts';
import {SOCKET_PORT} from './server-settings.ts';
import {chooseServerUser, userMay} from './server-user.ts';
import type {ServerUser} from './server-user.ts';

/** Raised when the files lie differently than this version expects. */
const LAYOUT = 1;
/** The server's files, where they can be below the data directory. */
const HOME = 'postgres';
/** `sun_path` holds 104 bytes on macOS and 108 on Linux. */
const SOCKET_PATH_BYTES = 100;
/** Where root keeps the server's files when the server's user cannot enter the data directory. */
const STATE_FOLDER = '/var/lib/sluice';

/** `sluice.json` in the data directory. */
interface DataDirectoryRecord {
  readonly layout: number;
  readonly postgres: number;
  /** False while initdb has not finished: then there is nothing to lose. */
  readonly initialised: boolean;
  /** Where the server's files are; like the next one absolute, or relative to the data directory, which may be moved. */
  readonly home: string;
  readonly socketDirectory: string;
}

/**
 * A data directory of Sluice, locked by this process. In it: `sluice.json`, `lock`, `superuser-password`, and `postgres/` with
 * PostgreSQL's own files, unless these had to go elsewhere. What the server's user must not read (the password, keys of other
 * rooms) lies outside of `postgres/data` and belongs to us with mode 0600.
 */
export class DataDirectory {
  readonly path: string;
  /** Whom the server runs as; undefined = as we. */
  readonly user: ServerUser | undefined;
  readonly #locks: readonly FileLock[];
  #record: DataDirectoryRecord;

  private constructor(
    path: string,
    user: ServerUser | undefined,
    locks: readonly FileLock[],
    record: DataDirectoryRecord,
  ) {
    this.path = path;
    this.user = user;
    this.#locks = locks;
    this.#record = record;
  }

  /** Makes or opens it. Throws `SqlError` where it is in use, of another version, foreign, or out of reach. */
  static async open(path: string): Promise<DataDirectory> {
    await fs.mkdir(path, {recursive: true, mode: 0o700});
    const real = await fs.realpath(path);
    await checkContents(real);
    const locks = [await acquireLock(real)];
    try {
      // Asked again: until the lock was ours somebody else may have been at work here.
      const recorded = (await checkContents(real)) ? undefined : await readRecord(real);
      const user = recorded === undefined ? chooseServerUser() : await ownerOf(resolve(real, recorded.home, 'data'));
      const record = recorded ?? (await makeRecord(real, user));
      const directory = new DataDirectory(real, user, locks, record);
      // Copies of the data directory name the same home.
      if (directory.isSplit) locks.push(await acquireLock(directory.#home));
      await directory.#ensureReachable();
      return directory;
    } catch (error) {
      for (const lock of locks) lock.release();
      throw error;
    }
  }

  get initialised(): boolean {
    return this.#record.initialised;
  }
  /** PGDATA. */
  get dataDirectory(): string {
    return join(this.#home, 'data');
  }
  get logDirectory(): string {
    return join(this.#home, 'log');
  }
  /** What the server says before its own log begins. In a folder that the server's user cannot write. */
  get startupLog(): string {
    return join(this.#home, 'config', 'startup.log');
  }
  get configFile(): string {
    return join(this.#home, 'config', 'postgresql.conf');
  }
  get hbaFile(): string {
    return join(this.#home, 'config', 'pg_hba.conf');
  }
  get socketDirectory(): string {
    return resolve(this.path, this.#record.socketDirectory);
  }
  get passwordFile(): string {
    return join(this.path, 'superuser-password');
  }
  /** True when the server's files are not below the data directory. */
  get isSplit(): boolean {
    return isAbsolute(this.#record.home);
  }

  get #home(): string {
    return resolve(this.path, this.#record.home);
  }

  async markInitialised(): Promise<void> {
    await this.#save({...this.#record, initialised: true});
  }

  /** The lock is what keeps a second Sluice out, so this comes last. */
  close(): void {
    for (const lock of this.#locks) lock.release();
  }

  /** A data directory can be moved to where the server cannot follow; folders for sockets are swept away by reboots. */
  async #ensureReachable(): Promise<void> {
    if (!userMay(this.user, '-w', this.dataDirectory)) {
      throw new SqlError('42501', `the user that runs PostgreSQL cannot enter "${this.dataDirectory}"`, {
        hint: 'Move the data directory to a place that every user can enter.',
      });
    }
    const {socketDirectory, user} = this;
    if (fitsSocket(socketDirectory) && (await isPrivate(socketDirectory, user))) return;
    await this.#save({...this.#record, socketDirectory: await makeSocketDirectory(this.path, this.#record.home, user)});
  }

  async #save(record: DataDirectoryRecord): Promise<void> {
    await writeRecord(this.path, record);
    this.#record = record;
  }
}

/** Removes it with everything that it names, wherever that had to go. Nobody may be using it. */
export async function removeDataDirectory(path: string): Promise<void> {
  const text = await fs.readFile(join(path, 'sluice.json'), 'utf8').catch(() => undefined);
  if (text !== undefined) {
    const {home, socketDirectory} = JSON.parse(text) as DataDirectoryRecord;
    for (const folder of [socketDirectory, home]) {
      await fs.rm(resolve(path, folder), {recursive: true, force: true});
    }
  }
  await fs.rm(path, {recursive: true, force: true});
}

async function writeRecord(path: string, record: DataDirectoryRecord): Promise<void> {
  await writeDurably(join(path, 'sluice.json'), JSON.stringify(record, undefined, 2), 0o600);
}

async function makeRecord(path: string, user: ServerUser | undefined): Promise<DataDirectoryRecord> {
  const home = await makeHome(path, user);
  const socketDirectory = await makeSocketDirectory(path, home, user);
  const record = {layout: LAYOUT, postgres: POSTGRES_MAJOR, initialised: false, home, socketDirectory};
  await writeRecord(path, record);
  return record;
}

/** True: nothing of ours in it yet. */
async function checkContents(path: string): Promise<boolean> {
  const names = await fs.readdir(path);
  if (names.includes('sluice.json')) return false;
  const foreign = names.filter(name => !['lock', 'superuser-password', 'sluice.json.new', HOME].includes(name));
  if (foreign.length > 0 || (names.includes(HOME) && !names.includes('lock'))) {
    throw new SqlError('55000', `directory "${path}" is not empty and not a data directory of Sluice`, {
      detail: `It contains "${foreign[0] ?? HOME}".`,
      hint: 'Choose another one with --data-dir.',
    });
  }
  return true;
}

async function acquireLock(path: string): Promise<FileLock> {
  const lock = await FileLock.acquire(join(path, 'lock'));
  if (lock instanceof FileLock) return lock;
  throw new SqlError('55006', `data directory "${path}" is in use by another sluice`, describeHolder(lock.holder));
}

function describeHolder(holder: LockHolder | undefined): {detail?: string; hint: string} {
  if (holder === undefined) return {hint: 'Stop it first, or choose another directory with --data-dir.'};
  const detail = `Process ${holder.pid} on ${holder.host} holds it since ${holder.since}.`;
  return isSuspended(holder.pid)
    ? {detail: `${detail} That process is suspended.`, hint: `Let it go on (kill -CONT ${holder.pid}) or end it.`}
    : {detail, hint: `Stop it first (kill ${holder.pid}), or choose another directory with --data-dir.`};
}

async function readRecord(path: string): Promise<DataDirectoryRecord> {
  const record = JSON.parse(await fs.readFile(join(path, 'sluice.json'), 'utf8')) as DataDirectoryRecord;
  if (record.layout > LAYOUT) {
    throw new SqlError('55000', `data directory "${path}" was written by a newer version of Sluice`, {
      detail: `Its layout has number ${record.layout}; this version knows ${LAYOUT}.`,
      hint: 'Start it with the version that wrote it, or a newer one.',
    });
  }
  const major = record.initialised ? await postgresMajor(resolve(path, record.home, 'data')) : POSTGRES_MAJOR;
  if (major !== POSTGRES_MAJOR) {
    throw new SqlError('55000', `data directory "${path}" belongs to PostgreSQL ${major}`, {
      detail: `This version of Sluice runs PostgreSQL ${POSTGRES_MAJOR}.`,
      hint: 'Move the data with pg_dumpall or pg_upgrade, or start the version of Sluice that wrote it.',
    });
  }
  return record;
}

async function postgresMajor(dataDirectory: string): Promise<number> {
  try {
    return Number((await fs.readFile(join(dataDirectory, 'PG_VERSION'), 'utf8')).trim());
  } catch (error) {
    throw new SqlError('55000', `there is no PostgreSQL in "${dataDirectory}"`, {
      detail: 'The data directory says that it is there.',
      hint: 'Restore it from a backup, or choose another directory with --data-dir.',
      cause: error,
    });
  }
}

/** Creates the folders for the server and gives it those that it writes. The result is as `home` of the record. */
async function makeHome(path: string, user: ServerUser | undefined): Promise<string> {
  const inside = join(path, HOME);
  if (user === undefined) {
    await fs.chmod(path, 0o700);
    await makeFolders(inside, user);
    return HOME;
  }
  // The server's user passes through; everything else in here is for us alone.
  await fs.chmod(path, 0o711);
  try {
    await makeFolders(inside, user);
    if (userMay(user, '-w', join(inside, 'data'))) return HOME;
  } catch {
    // Some mounted file systems know no owners.
  }
  await fs.rm(inside, {recursive: true, force: true});
  await fs.mkdir(STATE_FOLDER, {recursive: true, mode: 0o711});
  const outside = join(STATE_FOLDER, randomBytes(6).toString('hex'));
  await makeFolders(outside, user);
  if (userMay(user, '-w', join(outside, 'data'))) return outside;
  throw new SqlError('42501', `the user that runs PostgreSQL can enter neither "${path}" nor "${outside}"`, {
    hint: 'Choose another place with --data-dir.',
  });
}

async function makeFolders(home: string, user: ServerUser | undefined): Promise<void> {
  const throughMode = user === undefined ? 0o700 : 0o711;
  for (const folder of [home, join(home, 'config')]) {
    await fs.mkdir(folder, {recursive: true});
    await fs.chmod(folder, throughMode);
  }
  for (const folder of ['data', 'log']) await makePrivate(join(home, folder), user);
}

async function makePrivate(folder: string, user: ServerUser | undefined): Promise<void> {
  await fs.mkdir(folder, {recursive: true, mode: 0o700});
  await fs.chmod(folder, 0o700);
  if (user !== undefined) await fs.chown(folder, user.uid, user.gid);
}

function fitsSocket(folder: string): boolean {
  return Buffer.byteLength(join(folder, `.s.PGSQL.${SOCKET_PORT}`)) <= SOCKET_PATH_BYTES;
}

/** Below `home` if the path is short enough for a socket, otherwise a new folder with an unguessable name. As in the record. */
async function makeSocketDirectory(path: string, home: string, user: ServerUser | undefined): Promise<string> {
  const inside = join(home, 'socket');
  if (fitsSocket(resolve(path, inside))) {
    await makePrivate(resolve(path, inside), user);
    return inside;
  }
  const bases = user === undefined ? [process.env['XDG_RUNTIME_DIR'] ?? tmpdir(), '/tmp'] : ['/run', '/tmp'];
  for (const base of bases) {
    if (base.length > SOCKET_PATH_BYTES / 2) continue;
    try {
      const folder = await fs.mkdtemp(join(base, 'sluice-'));
      if (user !== undefined) await fs.chown(folder, user.uid, user.gid);
      if (userMay(user, '-w', folder)) return folder;
      await fs.rmdir(folder);
    } catch {
      continue;
    }
  }
  throw new SqlError('42501', 'there is no folder for the socket of PostgreSQL', {
    detail: `The path of the data directory is too long for a socket, and ${bases.join(' and ')} cannot be used.`,
    hint: 'Choose a shorter path with --data-dir.',
  });
}

/** Still there, and nobody else can have put a socket of his own into it. */
async function isPrivate(folder: string, user: ServerUser | undefined): Promise<boolean> {
  try {
    const found = await fs.lstat(folder);
    return found.isDirectory() && found.uid === (user?.uid ?? process.getuid?.()) && (found.mode & 0o077) === 0;
  } catch {
    return false;
  }
}

/** The server goes on running as the user to whom its files belong, whatever users there are today. */
async function ownerOf(dataDirectory: string): Promise<ServerUser | undefined> {
  const {uid, gid} = await fs.stat(dataDirectory);
  const us = process.getuid?.();
  if (uid === us) return undefined;
  if (us === 0) return {uid, gid};
  throw new SqlError('42501', `the files in "${dataDirectory}" belong to another user`, {
    detail: `They belong to the user with number ${uid}.`,
    hint: 'Start sluice as that user or as root.',
  });
}
