import {fork, type ChildProcess} from 'node:child_process';
import {mkdirSync} from 'node:fs';
import {join} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import {fileURLToPath} from 'node:url';
import type pg from 'pg';
import type {Logger} from 'pino';
import type {LogFormat} from '../base/log.ts';
import {tuned} from '../base/tuning.ts';
import {listenForChanges} from '../catalog/listen.ts';
import {WorkerCatalog} from '../catalog/worker-catalog.ts';
import type {EngineAddress} from '../engine/address.ts';
import {connect} from '../engine/connect.ts';
import {answerWithin, DEAD_MS} from '../engine/answer-within.ts';
import {allocatorEnvironment} from './allocator.ts';
import {retireOrphans} from './retire.ts';

const POLL_MS = 5_000;
const STOP_MS = 10_000;
/** The longest wait between two lives of a worker. A test that kills workers again and again makes it shorter. */
const {restartMs} = tuned({restartMs: 3_000});

/** What a worker is told by its parent, as JSON in the environment variable SLUICE_WORKER. */
export interface WorkerConfig {
  readonly engine: EngineAddress;
  readonly cluster: string;
  readonly spillDirectory: string;
  readonly logLevel: string;
  readonly logFormat: LogFormat;
}

export interface SupervisorOptions {
  readonly engine: EngineAddress;
  readonly dataDir: string;
  readonly log: Logger;
  /** How workers log; their level is that of `log`. */
  readonly logFormat: LogFormat;
  /** Only this cluster, by name; undefined = every cluster of the catalog. */
  readonly only?: string | undefined;
  /** Others run the clusters; this one only looks after what dropped clusters leave behind. */
  readonly runsNone?: boolean | undefined;
}

/** A cluster's process as it is now. */
export interface WorkerState {
  /** Name of the cluster. */
  readonly cluster: string;
  /** How often the process ended by itself and was started again. */
  readonly restarts: number;
  /** Undefined: between two lives. */
  readonly pid: number | undefined;
}

/** Keeps one child process per cluster running: started, restarted when it dies, ended when the cluster is dropped or paused. */
export class ClusterSupervisor {
  readonly #options: SupervisorOptions;
  readonly #children = new Map<string, Child>();
  readonly #stopping = new AbortController();
  #loop: Promise<void> | undefined;

  constructor(options: SupervisorOptions) {
    this.#options = options;
  }

  async start(): Promise<void> {
    const client = await connect(this.#options.engine, {applicationName: 'sluice supervisor'});
    await this.#reconcile(client);
    this.#loop = this.#watch(client);
  }

  /** Ends every worker in order; those that do not answer are killed. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    await this.#loop;
    await Promise.all([...this.#children.values()].map(child => child.stop()));
    this.#children.clear();
  }

  get workers(): readonly WorkerState[] {
    return [...this.#children.values()].map(child => child.state);
  }

  async #watch(first: pg.Client): Promise<void> {
    const {engine, log} = this.#options;
    let client: pg.Client | undefined = first;
    const signal = this.#stopping.signal;
    while (!signal.aborted) {
      try {
        client ??= await connect(engine, {applicationName: 'sluice supervisor'});
        const changes = await listenForChanges(client);
        while (!signal.aborted) {
          await answerWithin(DEAD_MS, client.query(''), signal);
          await this.#reconcile(client);
          await changes.next(POLL_MS, signal);
        }
      } catch (error) {
        if (signal.aborted) break;
        log.warn({err: error}, 'supervisor lost its connection');
        await sleep(500, undefined, {signal}).catch(() => undefined);
      }
      // A dead connection does not even end.
      client?.end().catch(() => undefined);
      client = undefined;
    }
  }

  async #reconcile(client: pg.Client): Promise<void> {
    const {only, runsNone = false, log} = this.#options;
    const catalog = new WorkerCatalog(client);
    const running = (await catalog.clusters()).filter(c => c.replicationFactor > 0);
    const wanted = running.filter(({name}) => !runsNone && (only === undefined || name === only));
    const ids = new Set(wanted.map(c => c.id));
    for (const [id, child] of this.#children) {
      if (ids.has(id)) continue;
      this.#children.delete(id);
      log.info({cluster: id}, 'ending the worker of a paused or dropped cluster');
      await child.stop();
      await catalog.recordStatusOfAll(id, {status: 'paused'});
    }
    // Workers elsewhere do it for their own clusters.
    if (only === undefined) await retireOrphans(client, catalog, new Set(running.map(c => c.id)), log);
    for (const {id, name} of wanted) {
      if (this.#children.has(id)) continue;
      const child = new Child(id, name, this.#options);
      this.#children.set(id, child);
      child.start();
    }
  }
}

/** One worker process and its restarts. */
class Child {
  readonly #cluster: string;
  readonly #name: string;
  readonly #options: SupervisorOptions;
  #process: ChildProcess | undefined;
  #stopped = false;
  /** Short lives in a row: they decide how long to wait. */
  #failures = 0;
  #restarts = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(cluster: string, name: string, options: SupervisorOptions) {
    this.#cluster = cluster;
    this.#name = name;
    this.#options = options;
  }

  get state(): WorkerState {
    return {cluster: this.#name, restarts: this.#restarts, pid: this.#process?.pid};
  }

  start(): void {
    const {engine, dataDir, log, logFormat} = this.#options;
    const spillDirectory = join(dataDir, 'spill', this.#cluster);
    mkdirSync(spillDirectory, {recursive: true, mode: 0o700});
    const config: WorkerConfig = {engine, cluster: this.#cluster, spillDirectory, logLevel: log.level, logFormat};
    const fromSource = import.meta.url.endsWith('.ts');
    const startedAt = performance.now();
    const child = fork(
      fileURLToPath(new URL(fromSource ? './worker-main.ts' : './worker-main.js', import.meta.url)),
      [],
      {
        execArgv: fromSource ? ['--import', 'tsx'] : [],
        // Every transaction call of the Kafka client holds a thread of the pool while it waits for the broker.
        env: {
          ...process.env,
          ...allocatorEnvironment(process.env),
          SLUICE_WORKER: JSON.stringify(config),
          UV_THREADPOOL_SIZE: '64',
        },
        stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      },
    );
    this.#process = child;
    child.once('exit', (code, signal) => {
      this.#process = undefined;
      if (this.#stopped) return;
      this.#restarts++;
      if (performance.now() - startedAt > 10_000) this.#failures = 0;
      const waitMs = Math.min(restartMs, 50 * 2 ** Math.min(this.#failures++, 10));
      log.warn({cluster: this.#cluster, code, signal, waitMs}, 'worker ended, starting another one');
      this.#timer = setTimeout(() => this.start(), waitMs);
    });
    child.once('error', error => log.error({err: error, cluster: this.#cluster}, 'worker could not be started'));
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    const child = this.#process;
    if (child === undefined) return;
    const ended = new Promise<void>(resolve => child.once('exit', () => resolve()));
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
    await ended;
    clearTimeout(timer);
  }
}
