import {randomBytes} from 'node:crypto';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {rm} from 'node:fs/promises';
import pg from 'pg';
import {poll} from '../../scripts/process/poll.ts';
import type {PostgresVersion} from '../../scripts/postgres/binaries.ts';
import type {PostgresServer} from '../../scripts/postgres/server.ts';
import {migrate} from '../../src/catalog/migrate.ts';
import {beat} from '../../src/changes/heartbeat.ts';
import {ensurePublication} from '../../src/changes/publication.ts';
import {ReplicationStream, type ReplicationStreamOptions} from '../../src/changes/replication-stream.ts';
import {createSlot, inspectSlot} from '../../src/changes/slot.ts';
import type {StreamListener} from '../../src/changes/stream-listener.ts';
import {connect} from '../../src/engine/connect.ts';
import type {EngineAddress} from '../../src/engine/address.ts';
import {addressOf, createTestDatabase, type TestDatabase} from '../setup/postgres.ts';
import {StreamRecorder} from './stream-recorder.ts';

export interface RunningStream {
  readonly stream: ReplicationStream;
  /** Settles as `run` does. */
  readonly done: Promise<void>;
}

/** A database with our state in it, a publication and a slot of a cluster. */
export class World implements AsyncDisposable {
  readonly database: TestDatabase;
  readonly client: pg.Client;
  /** Of the slot and the publication. */
  readonly name: string;
  readonly #clients: pg.Client[] = [];
  readonly #streams: ReplicationStream[] = [];
  readonly #directory = join(tmpdir(), `sluice-world-${randomBytes(6).toString('hex')}`);

  private constructor(database: TestDatabase, client: pg.Client, name: string) {
    this.database = database;
    this.client = client;
    this.name = name;
  }

  static async open(options: {version?: PostgresVersion; slot?: boolean} = {}): Promise<World> {
    return World.in(await createTestDatabase(options.version === undefined ? {} : {version: options.version}), options);
  }

  /** In a server of the test's own, which it may stop or change. */
  static async on(server: PostgresServer): Promise<World> {
    const address = addressOf(new URL(server.url));
    const drop = () => Promise.resolve();
    return World.in({url: server.url, address, drop, [Symbol.asyncDispose]: drop});
  }

  static async in(database: TestDatabase, options: {slot?: boolean} = {}): Promise<World> {
    const client = await connect(database.address, {applicationName: 'test'});
    await migrate(client);
    const {rows} = await client.query<{name: string}>(`SELECT mz_sluice.slot_name('u1') AS name`);
    const world = new World(database, client, rows[0].name);
    await client.query('SET search_path = public, pg_catalog');
    await ensurePublication(client, world.name, false);
    if (options.slot !== false) await createSlot(client, world.name);
    return world;
  }

  get address(): EngineAddress {
    return this.database.address;
  }

  async connect(): Promise<pg.Client> {
    const client = await connect(this.address, {
      applicationName: 'test',
      settings: {search_path: 'public, pg_catalog'},
    });
    this.#clients.push(client);
    return client;
  }

  /** A table with identity FULL in the publication, without the care of a hand-over. */
  async publishedTable(name: string, columns: string): Promise<void> {
    await this.client.query(`CREATE TABLE ${name} (${columns})`);
    await this.client.query(`ALTER TABLE ${name} REPLICA IDENTITY FULL`);
    await this.client.query(`ALTER PUBLICATION ${this.name} ADD TABLE ${name}`);
  }

  async oid(relation: string): Promise<number> {
    const {rows} = await this.client.query<{oid: string}>('SELECT $1::regclass::oid::text AS oid', [relation]);
    return Number(rows[0].oid);
  }

  async confirmedLsn(): Promise<bigint> {
    return (await inspectSlot(this.client, this.name))!.confirmedLsn;
  }

  /** Without `start`: from the slot's confirmed position. */
  async open(options: Partial<ReplicationStreamOptions> = {}): Promise<ReplicationStream> {
    const stream = await ReplicationStream.open({
      address: this.address,
      slot: this.name,
      publication: this.name,
      start: options.start ?? (await this.confirmedLsn()),
      spoolDirectory: this.spoolDirectory,
      ...options,
    });
    this.#streams.push(stream);
    return stream;
  }

  async run(listener: StreamListener, options: Partial<ReplicationStreamOptions> = {}): Promise<RunningStream> {
    const stream = await this.open(options);
    const done = stream.run(listener);
    done.catch(() => undefined);
    return {stream, done};
  }

  get spoolDirectory(): string {
    return join(this.#directory, 'spool');
  }

  /** Everything that has been committed by now, from `start` or the confirmed position on. */
  async read(options: Partial<ReplicationStreamOptions> = {}): Promise<StreamRecorder> {
    const recorder = new StreamRecorder();
    const {stream, done} = await this.run(recorder, options);
    await this.caughtUp(recorder, done);
    await stream.close();
    return recorder;
  }

  /** A heartbeat committed now has been heard. */
  async caughtUp(recorder: StreamRecorder, done: Promise<void>): Promise<void> {
    await beat(this.client, this.name);
    const {rows} = await this.client.query<{beat: string}>(
      'SELECT beat::text FROM mz_sluice.heartbeat WHERE slot = $1',
      [this.name],
    );
    const heard = () =>
      recorder.transactions.some(({changes}) =>
        changes.some(change => change.relation === 'mz_sluice.heartbeat' && change.after!['beat'] === rows[0].beat),
      );
    const failed = done.then(() => Promise.reject(new Error('the stream has ended')));
    failed.catch(() => undefined);
    await Promise.race([failed, poll('the heartbeat in the stream', 60_000, () => Promise.resolve(heard()))]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#streams.map(stream => stream.close()));
    await Promise.all([...this.#clients, this.client].map(client => client.end()));
    await this.database.drop();
    await rm(this.#directory, {recursive: true, force: true});
  }
}

/** Resolves to the code of the error that `work` fails with. */
export async function codeOf(work: Promise<unknown>): Promise<unknown> {
  try {
    await work;
  } catch (error) {
    return (error as {code?: unknown}).code;
  }
  throw new Error('it did not fail');
}
