import {once} from 'node:events';
import net from 'node:net';
import type {AddressInfo} from 'node:net';
import {pino} from 'pino';
import {afterAll, afterEach, beforeAll, describe, expect, test} from 'vitest';
import {poll} from '../../scripts/process/poll.ts';
import {connectConsole} from '../../src/console/connect-console.ts';
import {ConsoleServer} from '../../src/console/console-server.ts';
import type {ConsoleOptions} from '../../src/console/console-server.ts';
import type {EngineAddress} from '../../src/engine/address.ts';
import {CatalogWorld, VERSIONS} from '../catalog/catalog-world.ts';

const servers: ConsoleServer[] = [];
afterEach(async () => {
  for (const server of servers.splice(0)) await server.close();
});

/** How requests are sent to a server for `engine`. */
async function serve(engine: EngineAddress, options: Partial<ConsoleOptions> = {}) {
  const server = new ConsoleServer({
    listen: {host: '127.0.0.1', port: 0},
    log: pino({level: 'silent'}),
    version: '0.0.0',
    connect: limitMs => connectConsole(engine, limitMs),
    workers: () => [{cluster: 'quickstart', restarts: 1, pid: process.pid}],
    sessions: () => 5,
    limitMs: 20_000,
    ...options,
  });
  servers.push(server);
  const {port} = await server.listen();
  return async (path: string, method = 'GET') => {
    const response = await fetch(`http://127.0.0.1:${port}${path}`, {method});
    return {status: response.status, type: response.headers.get('content-type'), text: await response.text()};
  };
}

