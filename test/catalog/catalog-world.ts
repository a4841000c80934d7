import {randomBytes} from 'node:crypto';
import pg from 'pg';
import type {PostgresVersion} from '../../scripts/postgres/binaries.ts';
import {type GrantableKind, grantOn} from '../../src/catalog/change-commands.ts';
import {
  createConnection,
  createSecret,
  createSink,
  describeCluster,
  describeConnection,
  describeRelation,
  type Command,
  type NewSink,
} from '../../src/catalog/commands.ts';
import {migrate} from '../../src/catalog/migrate.ts';
import {createTestDatabase, type TestDatabase} from '../setup/postgres.ts';

export const VERSIONS: readonly PostgresVersion[] = [18, 15];

export const KAFKA = {type: 'kafka', brokers: ['127.0.0.1:9092'], securityProtocol: 'PLAINTEXT'} as const;

export const TARGET: NewSink['target'] = {
  type: 'kafka',
  topic: 'topic',
  compression: 'lz4',
  transactionalIdPrefix: '',
  progressGroupIdPrefix: '',
  legacyIds: false,
  topicConfig: {},
  metadataRefreshMs: 30_000,
  keyFormat: 'json',
  valueFormat: 'json',
};

/** A migrated database, owned by a role that is no superuser, and sessions of other roles in it. */
export class CatalogWorld implements AsyncDisposable {
  readonly database: TestDatabase;
  /** Sluice's own role: a superuser. */
  readonly admin: pg.Client;
  readonly owner: string;
  readonly #roles: string[] = [];
  readonly #sessions: pg.Client[] = [];

  private constructor(database: TestDatabase, admin: pg.Client, owner: string) {
    this.database = database;
    this.admin = admin;
    this.owner = owner;
    this.#roles.push(owner);
  }

  static async open(version: PostgresVersion): Promise<CatalogWorld> {
    const database = await createTestDatabase({version});
    const admin = await openSession(database);
    const owner = freshRoleName();
    await admin.query(`CREATE ROLE ${owner}`);
    await admin.query(`ALTER DATABASE ${database.address.database} OWNER TO ${owner}`);
    await migrate(admin);
    // As the gateway has it.
    await admin.query(`ALTER DATABASE ${database.address.database} SET search_path = "$user", public, mz_catalog`);
    return new CatalogWorld(database, admin, owner);
  }

  /** A role that may do what PUBLIC may, unless `attributes` say otherwise. */
  async createRole(attributes = ''): Promise<string> {
    const role = freshRoleName();
    await this.admin.query(`CREATE ROLE ${role} ${attributes}`);
    this.#roles.push(role);
    return role;
  }

  /** A new session whose session user is `role`. */
  async session(role: string): Promise<pg.Client> {
    const session = await openSession(this.database);
    this.#sessions.push(session);
    await session.query(`SET SESSION AUTHORIZATION ${role}`);
    return session;
  }

  /** Rows that only Sluice's own role can read. */
  async rows(text: string, values: readonly unknown[] = []): Promise<Record<string, unknown>[]> {
    return (await this.admin.query<Record<string, unknown>>(text, [...values])).rows;
  }

  async grantUsage(schema: string, name: string, role: string): Promise<void> {
    const [{kind}] = await this.rows('SELECT kind FROM mz_sluice.item WHERE schema = $1::regnamespace AND name = $2', [
      schema,
      name,
    ]);
    await this.#grant(kind as 'connection', [schema, name], 'USAGE', role);
  }

  async grantCreateOnCluster(name: string, role: string): Promise<void> {
    await this.#grant('cluster', [name], 'CREATE', role);
  }

  async #grant(kind: GrantableKind, name: readonly string[], privilege: string, role: string): Promise<void> {
    const grant = {privileges: [privilege], grantees: [{name: role}], revoke: false};
    await run(this.admin, grantOn(kind, name, grant));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#sessions.map(session => session.end()));
    for (const role of this.#roles) await this.admin.query(`DROP OWNED BY ${role} CASCADE`);
    await this.admin.query(`ALTER DATABASE ${this.database.address.database} OWNER TO CURRENT_USER`);
    await this.admin.query(`DROP ROLE ${this.#roles.join(', ')}`);
    await this.admin.end();
    await this.database.drop();
  }
}

async function openSession(database: TestDatabase): Promise<pg.Client> {
  const session = new pg.Client({connectionString: database.url});
  await session.connect();
  return session;
}

function freshRoleName(): string {
  return `role_${randomBytes(6).toString('hex')}`;
}

/** The only value of the command's only row. */
export async function run(session: pg.Client, command: Command): Promise<unknown> {
  const {rows} = await session.query<Record<string, unknown>>(command.text, [...command.values]);
  return Object.values(rows[0])[0];
}

/** SQLSTATE of the error that the promise ends with; undefined if it ends well. */
export async function sqlstate(work: Promise<unknown>): Promise<string | undefined> {
  try {
    await work;
    return undefined;
  } catch (error) {
    return (error as {code?: string}).code;
  }
}

export async function notices(session: pg.Client, work: () => Promise<unknown>): Promise<string[]> {
  const heard: string[] = [];
  const listener = ({code, message}: {code?: string | undefined; message?: string | undefined}) =>
    heard.push(`${code} ${message}`);
  session.on('notice', listener);
  await work();
  session.off('notice', listener);
  return heard;
}

export function newSecret(session: pg.Client, ...name: string[]): Promise<unknown> {
  return run(session, createSecret({name, ifNotExists: false}));
}

export function newConnection(session: pg.Client, ...name: string[]): Promise<unknown> {
  return run(
    session,
    createConnection({
      name,
      ifNotExists: false,
      options: KAFKA,
      createSql: ['CREATE CONNECTION ', {ref: 'self'}, ' TO KAFKA (BROKER ', {value: "'127.0.0.1:9092'"}, ')'],
    }),
  );
}

/** A sink with KEY (id) on a relation that has it. */
export async function newSink(
  session: pg.Client,
  sink: {name: string[]; relation: string[]; connection: string[]; ifNotExists?: boolean; cluster?: string},
): Promise<unknown> {
  const {oid} = (await run(session, describeRelation(sink.relation))) as {oid: number};
  const {id: connection} = (await run(session, describeConnection(sink.connection))) as {id: string};
  const {id: cluster} = (await run(session, describeCluster(sink.cluster))) as {id: string};
  const definition: NewSink = {
    name: sink.name,
    ifNotExists: sink.ifNotExists ?? false,
    cluster,
    relation: oid,
    connection,
    key: ['id'],
    keyEnforced: true,
    envelope: 'upsert',
    snapshot: true,
    target: TARGET,
    createSql: [
      'CREATE SINK ',
      {ref: 'self'},
      ' IN CLUSTER ',
      {ref: 'cluster', id: cluster},
      ' FROM ',
      {ref: 'relation', oid},
      ' INTO KAFKA CONNECTION ',
      {ref: 'item', id: connection},
      ' (TOPIC = ',
      {value: "'topic'"},
      ') KEY (',
      {ref: 'column', oid, attnum: 1},
      ') FORMAT JSON ENVELOPE UPSERT',
    ],
  };
  return run(session, createSink(definition));
}
