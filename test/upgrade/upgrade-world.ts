import {mkdtemp, rm} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import type pg from 'pg';
import {PostgresServer} from '../../scripts/postgres/server.ts';
import {poll} from '../../scripts/process/poll.ts';
import {Command} from '../cli/attached-world.ts';
import {connectTo, LIMIT_MS} from '../faults/own-world.ts';
import {NewerPostgres} from './newer-postgres.ts';

/** The database of the tests' user, whose role `app` has the password `pw`. */
const DATABASE = 'shop';

/** A running `sluice start` and who is connected to it. */
export interface Attached {
  readonly command: Command;
  /** The user, through Sluice. */
  readonly app: pg.Client;
  /** A superuser, through Sluice. */
  readonly boss: pg.Client;
}

/** A user with a PostgreSQL of his own, which becomes another one, and with one data directory of Sluice. */
export class UpgradeWorld implements AsyncDisposable {
  readonly newer: NewerPostgres;
  /** Whoever is asked now. */
  postgres: PostgresServer;
  /** All that have been there, the first one first. */
  readonly servers: PostgresServer[] = [];
  readonly #directory: string;
  #attached: Attached | undefined;

  private constructor(newer: NewerPostgres, postgres: PostgresServer, directory: string) {
    this.newer = newer;
    this.postgres = postgres;
    this.servers.push(postgres);
    this.#directory = directory;
  }

  static async open(version: 15 | 18): Promise<UpgradeWorld> {
    const directory = await mkdtemp(join(tmpdir(), 'sluice-upgrade-'));
    const world = new UpgradeWorld(await NewerPostgres.copy(), await PostgresServer.start({version}), directory);
    await using server = await connectTo(world.postgres.url);
    await server.query(`CREATE ROLE app LOGIN PASSWORD 'pw'; CREATE ROLE reader`);
    await server.query(`CREATE DATABASE ${DATABASE} OWNER app`);
    return world;
  }

  /** Of the database, for a superuser. */
  get url(): string {
    return Object.assign(new URL(this.postgres.url), {pathname: DATABASE, search: '?sslmode=disable'}).href;
  }

  /** Past Sluice. */
  async query<Row extends pg.QueryResultRow>(text: string, values: readonly unknown[] = []): Promise<Row[]> {
    await using client = await connectTo(this.url);
    return (await client.query<Row>(text, [...values])).rows;
  }

  command(...args: readonly string[]): Promise<Command> {
    return Command.spawn(this.#directory, [...args, '--postgres', this.url]);
  }

  get dataDirectory(): string {
    return join(this.#directory, 'data');
  }

  async start(): Promise<Attached> {
    const listen = ['--listen', '127.0.0.1:0', '--internal-listen', '127.0.0.1:0'];
    const command = await this.command('start', '--data-dir', this.dataDirectory, ...listen);
    const [, port] = await command.says(/sluice is ready: postgres:\/\/[^:]+:(\d+)\//);
    const [, internalPort] = await command.says(/"port":(\d+),"msg":"administrators can connect"/);
    const app = Object.assign(new URL(this.url), {port, username: 'app', password: 'pw'});
    const boss = Object.assign(new URL(this.url), {port: internalPort});
    this.#attached = {command, app: await connectTo(app.href), boss: await connectTo(boss.href)};
    return this.#attached;
  }

  /** Stops Sluice. */
  async stop(): Promise<void> {
    await this.#attached?.app.end();
    await this.#attached?.boss.end();
    await this.#attached?.command.end();
    this.#attached = undefined;
  }

  /** By pg_upgrade to the newer PostgreSQL, which runs afterwards. The old server stays as it was, and stopped. */
  async upgrade(): Promise<void> {
    await this.postgres.stop();
    this.postgres = await this.postgres.upgrade(this.newer.programs);
    this.servers.push(this.postgres);
    await this.postgres.start();
  }

  /** Resolves with code and hints when the sink has that status. */
  async until(sink: string, wanted: 'running' | 'stalled'): Promise<{code?: string; hints?: readonly string[]}> {
    let last: unknown;
    try {
      return await poll(`the status of ${sink}`, LIMIT_MS, async () => {
        const [row] = await this.query<{status: string; details: {code?: string; hints?: string[]} | null}>(
          'SELECT status, error, details FROM mz_internal.mz_sink_statuses WHERE name = $1',
          [sink],
        );
        last = row;
        return row?.status === wanted && (row.details ?? {});
      });
    } catch (error) {
      throw new Error(`sink ${sink} stays ${JSON.stringify(last)}`, {cause: error});
    }
  }

  /** Resolves when every sink has committed what was committed before the call. */
  async caughtUp(): Promise<void> {
    const [{lsn}] = await this.query<{lsn: string}>('SELECT pg_current_wal_insert_lsn()::text AS lsn');
    await poll('all sinks to catch up', LIMIT_MS, async () => {
      const [{behind}] = await this.query<{behind: boolean}>(
        `SELECT coalesce(bool_or(end_lsn IS NULL OR end_lsn < $1::pg_lsn), false) AS behind FROM mz_internal.mz_sluice_lag l
         JOIN mz_internal.mz_sink_statuses s ON s.name = l.name WHERE s.status <> 'stalled'`,
        [lsn],
      );
      return !behind;
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
    for (const server of this.servers) await server[Symbol.asyncDispose]();
    await this.newer[Symbol.asyncDispose]();
    await rm(this.#directory, {recursive: true, force: true});
  }
}
