import {readFile} from 'node:fs/promises';
import {resolve} from 'node:path';
import {pathToFileURL} from 'node:url';
import type pg from 'pg';
import {KafkaCluster} from '../scripts/kafka/broker.ts';
import {poll} from '../scripts/process/poll.ts';
import {SluiceProcess} from '../test/crash/sluice-process.ts';
import {JAVA} from './java.ts';
import {ProgressWatch} from './progress-watch.ts';
import type {BenchTable} from './table.ts';
import {Topics} from './topics.ts';
import {Watch, type Servers} from './watch.ts';

const PROGRESS_TOPIC = 'bench-progress';

export interface Sink {
  readonly id: string;
  readonly topic: string;
  readonly table: BenchTable;
}

/** A cluster with its sinks, one for each table. */
export interface Fleet {
  readonly cluster: string;
  /** That the cluster reads. */
  readonly publication: string;
  readonly sinks: readonly Sink[];
}

/** A Sluice with its own PostgreSQL and a Kafka broker at full speed, for one benchmark. */
export class House {
  readonly sluice: SluiceProcess;
  readonly kafka: KafkaCluster;
  /** A user's session through the gateway. */
  client: pg.Client;
  /** The administrator's, past the gateway. */
  engine: pg.Client;
  readonly progress: ProgressWatch;
  readonly #environment: Readonly<Record<string, string>>;

  private constructor(
    sluice: SluiceProcess,
    kafka: KafkaCluster,
    clients: {client: pg.Client; engine: pg.Client},
    environment: Readonly<Record<string, string>>,
  ) {
    this.sluice = sluice;
    this.kafka = kafka;
    this.client = clients.client;
    this.engine = clients.engine;
    this.progress = new ProgressWatch(kafka.address, PROGRESS_TOPIC);
    this.#environment = environment;
  }

  /** `profileDirectory`: where workers leave CPU profiles. */
  static async open(profileDirectory: string | undefined): Promise<House> {
    const kafka = await KafkaCluster.start(1, {speed: 'full', heapMb: 1024, java: JAVA});
    // Before any sink would make it, so that we can follow it from the first record on.
    await using topics = await Topics.open(kafka.address);
    await topics.create(PROGRESS_TOPIC, 1);
    const sluice = await SluiceProcess.create();
    const environment = profileDirectory === undefined ? {} : profiling(profileDirectory);
    await sluice.start(environment);
    const client = await sluice.connect();
    await client.query(
      `CREATE CONNECTION kafka TO KAFKA (BROKER '${kafka.address}', SECURITY PROTOCOL 'PLAINTEXT', PROGRESS TOPIC '${PROGRESS_TOPIC}')`,
    );
    const house = new House(sluice, kafka, {client, engine: await sluice.connectEngine()}, environment);
    // Its worker has nothing to do and would only be taken for one of ours.
    await house.pause({cluster: 'quickstart'});
    return house;
  }

  /** A cluster of its own with a sink of each table; returns as soon as the statements do. */
  async createFleet(name: string, tables: readonly BenchTable[]): Promise<Fleet> {
    const cluster = `bench_${name}`;
    await this.client.query(`CREATE CLUSTER ${cluster}`);
    const sinks: Sink[] = [];
    for (const table of tables) {
      const topic = `${table.name}-${name}`;
      const sink = `${table.name}_${name}`;
      await this.client.query(
        `CREATE SINK ${sink} IN CLUSTER ${cluster} FROM ${table.name} INTO KAFKA CONNECTION kafka
         (TOPIC '${topic}', TOPIC PARTITION COUNT 3, COMPRESSION TYPE = 'lz4') KEY (id) FORMAT JSON ENVELOPE UPSERT`,
      );
      const {rows} = await this.client.query<{id: string}>('SELECT id FROM mz_sinks WHERE name = $1', [sink]);
      sinks.push({id: rows[0].id, topic, table});
    }
    const {rows} = await this.engine.query<{slot: string}>(
      'SELECT mz_sluice.slot_name(id)::text AS slot FROM mz_catalog.mz_clusters WHERE name = $1',
      [cluster],
    );
    return {cluster, publication: rows[0].slot, sinks};
  }

