import {randomBytes} from 'node:crypto';
import {mkdtemp, readFile, rm} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import pg from 'pg';
import type {PostgresVersion} from '../../scripts/postgres/binaries.ts';
import {Child} from '../../scripts/process/child.ts';
import {poll} from '../../scripts/process/poll.ts';
import {freshTopicName, kafkaAddress, readTopic} from '../setup/kafka.ts';
import {createTestDatabase, type TestDatabase} from '../setup/postgres.ts';
import {SLUICE} from '../setup/program.ts';
import {tuningEnvironment} from '../setup/tuning.ts';

const LIMIT_MS = 100_000;

/** A process of the command line, as users start it, with what it prints. */
export class Command implements AsyncDisposable {
  readonly child: Child;
  readonly #logFile: string;

  private constructor(child: Child, logFile: string) {
    this.child = child;
    this.#logFile = logFile;
  }

  static async spawn(
    directory: string,
    args: readonly string[],
    environment: Readonly<Record<string, string>> = {},
  ): Promise<Command> {
    const logFile = join(directory, `${args[0]}-${randomBytes(4).toString('hex')}.log`);
    const child = await Child.spawn({
      command: process.execPath,
      args: [SLUICE, ...args],
      logFile,
      env: {...process.env, ...tuningEnvironment(), ...environment},
    });
    return new Command(child, logFile);
  }

