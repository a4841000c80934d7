import {randomBytes} from 'node:crypto';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import type pg from 'pg';
import {afterAll, beforeAll, describe} from 'vitest';
import {poll} from '../../scripts/process/poll.ts';
import {PostgresServer} from '../../scripts/postgres/server.ts';
import {beat} from '../../src/changes/heartbeat.ts';
import {publishRelation} from '../../src/changes/hand-over.ts';
import {inspectSlot} from '../../src/changes/slot.ts';
import {takeSnapshot} from '../../src/changes/snapshot.ts';
import {ClusterLog} from '../../src/cluster/cluster-log.ts';
import {parseLsn} from '../../src/base/lsn.ts';
import {connect} from '../../src/engine/connect.ts';
import {Connections} from '../../src/engine/connections.ts';
import type {ChangeSource} from '../../src/sinks/stream-host.ts';
import {addressOf} from '../setup/postgres.ts';
import {registerLogCases, type LogTransaction, type LogWorld} from '../simulation/log-conformance.ts';
import {collectCopied} from '../simulation/rows.ts';
import {World} from './world.ts';

/** Of a row of `insertMany`: two thousand of them are more than what buffers and sockets hold. */
const WIDE_BYTES = 8000;

/** A database of a server of the test's own, read by what a worker reads it by. */
class RealLogWorld implements LogWorld {
  readonly heartbeatRelation: number;
  readonly #server: PostgresServer;
  readonly #world: World;
  readonly #clients: pg.Client[] = [];
  readonly #connections: Connections[] = [];
  #relations = 0;
  #prepared = 0;

  private constructor(server: PostgresServer, world: World, heartbeatRelation: number) {
    this.#server = server;
    this.#world = world;
    this.heartbeatRelation = heartbeatRelation;
  }

  static async open(server: PostgresServer): Promise<RealLogWorld> {
    const url = new URL(server.url);
    const administrator = await connect(addressOf(url), {applicationName: 'test'});
    url.pathname = `/test_${randomBytes(6).toString('hex')}`;
    await administrator.query(`CREATE DATABASE ${url.pathname.slice(1)} TEMPLATE template0`);
    await administrator.end();
    const drop = () => Promise.resolve();
    const world = await World.in({url: url.href, address: addressOf(url), drop, [Symbol.asyncDispose]: drop});
    return new RealLogWorld(server, world, await world.oid('mz_sluice.heartbeat'));
  }

  async #connect(): Promise<pg.Client> {
    const client = await connect(this.#world.address, {
      applicationName: 'test',
      settings: {search_path: 'public, pg_catalog'},
    });
    this.#clients.push(client);
    return client;
  }

  /** Not on a connection that is kept: the server may have died since. */
  async #run<T>(work: (client: pg.Client) => Promise<T>): Promise<T> {
    const client = await this.#connect();
    try {
      return await work(client);
    } finally {
      await client.end();
    }
  }

  relation(): Promise<number> {
    const name = `t${++this.#relations}`;
    return this.#run(async client => {
      await client.query(`CREATE TABLE ${name} (id int PRIMARY KEY, n int, wide text)`);
      const {rows} = await client.query<{oid: string}>('SELECT $1::regclass::oid::text AS oid', [name]);
      return Number(rows[0].oid);
    });
  }

  async begin(): Promise<LogTransaction> {
    const client = await this.#connect();
    await client.query('BEGIN');
    let gid: string | undefined;
    const finish = async (how: 'COMMIT' | 'ROLLBACK'): Promise<void> => {
      if (gid === undefined) await client.query(how);
      else await this.#run(other => other.query(`${how} PREPARED '${gid}'`));
    };
    const nameOf = async (relation: number): Promise<string> => {
      const {rows} = await client.query<{name: string}>('SELECT $1::oid::regclass::text AS name', [relation]);
      return rows[0].name;
    };
    return {
      write: async (relation, id, to) => {
        const name = await nameOf(relation);
        if (to === undefined) await client.query(`DELETE FROM ${name} WHERE id = ${id}`);
        else if (to.id !== id) await client.query(`UPDATE ${name} SET id = ${to.id}, n = ${to.n} WHERE id = ${id}`);
        else
          await client.query(
            `INSERT INTO ${name} (id, n) VALUES (${id}, ${to.n}) ON CONFLICT (id) DO UPDATE SET n = excluded.n`,
          );
      },
      insertMany: async (relation, count) => {
        await client.query(
          `INSERT INTO ${await nameOf(relation)} SELECT i, i, repeat('x', ${WIDE_BYTES}) FROM generate_series(1, ${count}) i`,
        );
      },
      prepare: async () => {
        const name = `${this.#world.name}_${++this.#prepared}`;
        await client.query(`PREPARE TRANSACTION '${name}'`);
        gid = name;
      },
      commit: () => finish('COMMIT'),
      rollback: () => finish('ROLLBACK'),
    };
  }

  publish(relation: number): Promise<void> {
    const options = {publication: this.#world.name, relation, waiting: () => undefined};
    return this.#run(client => publishRelation(client, options));
  }

  async snapshot(relation: number): ReturnType<LogWorld['snapshot']> {
    const taken = await takeSnapshot(await this.#connect(), {relation, attnums: [1, 2]});
    const rows = await collectCopied(taken.rows());
    await taken.close();
    return {filter: taken.filter, rows};
  }

  source(): Promise<ChangeSource> {
    const connections = new Connections(this.#world.address, {applicationName: 'test'});
    this.#connections.push(connections);
    return ClusterLog.open({
      engine: this.#world.address,
      connections,
      slot: this.#world.name,
      spoolDirectory: join(tmpdir(), `sluice-${this.#world.database.address.database}-${this.#connections.length}`),
      waiting: () => Promise.resolve(),
    });
  }

  beat(): Promise<void> {
    return this.#run(client => beat(client, this.#world.name));
  }

  end(): Promise<bigint> {
    return this.#run(async client => {
      const {rows} = await client.query<{lsn: string}>('SELECT pg_current_wal_insert_lsn()::text AS lsn');
      return parseLsn(rows[0].lsn);
    });
  }

  confirmed(): Promise<bigint> {
    return this.#run(async client => (await inspectSlot(client, this.#world.name))!.confirmedLsn);
  }

  /** A synchronous standby that never comes. */
  async holdCommits(): Promise<() => Promise<void>> {
    await this.#waitForStandby('nobody');
    return () => this.#waitForStandby('');
  }

  #waitForStandby(name: string): Promise<void> {
    return this.#run(async client => {
      await client.query(`ALTER SYSTEM SET synchronous_standby_names = '${name}'`);
      await client.query('SELECT pg_reload_conf()');
      // A session that begins now has it.
      await poll('the setting', 30_000, () =>
        this.#run(async other => {
          const {rows} = await other.query<{names: string}>(
            `SELECT current_setting('synchronous_standby_names') AS names`,
          );
          return rows[0].names === name;
        }),
      );
    });
  }

  async crash(): Promise<void> {
    await this.#server.kill();
    await this.#server.start();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#connections.map(connections => connections.close()));
    await Promise.all(this.#clients.map(client => client.end()));
    await this.#world[Symbol.asyncDispose]();
  }
}

describe.each([15, 18] as const)('PostgreSQL %i', version => {
  let server: PostgresServer;
  beforeAll(async () => {
    server = await PostgresServer.start({version});
  });
  afterAll(() => server[Symbol.asyncDispose]());

  registerLogCases('its change log', () => RealLogWorld.open(server));
});
