import {EventEmitter} from 'node:events';
import fs from 'node:fs';
import {totalmem} from 'node:os';
import {join} from 'node:path';
import {setTimeout as delay} from 'node:timers/promises';
import type pg from 'pg';
import type {Logger} from 'pino';
import {SqlError} from '../base/sql-error.ts';
import type {EngineAddress} from './address.ts';
import {findBinaries} from './binaries.ts';
import type {Binaries} from './binaries.ts';
import {connect} from './connect.ts';
import {isConnectionError} from './connection-errors.ts';
import {DataDirectory} from './data-directory.ts';
import {writeDurably} from './durable-file.ts';
import {ensureDefaultUser, initialiseCluster, syncCluster} from './initialise.ts';
import {findPostmaster, startPostmaster, stopPostmaster} from './postmaster.ts';
import {
  DEFAULT_DATABASE,
  hostBasedAuthentication,
  serverArguments,
  serverSettings,
  SOCKET_PORT,
  SUPERUSER,
} from './server-settings.ts';

/** How long a living postmaster may refuse connections before it is restarted. Recovery does not count: it says so (57P03). */
const UNREACHABLE_MS = 5_000;
const RETRY_MS = 50;
const MAX_BACK_OFF_MS = 10_000;
/** After this time up, the next failure begins with the shortest wait again. */
const STEADY_MS = 30_000;

export interface EmbeddedOptions {
  readonly dataDir: string;
  /** Of `materialize`. Undefined: everybody who reaches the socket may log in, `mz_system` excepted. */
  readonly password?: string | undefined;
  readonly log: Logger;
  /** Ends a start that waits, for example for recovery. */
  readonly signal?: AbortSignal | undefined;
}

/** `down` may be followed by `up` at any time later. Neither is emitted for the first start and for `stop`. */
interface EngineEvents {
  readonly down: [];
  readonly up: [];
}

/**
 * The embedded PostgreSQL: created in its data directory at the first start, found again if it outlived the Sluice that started
 * it, restarted when it dies. One connection is held all the time; its end is how we learn of trouble.
 */
export class EngineSupervisor extends EventEmitter<EngineEvents> {
  /** Superuser, in the database that Sluice lives in. */
  readonly address: EngineAddress;
  readonly #directory: DataDirectory;
  readonly #binaries: Binaries;
  readonly #log: Logger;
  readonly #stopping = new AbortController();
  #held: pg.Client | undefined;
  #recovery: Promise<void> | undefined;
  #upSince = 0;
  #failures = 0;

  private constructor(directory: DataDirectory, binaries: Binaries, log: Logger) {
    super();
    this.#directory = directory;
    this.#binaries = binaries;
    this.#log = log;
    this.address = {
      host: directory.socketDirectory,
      port: SOCKET_PORT,
      database: DEFAULT_DATABASE,
      user: SUPERUSER,
      password: readPassword(directory.passwordFile),
      sslmode: 'disable',
    };
  }