  printed(): Promise<string> {
    return readFile(this.#logFile, 'utf8');
  }

  /** Resolves with the match. */
  async says(pattern: RegExp): Promise<RegExpExecArray> {
    return await poll(`${pattern.source} in ${this.#logFile}`, LIMIT_MS, async () => {
      const text = await this.printed();
      const match = pattern.exec(text);
      if (match === null && !this.child.running) throw new Error(`ended with ${this.child.ending}:\n${text}`);
      return match ?? undefined;
    });
  }

  /** Everything that it has printed. */
  async end(signal: NodeJS.Signals = 'SIGTERM'): Promise<string> {
    await this.child.end(signal);
    return await this.printed();
  }

  /** Status or signal, after it has ended by itself. */
  async ended(): Promise<string> {
    return await poll(`the end of ${this.#logFile}`, LIMIT_MS, () =>
      this.child.running ? undefined : this.child.ending,
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.child.end('SIGTERM');
  }
}

export interface SinkRow {
  readonly status: string;
  readonly error: string | null;
  readonly details: {readonly code?: string; readonly hints?: readonly string[]} | null;
}

/** A database of a user, his role that owns its tables, and Sluices that are attached to it. */
export class AttachedWorld implements AsyncDisposable {
  readonly database: TestDatabase;
  /** A superuser of PostgreSQL, straight. */
  readonly admin: pg.Client;
  /** The user's role, which may create in schema public; its password is `pw`. */
  readonly app: string;
  readonly directory: string;
  readonly #commands: Command[] = [];
  readonly #clients: pg.Client[] = [];
  readonly #roles: string[] = [];

  private constructor(database: TestDatabase, admin: pg.Client, app: string, directory: string) {
    this.database = database;
    this.admin = admin;
    this.app = app;
    this.directory = directory;
    this.#roles.push(app);
  }

  static async open(version: PostgresVersion): Promise<AttachedWorld> {
    const database = await createTestDatabase({version});
    const admin = await connectTo(database.url);
    const app = `app_${randomBytes(6).toString('hex')}`;
    await admin.query(`CREATE ROLE ${app} LOGIN PASSWORD 'pw'; GRANT ALL ON SCHEMA public TO ${app}`);
    return new AttachedWorld(database, admin, app, await mkdtemp(join(tmpdir(), 'sluice-attached-')));
  }

  /** A name for a role, which is dropped at the end with everything that it owns. */
  reserveRole(): string {
    const role = `role_${randomBytes(6).toString('hex')}`;
    this.#roles.push(role);
    return role;
  }

  async createRole(attributes: string): Promise<string> {
    const role = this.reserveRole();
    await this.admin.query(`CREATE ROLE ${role} ${attributes}`);
    return role;
  }

  /** The database's URL for another role. */
  urlOf(role: string, password = 'pw', port?: string): string {
    const url = new URL(this.database.url);
    url.username = role;
    url.password = password;
    if (port !== undefined) url.port = port;
    return url.href;
  }

  async connect(url: string): Promise<pg.Client> {
    const client = await connectTo(url);
    this.#clients.push(client);
    return client;
  }

  async command(args: readonly string[], environment: Readonly<Record<string, string>> = {}): Promise<Command> {
    const command = await Command.spawn(this.directory, args, environment);
    this.#commands.push(command);
    return command;
  }

  /** `sluice start` on this database; resolves when clients can connect. */
  async start(
    args: readonly string[] = [],
    url = this.database.url,
    environment: Readonly<Record<string, string>> = {},
  ): Promise<Command> {
    const command = await this.command(
      ['start', '--postgres', url, '--data-dir', join(this.directory, 'data'), '--listen', '127.0.0.1:0', ...args],
      environment,
    );
    await command.says(/sluice is ready: /);
    return command;
  }

  /** The URL of a running Sluice for that role. */
  async urlThrough(sluice: Command, role: string, password = 'pw'): Promise<string> {
    const [, port] = await sluice.says(/sluice is ready: postgres:\/\/[^:]+:(\d+)\//);
    return this.urlOf(role, password, port);
  }

  /** A client of that role through a running Sluice. */
  async through(sluice: Command, role: string, password = 'pw'): Promise<pg.Client> {
    return await this.connect(await this.urlThrough(sluice, role, password));
  }

  /** Connection `kafka` and one sink for each table, named `<table>_sink`; resolves with their topics when they run. */
  async createSinks(client: pg.Client, tables: readonly string[]): Promise<ReadonlyMap<string, string>> {
    await client.query(
      `CREATE CONNECTION IF NOT EXISTS kafka TO KAFKA (BROKER '${kafkaAddress()}', SECURITY PROTOCOL 'PLAINTEXT')`,
    );
    const topics = new Map<string, string>();
    for (const table of tables) {
      const topic = freshTopicName(table);
      await client.query(
        `CREATE SINK ${table}_sink FROM ${table} INTO KAFKA CONNECTION kafka (TOPIC '${topic}')
         KEY (id) NOT ENFORCED FORMAT JSON ENVELOPE UPSERT`,
      );
      topics.set(table, topic);
    }
    for (const table of tables) await this.until(`${table}_sink`, ({status}) => status === 'running');
    return topics;
  }

  async until(sink: string, wanted: (row: SinkRow) => boolean): Promise<SinkRow> {
    let last: SinkRow | undefined;
    try {
      return await poll(`the status of sink ${sink}`, LIMIT_MS, async () => {
        const {rows} = await this.admin.query<SinkRow>(
          'SELECT status, error, details FROM mz_internal.mz_sink_statuses WHERE name = $1',
          [sink],
        );
        last = rows[0];
        return last !== undefined && wanted(last) ? last : undefined;
      });
    } catch (error) {
      throw new Error(`sink ${sink} stays ${JSON.stringify(last)}`, {cause: error});
    }
  }

  /** Resolves when the sink has committed everything that was committed before the call. */
  async caughtUp(sink: string): Promise<void> {
    const {rows} = await this.admin.query<{lsn: string}>('SELECT pg_current_wal_insert_lsn()::text AS lsn');
    await poll(`sink ${sink} to catch up`, LIMIT_MS, async () => {
      const found = await this.admin.query(
        'SELECT FROM mz_internal.mz_sluice_lag WHERE name = $1 AND end_lsn >= $2::pg_lsn',
        [sink, rows[0].lsn],
      );
      return found.rowCount === 1;
    });
  }

  /** Resolves when the worker has looked at the relation of the sink and noted how it is stored now. */
  async lookedAgain(sink: string, table: string): Promise<void> {
    await poll(`a look at ${table}`, LIMIT_MS, async () => {
      const {rowCount} = await this.admin.query(
        `SELECT FROM mz_sluice.sink_relation t JOIN mz_sluice.item i ON i.id = t.sink, pg_class c WHERE i.name = $1 AND c.oid = $2::regclass
         AND t.seen_storage ->> 'file' = c.relfilenode::text AND t.seen_storage -> 'columns' = (
           SELECT jsonb_object_agg(a.attnum, a.xmin::text) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)`,
        [sink, table],
      );
      return rowCount === 1;
    });
  }

  /** What a topic of upserts with key `id` says in the end. */
  async finalState(topic: string): Promise<Record<string, unknown>[]> {
    const state = new Map<string, Record<string, unknown>>();
    for (const {key, value} of await readTopic(topic)) {
      if (value === null) state.delete(String(key));
      else state.set(String(key), JSON.parse(value.toString()) as Record<string, unknown>);
    }
    return [...state.values()].sort((a, b) => Number(a['id']) - Number(b['id']));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const command of this.#commands) await command.end();
    for (const client of this.#clients) await client.end();
    for (const role of this.#roles) await this.admin.query(`DROP OWNED BY ${role} CASCADE`);
    await this.admin.end();
    await this.database.drop();
    const server = await connectTo(new URL('/postgres', this.database.url).href);
    for (const role of this.#roles) await server.query(`DROP OWNED BY ${role} CASCADE; DROP ROLE ${role}`);
    await server.end();
    await rm(this.directory, {recursive: true, force: true});
  }
}

async function connectTo(url: string): Promise<pg.Client> {
  const client = new pg.Client({connectionString: url});
  client.on('error', () => undefined);
  await client.connect();
  return client;
}
