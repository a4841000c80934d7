import {execFile} from 'node:child_process';
import {randomBytes} from 'node:crypto';
import {existsSync} from 'node:fs';
import {chown, mkdtemp, readFile, rm, stat, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {promisify} from 'node:util';
import {Child} from '../process/child.ts';
import {freePort} from '../process/free-port.ts';
import {poll} from '../process/poll.ts';
import {chooseServerUser, type ServerUser} from '../../src/engine/server-user.ts';
import {postgresBinaries, type PostgresVersion} from './binaries.ts';

export interface PostgresOptions {
  readonly version?: PostgresVersion | undefined;
  /** Settings of postgresql.conf that are added to ours or replace them. */
  readonly settings?: Readonly<Record<string, string>> | undefined;
  /** Variables of the environment that are added to ours. */
  readonly environment?: Readonly<Record<string, string>> | undefined;
}

const SUPERUSER = 'sluice_test';

/** A real PostgreSQL for tests and measurements, on a free port of 127.0.0.1. Disposing removes its data. */
export class PostgresServer {
  /** May be changed while the server is stopped. */
  port: number;
  /** May be changed while the server is stopped, to those of another minor version. */
  programs: string;
  readonly password: string;
  /** Mode 0700, of the server's user. `data` and `server.log` are in it. */
  readonly directory: string;
  readonly #user: ServerUser | undefined;
  readonly #options: PostgresOptions;
  #child: Child | undefined;

  private constructor(
    where: {port: number; directory: string; programs: string},
    password: string,
    options: PostgresOptions,
  ) {
    this.port = where.port;
    this.directory = where.directory;
    this.programs = where.programs;
    this.password = password;
    this.#options = options;
    this.#user = chooseServerUser();
  }

  static async start(options: PostgresOptions = {}): Promise<PostgresServer> {
    const version = options.version ?? 18;
    const directory = await mkdtemp(join(tmpdir(), 'sluice-postgres-'));
    const where = {port: await freePort(), directory, programs: await postgresBinaries(version)};
    const server = new PostgresServer(where, randomBytes(12).toString('hex'), options);
    try {
      await server.#initialise(version);
      await server.start();
    } catch (error) {
      await server[Symbol.asyncDispose]();
      throw error;
    }
    return server;
  }

  /** A standby of this server, which must be stopped and is started. The same settings, with these on top. */
  async startStandby(settings: Readonly<Record<string, string>> = {}): Promise<PostgresServer> {
    const directory = await mkdtemp(join(tmpdir(), 'sluice-standby-'));
    const where = {port: await freePort(), directory, programs: this.programs};
    const primary = `host=127.0.0.1 port=${this.port} user=${SUPERUSER} password=${this.password} dbname=postgres`;
    const standby = new PostgresServer(where, this.password, {
      ...this.#options,
      settings: {...this.#options.settings, primary_conninfo: primary, ...settings},
    });
    try {
      const data = join(directory, 'data');
      if (this.#user !== undefined) await chown(directory, this.#user.uid, this.#user.gid);
      await promisify(execFile)('cp', ['-a', join(this.directory, 'data'), data]);
      // As every base backup, this one has no slots.
      await promisify(execFile)('find', [join(data, 'pg_replslot'), '-mindepth', '1', '-delete']);
      await writeFile(join(data, 'standby.signal'), '');
      await this.start();
      await standby.start();
    } catch (error) {
      await standby[Symbol.asyncDispose]();
      throw error;
    }
    return standby;
  }

  /**
   * What pg_upgrade makes of this server, which must be stopped and then stays so: another one with the same data and passwords, not yet
   * started. Throws with what pg_upgrade says. `programs` are those of the newer version, 18.
   */
  async upgrade(programs: string): Promise<PostgresServer> {
    const directory = await mkdtemp(join(tmpdir(), 'sluice-upgraded-'));
    const where = {port: await freePort(), directory, programs};
    const upgraded = new PostgresServer(where, this.password, this.#options);
    try {
      // The same as of the old server, as pg_upgrade demands: 18 has made checksums the default.
      await upgraded.#initialise(18, ['--no-data-checksums']);
      // A server with logical slots does not start without. People have it in postgresql.conf.
      const settings = `-c wal_level=logical -c max_replication_slots=${TEST_SETTINGS['max_replication_slots']}`;
      await upgraded.#run('pg_upgrade', [
        ...['-b', this.programs, '-d', join(this.directory, 'data'), '-o', settings],
        ...['-B', programs, '-D', join(directory, 'data'), '-O', settings],
        ...['-U', SUPERUSER, '-s', directory, '--no-sync'],
      ]);
    } catch (error) {
      await upgraded[Symbol.asyncDispose]();
      throw error;
    }
    return upgraded;
  }

  /** A superuser, over TCP, with his password. */
  get url(): string {
    return `postgres://${SUPERUSER}:${this.password}@127.0.0.1:${this.port}/postgres`;
  }

  get logFile(): string {
    return join(this.directory, 'server.log');
  }

  /** Resolves when the server accepts connections, after crash recovery if that is needed. */
  async start(): Promise<void> {
    if (this.#child?.running) return;
    const logStart = existsSync(this.logFile) ? (await stat(this.logFile)).size : 0;
    const settings = {...TEST_SETTINGS, ...this.#options.settings, port: String(this.port)};
    const child = await Child.spawn({
      command: join(this.programs, 'postgres'),
      args: [
        '-D',
        join(this.directory, 'data'),
        ...Object.entries(settings).flatMap(([key, value]) => ['-c', `${key}=${value}`]),
      ],
      logFile: this.logFile,
      cwd: this.directory,
      env: {PATH: process.env['PATH'], LANG: 'C.UTF-8', TZ: 'UTC', ...this.#options.environment},
      ...this.#user,
    });
    this.#child = child;
    await poll(`the start of PostgreSQL (${this.logFile})`, 60_000, async () => {
      const log = (await readFile(this.logFile)).subarray(logStart).toString();
      if (!child.running) throw new Error(`PostgreSQL ended with ${child.ending}:\n${log.slice(-4000)}`);
      return /database system is ready to accept (read-only )?connections/.test(log);
    });
  }

  /** A fast shutdown: sessions are cut off, a checkpoint is written. */
  async stop(): Promise<void> {
    await this.#child?.end('SIGINT');
  }

  /** As `kill -9` of the postmaster, with all its backends gone when it resolves. */
  async kill(): Promise<void> {
    if (this.#child?.running !== true) return;
    const backends = await childrenOf(this.#child.pid);
    await this.#child.end('SIGKILL');
    // Backends notice the postmaster's death by themselves; the next start refuses while one is left.
    await poll("the end of PostgreSQL's backends", 30_000, () => !backends.some(isAlive));
  }

  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child?.end('SIGQUIT');
    await rm(this.directory, {recursive: true, force: true});
  }

  async #initialise(version: PostgresVersion, further: readonly string[] = []): Promise<void> {
    const passwordFile = join(this.directory, 'password');
    await writeFile(passwordFile, this.password, {mode: 0o600});
    if (this.#user !== undefined) {
      await chown(passwordFile, this.#user.uid, this.#user.gid);
      await chown(this.directory, this.#user.uid, this.#user.gid);
    }
    const locale =
      version === 15 ? ['--locale=C.UTF-8'] : ['--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8'];
    const data = join(this.directory, 'data');
    const access = ['-U', SUPERUSER, '-A', 'scram-sha-256', `--pwfile=${passwordFile}`];
    await this.#run('initdb', ['-D', data, ...access, '-E', 'UTF8', '--no-sync', ...locale, ...further]);
    await rm(passwordFile);
  }

  /** One of its programs, as its user. */
  async #run(program: string, args: readonly string[]): Promise<void> {
    const env = {PATH: process.env['PATH'], LANG: 'C.UTF-8', PGPASSWORD: this.password};
    try {
      await promisify(execFile)(join(this.programs, program), args, {cwd: this.directory, env, ...this.#user});
    } catch (error) {
      throw new Error(`${program} fails: ${(error as {stdout?: string}).stdout}`, {cause: error});
    }
  }
}

async function childrenOf(pid: number): Promise<number[]> {
  const {stdout} = await promisify(execFile)('pgrep', ['-P', String(pid)]);
  return stdout.trim().split('\n').map(Number);
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Durability is given up here, for tests only; the rest is what Sluice asks of a PostgreSQL, with room for many tests at once. */
const TEST_SETTINGS: Readonly<Record<string, string>> = {
  listen_addresses: '127.0.0.1',
  unix_socket_directories: '',
  wal_level: 'logical',
  max_wal_senders: '50',
  max_replication_slots: '50',
  max_prepared_transactions: '20',
  max_connections: '300',
  fsync: 'off',
  shared_buffers: '128MB',
  max_wal_size: '2GB',
  log_line_prefix: '%m [%p] %d ',
};
