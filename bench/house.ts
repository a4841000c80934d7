import {readFile} from 'node:fs/promises';
import {resolve} from 'node:path';
import {pathToFileURL} from 'node:url';
import type pg from 'pg';
import {KafkaCluster} from '../scripts/kafka/broker.ts';
import {poll} from '../scripts/process/poll.ts';
import {SluiceProcess} from '../test/crash/sluice-process.ts';
import {ProgressWatch} from './progress-watch.ts';

const PROGRESS_TOPIC = 'bench-progress';

export interface Sink {
  readonly id: string;
  readonly cluster: string;
  readonly topic: string;
  /** Of the publication that its cluster reads. */
  readonly publication: string;
}

/** A Sluice with its own PostgreSQL and a Kafka broker at full speed, for one benchmark. */
export class House {
  readonly sluice: SluiceProcess;
  readonly kafka: KafkaCluster;
  /** A user's session through the gateway. */
  readonly client: pg.Client;
  /** The administrator's, past the gateway. */
  readonly engine: pg.Client;
  #watch: ProgressWatch | undefined;

  private constructor(sluice: SluiceProcess, kafka: KafkaCluster, client: pg.Client, engine: pg.Client) {
    this.sluice = sluice;
    this.kafka = kafka;
    this.client = client;
    this.engine = engine;
  }

  /** `profileDirectory`: where workers leave CPU profiles. */
  static async open(profileDirectory: string | undefined): Promise<House> {
    const kafka = await KafkaCluster.start(1, {speed: 'full', heapMb: 1024});
    const sluice = await SluiceProcess.create();
    await sluice.start(profileDirectory === undefined ? {} : profiling(profileDirectory));
    const client = await sluice.connect();
    await client.query(
      `CREATE CONNECTION kafka TO KAFKA (BROKER '${kafka.address}', SECURITY PROTOCOL 'PLAINTEXT', PROGRESS TOPIC '${PROGRESS_TOPIC}')`,
    );
    const house = new House(sluice, kafka, client, await sluice.connectEngine());
    // Its worker has nothing to do and would only be taken for one of ours.
    await house.pause({cluster: 'quickstart'});
    return house;
  }

  /** Started with the first sink, whose progress topic it needs. */
  get progress(): ProgressWatch {
    return (this.#watch ??= new ProgressWatch(this.kafka.address, PROGRESS_TOPIC));
  }

  /** A sink of table orders in a cluster of its own; returns as soon as the statement does. */
  async createSink(name: string): Promise<Sink> {
    const cluster = `bench_${name}`;
    const topic = `orders-${name}`;
    await this.client.query(`CREATE CLUSTER ${cluster}`);
    await this.client.query(
      `CREATE SINK ${name} IN CLUSTER ${cluster} FROM orders INTO KAFKA CONNECTION kafka
       (TOPIC '${topic}', TOPIC PARTITION COUNT 3, COMPRESSION TYPE = 'lz4') KEY (id) FORMAT JSON ENVELOPE UPSERT`,
    );
    const {rows} = await this.client.query<{id: string; cluster_id: string}>(
      'SELECT id, cluster_id FROM mz_sinks WHERE name = $1',
      [name],
    );
    const slot = await this.engine.query<{slot: string}>('SELECT mz_sluice.slot_name($1)::text AS slot', [
      rows[0].cluster_id,
    ]);
    return {id: rows[0].id, cluster, topic, publication: slot.rows[0].slot};
  }

  async isRunning({id}: Sink): Promise<boolean> {
    const {rows} = await this.client.query<{status: string}>(
      'SELECT status FROM mz_internal.mz_sink_statuses WHERE id = $1',
      [id],
    );
    return rows[0]?.status === 'running';
  }

  /** Ends the cluster's worker in order; the slot stays. */
  async pause({cluster}: Pick<Sink, 'cluster'>): Promise<void> {
    await this.client.query(`ALTER CLUSTER ${cluster} SET (REPLICATION FACTOR 0)`);
    await poll('the end of the worker', 20_000, async () => (await this.sluice.workerPids()).length === 0);
  }

  /** Returns the pid of the cluster's new worker. All other clusters must be paused. */
  async resume({cluster}: Sink): Promise<number> {
    await this.client.query(`ALTER CLUSTER ${cluster} SET (REPLICATION FACTOR 1)`);
    return this.workerPid();
  }

  async workerPid(): Promise<number> {
    return poll('the worker', 20_000, async () => (await this.sluice.workerPids()).at(-1));
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
    this.#watch?.close();
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
