import {randomBytes} from 'node:crypto';
import pg from 'pg';
import type {PostgresVersion} from '../../scripts/postgres/binaries.ts';
import {SqlError} from '../../src/base/sql-error.ts';
import {GatewayServer} from '../../src/gateway/gateway-server.ts';
import type {GatewayOptions} from '../../src/gateway/gateway-server.ts';
import type {Plan, StatementContext} from '../../src/statements/statement.ts';
import {createTestDatabase} from '../setup/postgres.ts';
import type {TestDatabase} from '../setup/postgres.ts';
import {BARE_GATEWAY} from './bare-gateway.ts';

/**
 * A gateway in front of the run's PostgreSQL, a database that is reached through it and one of the same contents that is reached
 * directly, and a user who is no superuser.
 *
 * The gateway knows statements `OURS …`: `RUN <sql>`, `FAIL`, `NOTICE`, `SHOW`, `WAIT`, `SYNTAX`, `BUG`, `CATCH <sql>`.
 */
export class GatewayWorld implements AsyncDisposable {
  readonly direct: string;
  readonly through: string;
  /** A superuser, directly. */
  readonly superuser: string;
  readonly superuserThrough: string;
  readonly gateway: GatewayServer;
  /** Called by OURS WAIT. */
  outside: (signal: AbortSignal) => Promise<void> = () => Promise.resolve();
  /** The gateway's control connections, the latest last. */
  readonly control: readonly pg.Client[];
  readonly #databases: readonly TestDatabase[];
  readonly #role: string;

  private constructor(
    databases: readonly TestDatabase[],
    role: string,
    gateway: GatewayServer,
    port: number,
    control: readonly pg.Client[],
    encrypted: boolean,
  ) {
    this.#databases = databases;
    this.control = control;
    this.#role = role;
    this.gateway = gateway;
    const url = (of: string, user?: string, toPort?: number) => {
      const changed = new URL(of);
      if (toPort !== undefined && encrypted) changed.searchParams.set('sslmode', 'no-verify');
      if (user !== undefined) changed.username = user;
      if (user !== undefined) changed.password = 'secret';
      if (toPort !== undefined) changed.port = String(toPort);
      return changed.href;
    };
    this.direct = url(databases[0].url, role);
    this.through = url(databases[1].url, role, port);
    this.superuser = databases[1].url;
    this.superuserThrough = url(databases[1].url, undefined, port);
  }

  static async open(
    version: PostgresVersion,
    setup: string,
    options: Partial<GatewayOptions> = {},
  ): Promise<GatewayWorld> {
    const databases = [await createTestDatabase({version}), await createTestDatabase({version})] as const;
    const role = `gateway_${randomBytes(6).toString('hex')}`;
    const admin = await connected(databases[0].url);
    await admin.query(`CREATE ROLE ${role} LOGIN PASSWORD 'secret'`);
    await admin.end();
    for (const {url} of databases) {
      const client = await connected(url);
      await client.query(`GRANT ALL ON SCHEMA public TO ${role}; SET ROLE ${role}; ${setup}`);
      await client.end();
    }
    let world: GatewayWorld | undefined = undefined;
    const control: pg.Client[] = [];
    const gateway = new GatewayServer({
      ...BARE_GATEWAY,
      engine: databases[1].address,
      plan: text => planOurs(text, signal => world!.outside(signal)),
      connectControl: async () => {
        const client = await connected(databases[1].url);
        control.push(client);
        return client;
      },
      ...options,
    });
    const {port} = await gateway.listen();
    world = new GatewayWorld(databases, role, gateway, port, control, options.tls !== undefined);
    return world;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.gateway.close(0);
    const admin = await connected(this.#databases[0].url);
    for (const {url} of this.#databases) {
      const client = await connected(url);
      await client.query(`DROP OWNED BY ${this.#role} CASCADE`);
      await client.end();
    }
    await admin.query(`DROP ROLE ${this.#role}`);
    await admin.end();
    for (const database of this.#databases) await database.drop();
  }
}

async function connected(url: string): Promise<pg.Client> {
  const client = new pg.Client({connectionString: url});
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

/** The rows of OURS SHOW, as the SELECT that stands in its place. */
export const SHOWN = "SELECT * FROM (VALUES (1, 'a'), (2, 'b')) AS shown (id, name)";

function planOurs(text: string, outside: (signal: AbortSignal) => Promise<void>): Plan | undefined {
  const match = /^OURS\s+(\w+)\s*([^]*)$/i.exec(text);
  if (!match) return undefined;
  const [, what, sql] = match;
  const run = (work: (context: StatementContext) => Promise<void>): Plan => ({kind: 'run', tag: 'OURS', run: work});
  switch (what.toUpperCase()) {
    case 'RUN':
      return run(async context => {
        if (sql !== '') await context.query(sql);
      });
    case 'CATCH':
      // A statement may say better what went wrong.
      return run(async context => {
        try {
          await context.query(sql);
        } catch (error) {
          throw new SqlError('P0001', 'caught', {cause: error});
        }
      });
    case 'FAIL':
      return run(() => Promise.reject(new SqlError('42704', 'no such thing', {detail: 'None.', hint: 'Make it.'})));
    case 'NOTICE':
      return run(context => {
        context.notice({severity: 'NOTICE', code: '00000', message: 'something to know'});
        return Promise.resolve();
      });
    case 'WAIT':
      return run(context => context.outside(outside));
    case 'SHOW':
      return {kind: 'rewrite', sql: `${SHOWN} ${sql}`};
    case 'SYNTAX':
      throw new SqlError('42601', 'syntax error at or near "SYNTAX"', {position: 5});
    default:
      return run(() => Promise.reject(new Error('a bug')));
  }
}