  /** Resolves when the engine accepts connections and has its default user and database. Throws `SqlError`. */
  static async start(options: EmbeddedOptions): Promise<EngineSupervisor> {
    const {log, signal} = options;
    const directory = await DataDirectory.open(options.dataDir);
    let engine: EngineSupervisor | undefined;
    try {
      const binaries = await findBinaries(directory.user);
      if (directory.isSplit) {
        log.info(
          {files: directory.dataDirectory},
          'the server cannot enter the data directory, its files are elsewhere',
        );
      }
      const isNew = !directory.initialised;
      if (isNew) await initialiseCluster(directory, binaries.directory);
      await configure(directory, binaries, options.password !== undefined);
      engine = new EngineSupervisor(directory, binaries, log);
      // Writing the new files to disk takes as long as all the rest.
      const synced = isNew ? syncCluster(directory, binaries.directory) : undefined;
      await Promise.all([synced, engine.#open(options.password, signal)]);
      if (isNew) await directory.markInitialised();
      return engine;
    } catch (error) {
      if (engine !== undefined) {
        await engine.stop();
      } else {
        await stopServer(directory);
        directory.close();
      }
      throw error;
    }
  }

  /** A fast shutdown within seconds. The data directory is free afterwards. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#recovery;
    await this.#held?.end().catch(() => undefined);
    await stopServer(this.#directory);
    this.#directory.close();
  }

  async #open(password: string | undefined, signal: AbortSignal | undefined): Promise<void> {
    await this.#bringUp(signal);
    await ensureDefaultUser(this.address, password);
  }

  /** Finds the server or starts it, and holds a connection to it. */
  async #bringUp(signal: AbortSignal | undefined): Promise<void> {
    const {dataDirectory, socketDirectory} = this.#directory;
    const running = findPostmaster(dataDirectory);
    const usable = running !== undefined && ['', socketDirectory].includes(running.socketDirectory);
    if (running !== undefined && !usable) await stopPostmaster(running.pid);
    if (!usable) await launch(this.#directory, this.#binaries, signal);
    this.#held = await this.#reach(signal);
    this.#held.once('end', () => this.#lost());
    this.#upSince = performance.now();
  }

  /** Waits for a living server to let us in: it may be recovering, or ending, or starting. */
  async #reach(signal: AbortSignal | undefined): Promise<pg.Client> {
    const {dataDirectory} = this.#directory;
    let refusedSince: number | undefined;
    for (;;) {
      try {
        return await connect({...this.address, database: 'postgres'}, {applicationName: 'sluice engine'});
      } catch (error) {
        if (!isConnectionError(error)) throw error;
        const recovering = error instanceof Error && 'code' in error && error.code === '57P03';
        refusedSince = recovering ? undefined : (refusedSince ?? performance.now());
      }
      const running = findPostmaster(dataDirectory);
      if (running !== undefined && refusedSince !== undefined && performance.now() - refusedSince > UNREACHABLE_MS) {
        this.#log.warn({pid: running.pid}, 'the server runs but cannot be reached, restarting it');
        await stopPostmaster(running.pid);
        refusedSince = undefined;
      }
      if (running === undefined) await launch(this.#directory, this.#binaries, signal);
      await delay(RETRY_MS, undefined, {signal});
    }
  }

  #lost(): void {
    if (this.#stopping.signal.aborted) return;
    this.#log.error('lost the engine, bringing it up again');
    if (performance.now() - this.#upSince > STEADY_MS) this.#failures = 0;
    this.emit('down');
    this.#recovery = this.#recover();
  }

  async #recover(): Promise<void> {
    const {signal} = this.#stopping;
    while (!signal.aborted) {
      const waitMs = this.#failures === 0 ? 0 : Math.min(MAX_BACK_OFF_MS, 100 * 2 ** Math.min(this.#failures, 10));
      this.#failures++;
      try {
        await delay(waitMs, undefined, {signal});
        await this.#bringUp(signal);
        this.#log.info('the engine is up again');
        this.emit('up');
        return;
      } catch (error) {
        if (!signal.aborted) this.#log.error({err: error}, 'the engine did not come up');
      }
    }
  }
}

function readPassword(path: string): string {
  try {
    return fs.readFileSync(path, 'utf8').trim();
  } catch (error) {
    throw new SqlError('58030', `cannot read the password of ${SUPERUSER} from "${path}"`, {
      hint: 'Restore the file from a backup.',
      cause: error,
    });
  }
}

async function stopServer(directory: DataDirectory): Promise<void> {
  const running = findPostmaster(directory.dataDirectory);
  if (running !== undefined) await stopPostmaster(running.pid);
}

async function launch(directory: DataDirectory, binaries: Binaries, signal: AbortSignal | undefined): Promise<void> {
  const {dataDirectory, socketDirectory, startupLog, logDirectory, user} = directory;
  const program = join(binaries.directory, 'postgres');
  const args = serverArguments(directory);
  await startPostmaster({program, args, dataDirectory, socketDirectory, startupLog, logDirectory, user, signal});
}

/**
 * The files of the configuration are changed only while no server runs, so a server that we find running has what the files
 * say. One that would have to run with another configuration is stopped here.
 */
async function configure(directory: DataDirectory, binaries: Binaries, passwords: boolean): Promise<void> {
  const {dataDirectory, logDirectory} = directory;
  const settings = {dataDirectory, logDirectory, binariesRelease: binaries.release, totalMemory: totalmem()};
  const files = [
    {path: directory.configFile, text: serverSettings(settings)},
    {path: directory.hbaFile, text: hostBasedAuthentication(passwords)},
  ];
  const outdated = files.filter(({path, text}) => !fs.existsSync(path) || fs.readFileSync(path, 'utf8') !== text);
  if (outdated.length === 0) return;
  await stopServer(directory);
  for (const {path, text} of outdated) await writeDurably(path, text, 0o644);
}