  /** Until every sink has its snapshot in the topic and waits for changes. */
  async untilRunning({sinks}: Fleet): Promise<void> {
    const ids = sinks.map(({id}) => id);
    await poll('the sinks to run', 120_000, async () => {
      const {rows} = await this.client.query<{running: string}>(
        `SELECT count(*) AS running FROM mz_internal.mz_sink_statuses WHERE id = ANY ($1) AND status = 'running'`,
        [ids],
      );
      return Number(rows[0].running) === ids.length;
    });
    for (const id of ids) await this.progress.until(id, 60_000, p => p.snapshotDone);
  }

  /** Until a reader of committed records has the last change of every sink: when it saw the last of them, Date.now(). */
  async untilLevel({sinks}: Fleet, last: bigint, limitMs: number): Promise<number> {
    let at = 0;
    for (const {id} of sinks) at = Math.max(at, (await this.progress.until(id, limitMs, p => p.lsn > last)).at);
    return at;
  }

  commits({sinks}: Fleet): number {
    return sinks.reduce((sum, {id}) => sum + this.progress.commits(id), 0);
  }

  /** Ends the cluster's worker in order; the slot stays. */
  async pause({cluster}: Pick<Fleet, 'cluster'>): Promise<void> {
    await this.client.query(`ALTER CLUSTER ${cluster} SET (REPLICATION FACTOR 0)`);
    await poll('the end of the worker', 60_000, async () => (await this.sluice.workerPids()).length === 0);
  }

  /** Returns the pid of the cluster's new worker. All other clusters must be paused. */
  async resume({cluster}: Fleet): Promise<number> {
    await this.client.query(`ALTER CLUSTER ${cluster} SET (REPLICATION FACTOR 1)`);
    return this.workerPid();
  }

  async workerPid(): Promise<number> {
    return poll('the worker', 60_000, async () => (await this.sluice.workerPids()).at(-1));
  }

  /**
   * Kills every process of Sluice and its PostgreSQL, as a power cut would, and starts it again. Returns when the command was given and when
   * clients were let in: Date.now().
   */
  async restart(): Promise<{from: number; ready: number}> {
    await Promise.all([this.client.end(), this.engine.end()]);
    await this.sluice.killTree();
    const from = Date.now();
    await this.sluice.start(this.#environment);
    const ready = Date.now();
    this.client = await this.sluice.connect();
    this.engine = await this.sluice.connectEngine();
    return {from, ready};
  }

  async drop({cluster}: Fleet): Promise<void> {
    await this.client.query(`DROP CLUSTER ${cluster} CASCADE`);
  }

  async servers(): Promise<Servers> {
    const postgres = await poll('PostgreSQL', 30_000, () => this.sluice.postmasterPid());
    return {postgres, broker: this.kafka.broker.pid};
  }

  /** Of `sluice start` and the worker. */
  async watch(workerPid: number): Promise<Watch> {
    return new Watch([workerPid, this.sluice.pid], await this.servers());
  }

  /** When the worker said that it has begun to read the change stream: Date.now(). */
  async readingSince(pid: number): Promise<number> {
    return poll('the worker to read', 60_000, async () => {
      const log = await readFile(this.sluice.logFile, 'utf8');
      const line = log.split('\n').find(l => l.includes(`"pid":${pid},`) && l.includes('reading the change stream'));
      return line === undefined ? undefined : Date.parse((JSON.parse(line) as {time: string}).time);
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.progress.close();
    await this.client.end().catch(() => undefined);
    await this.engine.end().catch(() => undefined);
    await this.sluice[Symbol.asyncDispose]();
    await this.kafka[Symbol.asyncDispose]();
  }
}

function profiling(directory: string): Record<string, string> {
  const preload = pathToFileURL(resolve(import.meta.dirname, 'profile-worker.mjs')).href;
  return {NODE_OPTIONS: `--import ${preload}`, SLUICE_PROFILE_DIRECTORY: resolve(directory)};
}
