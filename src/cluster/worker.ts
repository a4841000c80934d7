import {randomUUID} from 'node:crypto';
import {setTimeout as sleep} from 'node:timers/promises';
import type pg from 'pg';
import type {Logger} from 'pino';
import {tuned} from '../base/tuning.ts';
import {listenForChanges} from '../catalog/listen.ts';
import {WorkerCatalog} from '../catalog/worker-catalog.ts';
import {connect} from '../engine/connect.ts';
import {answerWithin, DEAD_MS} from '../engine/answer-within.ts';
import {Lease, LEASE_MS, workerApplicationName} from './lease.ts';
import type {WorkerConfig} from './supervisor.ts';
import {SinkFleet} from './sink-fleet.ts';

const TICK_MS = 20;
/** How often relations are looked at without a word of the catalog, and how often the log is given a beat and progress is recorded. */
const {lookMs, beatMs} = tuned({lookMs: 3_000, beatMs: 1_000});

/**
 * One cluster's process: owns the lease, runs the cluster's sinks, beats once a second. It keeps nothing that a restart needs,
 * so whatever goes wrong with its connection to PostgreSQL ends it, and its supervisor starts another one.
 */
export class ClusterWorker {
  readonly #config: WorkerConfig;
  readonly #log: Logger;
  readonly #stopping = new AbortController();

  constructor(config: WorkerConfig, log: Logger) {
    this.#config = config;
    this.#log = log;
  }

  /** Resolves after `stop`; throws when the lease or the connection is lost. */
  async run(): Promise<void> {
    const {engine, cluster, spillDirectory} = this.#config;
    const signal = this.#stopping.signal;
    const owner = randomUUID();
    const applicationName = workerApplicationName(cluster, owner);
    const control = await connect(engine, {applicationName});
    const lost = new Promise<never>((_, reject) => {
      control.once('end', () => {
        reject(new Error('the connection to PostgreSQL was lost'));
      });
    });
    lost.catch(() => undefined);
    const lease = await Lease.acquire({client: control, cluster, owner, log: this.#log, signal}).catch(
      (error: unknown) => {
        if (signal.aborted) return undefined;
        throw error;
      },
    );
    if (lease === undefined) return;
    this.#log.info({owner}, 'worker owns the cluster');
    await new WorkerCatalog(control).followUpgrade();
    const fleet = await SinkFleet.open({
      engine,
      cluster,
      owner,
      applicationName,
      spillDirectory,
      log: this.#log,
      askLease: () => lease.renew(),
      loseLease: () => this.#stopping.abort(new Error('the cluster belongs to another worker')),
      fail: error => this.#stopping.abort(error instanceof Error ? error : new Error(String(error))),
    });
    const ticks = setInterval(() => fleet.tick(), TICK_MS);
    try {
      await Promise.race([lost, this.#renew(lease), this.#reconcile(control, fleet), this.#everySecond(fleet)]);
    } finally {
      clearInterval(ticks);
      // A worker that has lost its cluster must not wait for anything: its successor is already at work.
      if (signal.aborted && signal.reason === 'stop') {
        await fleet.close();
        await lease.release().catch(() => undefined);
        await control.end().catch(() => undefined);
      }
    }
    if (signal.reason instanceof Error) throw signal.reason;
  }

  stop(): void {
    this.#stopping.abort('stop');
  }

  async #renew(lease: Lease): Promise<void> {
    await this.#repeat(LEASE_MS / 5, async () => {
      const renewed = await answerWithin(DEAD_MS, lease.renew());
      if (!renewed) throw new Error('the lease of the cluster was taken over');
    });
  }

  async #everySecond(fleet: SinkFleet): Promise<void> {
    await this.#repeat(beatMs, () => fleet.everySecond());
  }

  async #reconcile(control: pg.Client, fleet: SinkFleet): Promise<void> {
    const signal = this.#stopping.signal;
    const changes = await listenForChanges(control);
    while (!signal.aborted) {
      await fleet.reconcile();
      await changes.next(lookMs, signal);
    }
  }

  /** Until stopped. Errors end the worker. */
  async #repeat(everyMs: number, act: () => Promise<void>): Promise<void> {
    const signal = this.#stopping.signal;
    while (!signal.aborted) {
      await act();
      await sleep(everyMs, undefined, {signal}).catch(() => undefined);
    }
  }
}