describe.each(VERSIONS)('on PostgreSQL %d', version => {
  let world: CatalogWorld;
  beforeAll(async () => {
    world = await CatalogWorld.open(version);
  });
  afterAll(async () => await world[Symbol.asyncDispose]());

  const holdLease = (seconds: number) =>
    world.admin.query(
      `INSERT INTO mz_sluice.lease (cluster, owner, epoch, expires_at)
       SELECT id, gen_random_uuid(), 1, clock_timestamp() + $1 * interval '1 s' FROM mz_sluice.cluster WHERE name = 'quickstart'
       ON CONFLICT (cluster) DO UPDATE SET expires_at = excluded.expires_at`,
      [seconds],
    );

  test('healthy is a live lease for each cluster that should run; what is missing is named', async () => {
    const ask = await serve(world.database.address);
    await world.admin.query('DELETE FROM mz_sluice.lease');
    const without = await ask('/healthz');
    expect(without).toMatchObject({status: 503, type: 'application/json'});
    expect(JSON.parse(without.text)).toMatchObject({
      status: 'failing',
      failing: ['no worker holds the lease of cluster "quickstart"'],
      engine: {up: true},
      clusters: [{name: 'quickstart', live: false}],
    });
    await holdLease(3600);
    expect(await ask('/healthz')).toMatchObject({status: 200});
    await holdLease(-1);
    expect(await ask('/healthz')).toMatchObject({status: 503});
    await world.admin.query('UPDATE mz_sluice.cluster SET replication_factor = 0');
    expect(await ask('/healthz')).toMatchObject({status: 200});
    await world.admin.query('UPDATE mz_sluice.cluster SET replication_factor = 1');
  });

  test('metrics of the engine, of clusters, of workers and of this process', async () => {
    await holdLease(3600);
    const ask = await serve(world.database.address);
    const {status, type, text} = await ask('/metrics?x=y');
    expect(status).toBe(200);
    expect(type).toBe('text/plain; version=0.0.4; charset=utf-8');
    const lines = text.split('\n');
    expect(lines).toContain('sluice_up 1');
    expect(lines).toContain('sluice_gateway_sessions 5');
    expect(lines).toContain('sluice_cluster_lease_live{cluster="quickstart"} 1');
    expect(lines).toContain('sluice_cluster_retained_wal_bytes{cluster="quickstart"} 0');
    expect(lines).toContain('sluice_worker_restarts_total{cluster="quickstart"} 1');
    expect(text).toMatch(/^sluice_worker_resident_memory_bytes\{cluster="quickstart"\} \d+$/m);
    expect(text).toMatch(/^process_cpu_seconds_total [\d.]+$/m);
    expect(text).toMatch(/^nodejs_eventloop_lag_p99_seconds [\d.e-]+$/m);
    const described = lines.filter(line => line.startsWith('# TYPE ')).map(line => line.split(' ')[2]);
    expect(described.length).toBeGreaterThan(40);
    for (const name of described) expect(lines.filter(line => line.startsWith(`# HELP ${name} `)).length).toBe(1);
  });

  test('a hung engine costs its own metrics only, and nothing of us stays behind in it', async () => {
    const ask = await serve(world.database.address, {limitMs: 1_000});
    const answers = () =>
      poll('an answer', 30_000, async () => (await ask('/metrics')).text.includes('\nsluice_up 1\n'));
    await answers();
    await world.admin.query('BEGIN; LOCK TABLE mz_sluice.lease IN ACCESS EXCLUSIVE MODE');
    try {
      const hung = await Promise.all([ask('/metrics'), ask('/healthz'), ask('/metrics')]);
      expect(hung.map(({status}) => status)).toEqual([200, 503, 200]);
      expect(JSON.parse(hung[1].text)).toMatchObject({failing: ['PostgreSQL has not answered for 1 s']});
      for (const {text} of [hung[0], hung[2]]) {
        expect(text).toContain('\nsluice_up 0\n');
        expect(text).toContain('\nsluice_gateway_sessions 5\n');
        expect(text).toContain('\nprocess_cpu_seconds_total ');
        expect(text).not.toContain('\nsluice_cluster_lease_live{');
      }
      await ask('/metrics');
      await poll('the end of our backends', 30_000, async () => {
        // Else the view shows what it showed first in this transaction.
        await world.admin.query('SELECT pg_stat_clear_snapshot()');
        const ours =
          "SELECT FROM pg_stat_activity WHERE application_name = 'sluice console' AND datname = current_database()";
        return (await world.admin.query(ours)).rowCount === 0;
      });
    } finally {
      await world.admin.query('ROLLBACK');
    }
    await answers();
  });

  test('a connection that was ended is made again', async () => {
    const ask = await serve(world.database.address);
    await ask('/metrics');
    await world.admin.query(
      `SELECT pg_terminate_backend(pid, 30000) FROM pg_stat_activity
       WHERE application_name = 'sluice console' AND datname = current_database()`,
    );
    await poll('an answer', 30_000, async () => (await ask('/metrics')).text.includes('\nsluice_up 1\n'));
  });

  test('other ways and methods are refused', async () => {
    const ask = await serve(world.database.address);
    expect(await ask('/')).toMatchObject({status: 404});
    expect(await ask('/metrics', 'POST')).toMatchObject({status: 405});
    expect(await ask('/metrics', 'HEAD')).toMatchObject({status: 200, text: ''});
  });
});

test('an engine that takes connections and says nothing', async () => {
  const silent = net.createServer(socket => socket.on('error', () => undefined).resume());
  silent.listen(0, '127.0.0.1');
  await once(silent, 'listening');
  const {port} = silent.address() as AddressInfo;
  const ask = await serve(
    {host: '127.0.0.1', port, database: 'd', user: 'u', password: 'canary', sslmode: 'disable'},
    {limitMs: 300},
  );
  const answers = await Promise.all([ask('/metrics'), ask('/healthz')]);
  expect(answers.map(({status}) => status)).toEqual([200, 503]);
  expect(answers[0].text).toContain('\nsluice_up 0\n');
  expect(answers[1].text).not.toContain('canary');
  for (const server of servers.splice(0)) await server.close();
  silent.close();
});
