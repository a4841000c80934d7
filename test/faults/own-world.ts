import {mkdtemp, rm} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import pg from 'pg';
import {expect} from 'vitest';
import {PostgresServer, type PostgresOptions} from '../../scripts/postgres/server.ts';
import {poll} from '../../scripts/process/poll.ts';
import {Command, type SinkRow} from '../cli/attached-world.ts';
import {freshTopicName, kafkaAddress, readTopic, type TopicRecord} from '../setup/kafka.ts';
import {tuningEnvironment} from '../setup/tuning.ts';

/** Long enough for whatever gives up only after half a minute, twice, on a busy machine. */
export const LIMIT_MS = 150_000;

export interface OwnWorldOptions extends PostgresOptions {
  readonly tuning?: Readonly<Record<string, number>> | undefined;
  /** Variables of Sluice's environment. */
  readonly sluiceEnvironment?: Readonly<Record<string, string>> | undefined;
  /** What the brokers are called; the run's one unless told otherwise. */
  readonly brokers?: string | undefined;
  /** Where Sluice keeps its own files; must exist. */
  readonly dataDirectory?: string | undefined;
}

/**
 * A PostgreSQL of the test's own, because evil is done to it, a Sluice that is attached to it, and one upsert sink `s` of a table
 * `t (id, v)` with a topic of one partition. Rows are numbered from 1 and written past Sluice.
 */
export class OwnWorld implements AsyncDisposable {
  readonly topic = freshTopicName('faults');
  /** Rows that have been written so far; each is one message. */
  rows = 0;
  /** Whoever is asked now; after a fail-over another one, at the same port. */
  postgres: PostgresServer;
  readonly #servers: PostgresServer[];
  readonly #brokers: string;
  readonly #directory: string;
  #sluice: Command | undefined;

  private constructor(postgres: PostgresServer, brokers: string, directory: string) {
    this.postgres = postgres;
    this.#servers = [postgres];
    this.#brokers = brokers;
    this.#directory = directory;
  }

  static async open(options: OwnWorldOptions = {}): Promise<OwnWorld> {
    const directory = await mkdtemp(join(tmpdir(), 'sluice-faults-'));
    const world = new OwnWorld(await PostgresServer.start(options), options.brokers ?? kafkaAddress(), directory);
    try {
      const sluice = await Command.spawn(
        directory,
        [
          ...['start', '--postgres', `${world.postgres.url}?sslmode=disable`],
          ...['--data-dir', options.dataDirectory ?? join(directory, 'data')],
          ...['--listen', '127.0.0.1:0', '--internal-listen', '127.0.0.1:0'],
        ],
        {...tuningEnvironment(options.tuning), ...options.sluiceEnvironment},
      );
      world.#sluice = sluice;
      await sluice.says(/sluice is ready: /);
      await world.#createSink(sluice);
    } catch (error) {
      await world[Symbol.asyncDispose]();
      throw error;
    }
    return world;
  }

  async #createSink(sluice: Command): Promise<void> {
    const [, port] = await sluice.says(/"port":(\d+),"msg":"administrators can connect"/);
    const url = new URL(this.postgres.url);
    url.port = port;
    const statements = [
      'CREATE TABLE t (id integer PRIMARY KEY, v text)',
      `CREATE CONNECTION kafka TO KAFKA (BROKERS (${this.#brokers
        .split(',')
        .map(broker => `'${broker}'`)
        .join(', ')}), SECURITY PROTOCOL 'PLAINTEXT')`,
      `CREATE SINK s FROM t INTO KAFKA CONNECTION kafka (TOPIC '${this.topic}', TOPIC PARTITION COUNT 1)
       KEY (id) FORMAT JSON ENVELOPE UPSERT`,
    ];
    await using client = await connectTo(url.href);
    for (const statement of statements) await client.query(statement);
    await this.until(({status}) => status === 'running');
  }

  /** What Sluice has logged so far. */
  log(): Promise<string> {
    return this.#sluice!.printed();
  }

  /** Past Sluice, on a connection of its own. */
  async query<Row extends pg.QueryResultRow>(text: string, values: readonly unknown[] = []): Promise<Row[]> {
    await using client = await connectTo(this.postgres.url);
    return (await client.query<Row>(text, [...values])).rows;
  }

  async write(count: number): Promise<void> {
    await using client = await connectTo(this.postgres.url);
    for (let i = 0; i < count; i++) await client.query(`INSERT INTO t VALUES ($1, 'value')`, [++this.rows]);
  }

  /** As many rows of so many bytes each, in one transaction. */
  async writeAtOnce(count: number, bytes: number): Promise<void> {
    await this.query(`INSERT INTO t SELECT n, repeat('x', $1) FROM generate_series($2::int, $3::int) AS n`, [
      ...[bytes, this.rows + 1, this.rows + count],
    ]);
    this.rows += count;
  }

  async status(): Promise<SinkRow> {
    const rows = await this.query<SinkRow>(
      `SELECT status, error, details FROM mz_internal.mz_sink_statuses WHERE name = 's'`,
    );
    return rows[0];
  }

  async until(wanted: (row: SinkRow) => boolean): Promise<SinkRow> {
    let last: unknown;
    try {
      return await poll(
        'the status of the sink',
        LIMIT_MS,
        async () => {
          // Who has been killed a moment ago is asked again.
          const row = await this.status().catch((error: unknown) => void (last = error));
          if (row !== undefined) last = row;
          return row !== undefined && wanted(row) && row;
        },
        100,
      );
    } catch (error) {
      throw new Error(`the sink stays ${JSON.stringify(last)}`, {cause: error});
    }
  }

  stalled(code: string): Promise<SinkRow> {
    return this.until(({status, details}) => status === 'stalled' && details?.code === code);
  }

  read(): Promise<TopicRecord[]> {
    return readTopic(this.topic, {address: this.#brokers});
  }

  /** Numbers of the rows that are in the topic now. */
  async written(): Promise<number[]> {
    return (await this.read()).map(({key}) => (JSON.parse(String(key)) as {id: number}).id);
  }

  /** Level again, and every row in the topic exactly once; also rows that come afterwards. */
  async level(): Promise<void> {
    const arrived = async () => (await this.written()).length >= this.rows;
    await poll('every row in the topic', LIMIT_MS, arrived, 500);
    await this.write(1);
    await poll('one more row', LIMIT_MS, arrived, 500);
    expect((await this.written()).sort((a, b) => a - b)).toEqual(Array.from({length: this.rows}, (_, i) => i + 1));
  }

  /** A standby, which has everything that the primary has; both can be asked afterwards. */
  async startStandby(settings: Readonly<Record<string, string>> = {}): Promise<PostgresServer> {
    await this.postgres.stop();
    const standby = await this.postgres.startStandby(settings);
    this.#servers.push(standby);
    return standby;
  }

  /** The primary dies, and the standby takes its place and its address. */
  async failOver(to: PostgresServer): Promise<void> {
    await this.postgres.kill();
    await using client = await connectTo(to.url);
    await client.query('SELECT pg_promote()');
    await to.stop();
    to.port = this.postgres.port;
    await to.start();
    this.postgres = to;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#sluice?.end();
    for (const server of this.#servers) await server[Symbol.asyncDispose]();
    await rm(this.#directory, {recursive: true, force: true});
  }
}

/** Ends with its block. */
export async function connectTo(url: string): Promise<pg.Client & AsyncDisposable> {
  const client = new pg.Client({connectionString: url});
  client.on('error', () => undefined);
  await client.connect();
  return Object.assign(client, {[Symbol.asyncDispose]: () => client.end()});
}
