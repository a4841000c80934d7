import {mkdtemp, readFile, rm} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join, resolve} from 'node:path';
import pg from 'pg';
import {Child} from '../../scripts/process/child.ts';
import {freePorts} from '../../scripts/process/free-port.ts';
import {poll} from '../../scripts/process/poll.ts';
import {SLUICE} from '../setup/program.ts';

interface DataDirectoryRecord {
  readonly home: string;
  readonly socketDirectory: string;
}

/** A `sluice start` on a data directory of its own, with every process of it in reach. */
export class SluiceProcess {
  readonly directory: string;
  readonly logFile: string;
  #child: Child | undefined;
  #url = '';

  readonly #port: number;

  private constructor(directory: string, port: number) {
    this.directory = directory;
    this.#port = port;
    this.logFile = join(directory, 'sluice.log');
  }

  static async create(): Promise<SluiceProcess> {
    const [port] = await freePorts(1);
    return new SluiceProcess(await mkdtemp(join(tmpdir(), 'sluice-crash-')), port);
  }

  /** For clients. */
  get url(): string {
    return this.#url;
  }

  get dataDirectory(): string {
    return join(this.directory, 'data');
  }

  get pid(): number {
    return this.#child!.pid;
  }

  get running(): boolean {
    return this.#child?.running === true;
  }

  /** The same command every time; resolves when clients can connect. */
  async start(environment: Readonly<Record<string, string>> = {}): Promise<void> {
    const logged = (await readFile(this.logFile, 'utf8').catch(() => '')).length;
    this.#child = await Child.spawn({
      command: process.execPath,
      args: [SLUICE, 'start', '--data-dir', this.dataDirectory, '--listen', `127.0.0.1:${this.#port}`],
      logFile: this.logFile,
      env: {...process.env, ...environment},
    });
    const child = this.#child;
    this.#url = await poll(`the start of sluice (${this.logFile})`, 60_000, async () => {
      const log = (await readFile(this.logFile, 'utf8')).slice(logged);
      if (!child.running) throw new Error(`sluice ended with ${child.ending}:\n${log.slice(-4000)}`);
      return /^sluice is ready: (\S+)$/m.exec(log)?.[1];
    });
  }

  async stop(): Promise<void> {
    await this.#child?.end('SIGTERM');
  }

  /** The process of `sluice start` alone. */
  async killMain(): Promise<void> {
    await this.#child!.end('SIGKILL');
  }

  killWorkers(signal: NodeJS.Signals = 'SIGKILL'): Promise<number[]> {
    return this.#signal(signal, command => command.includes('worker-main'));
  }

  /** PostgreSQL's first process; its children notice and end by themselves. */
  async killPostgres(): Promise<number> {
    return await poll('PostgreSQL to kill', 30_000, async () => {
      const pid = await this.postmasterPid();
      return pid !== undefined && tryKill(pid, 'SIGKILL') ? pid : undefined;
    });
  }

  /** Everything at once, as a power cut would. */
  async killTree(): Promise<void> {
    const postmaster = await this.postmasterPid();
    const children = await childrenOf(this.pid);
    for (const pid of [this.pid, ...children]) tryKill(pid, 'SIGKILL');
    if (postmaster !== undefined) tryKill(postmaster, 'SIGKILL');
    await this.#child!.end('SIGKILL');
  }

  async workerPids(): Promise<number[]> {
    const found: number[] = [];
    for (const pid of await childrenOf(this.pid)) {
      if ((await commandOf(pid)).includes('worker-main')) found.push(pid);
    }
    return found;
  }

  /** Undefined while PostgreSQL is between two lives. */
  async postmasterPid(): Promise<number | undefined> {
    const {home} = await this.#record();
    const text = await readFile(join(home, 'data', 'postmaster.pid'), 'utf8').catch(() => undefined);
    if (text === undefined) return undefined;
    const pid = Number(text.split('\n')[0]);
    // The file outlives a killed server, and its number may be somebody else's by now.
    return (await commandOf(pid)).includes(home) ? pid : undefined;
  }

  /** A connection of the administrator, straight to the engine. */
  async connectEngine(): Promise<pg.Client> {
    const {socketDirectory} = await this.#record();
    const password = (await readFile(join(this.dataDirectory, 'superuser-password'), 'utf8')).trim();
    const client = new pg.Client({
      host: socketDirectory,
      port: 5432,
      user: 'mz_system',
      password,
      database: 'materialize',
    });
    client.on('error', () => undefined);
    await client.connect();
    return client;
  }

  /** A connection as users make it. */
  async connect(): Promise<pg.Client> {
    const client = new pg.Client({connectionString: this.#url});
    client.on('error', () => undefined);
    await client.connect();
    return client;
  }

  /** What `sluice cluster … --postgres` takes. */
  async engineUrl(): Promise<string> {
    const {socketDirectory} = await this.#record();
    const password = (await readFile(join(this.dataDirectory, 'superuser-password'), 'utf8')).trim();
    return `postgres://mz_system:${encodeURIComponent(password)}@${encodeURIComponent(socketDirectory)}:5432/materialize`;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop().catch(() => undefined);
    const {home} = await this.#record().catch(() => ({home: undefined}));
    // As root the server's files are not below the data directory.
    if (home !== undefined && home.startsWith('/')) await rm(home, {recursive: true, force: true});
    await rm(this.directory, {recursive: true, force: true});
  }

  async #record(): Promise<DataDirectoryRecord> {
    const record = JSON.parse(await readFile(join(this.dataDirectory, 'sluice.json'), 'utf8')) as DataDirectoryRecord;
    return {
      home: resolve(this.dataDirectory, record.home),
      socketDirectory: resolve(this.dataDirectory, record.socketDirectory),
    };
  }

  async #signal(signal: NodeJS.Signals, matches: (command: string) => boolean): Promise<number[]> {
    const hit: number[] = [];
    for (const pid of await childrenOf(this.pid)) {
      if (matches(await commandOf(pid)) && tryKill(pid, signal)) hit.push(pid);
    }
    return hit;
  }
}

async function childrenOf(pid: number): Promise<number[]> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '');
  return text.split(' ').filter(Boolean).map(Number);
}

async function commandOf(pid: number): Promise<string> {
  return readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
}

/** False: it was gone already. */
function tryKill(pid: number, signal: NodeJS.Signals): boolean {
  try {
    process.kill(pid, signal);
    return true;
  } catch {
    return false;
  }
}
