import {readFile} from 'node:fs/promises';
import {join} from 'node:path';
import type pg from 'pg';
import {afterAll, beforeAll, expect, test, vi} from 'vitest';
import {Child} from '../../scripts/process/child.ts';
import {poll} from '../../scripts/process/poll.ts';
import {SluiceProcess} from '../crash/sluice-process.ts';
import {connectionSql, freshTopicName} from '../setup/kafka.ts';
import {SLUICE} from '../setup/program.ts';

// Several waits of a minute each may follow one another on a busy machine.
vi.setConfig({testTimeout: 300_000, hookTimeout: 300_000});

let sluice: SluiceProcess;
let client: pg.Client;

beforeAll(async () => {
  sluice = await SluiceProcess.create();
  await sluice.start({SLUICE_METRICS_LISTEN: '127.0.0.1:0', SLUICE_LOG_LEVEL: 'debug'});
  client = await sluice.connect();
  await client.query(connectionSql());
  await client.query('CREATE TABLE t (id int PRIMARY KEY, note text)');
  await client.query(`INSERT INTO t VALUES (1, 'canary-value'), (2, 'b')`);
  await client.query(
    `CREATE SINK s FROM t INTO KAFKA CONNECTION kafka (TOPIC '${freshTopicName()}') KEY (id) FORMAT JSON ENVELOPE UPSERT`,
  );
});
afterAll(async () => {
  await client.end();
  await sluice[Symbol.asyncDispose]();
});

interface Line {
  readonly level: string;
  readonly time: string;
  readonly pid: number;
  readonly name: string;
  readonly cluster?: string;
  readonly sink?: string;
  readonly port?: number;
  readonly msg: string;
}

/** Standard output and error: all but the one line that start promises is JSON. */
async function logLines(): Promise<readonly Line[]> {
  const text = await readFile(sluice.logFile, 'utf8');
  const lines = text.trimEnd().split('\n');
  return lines.filter(line => !line.startsWith('sluice is ready: ')).map(line => JSON.parse(line) as Line);
}

async function get(path: string): Promise<Response> {
  const {port} = (await logLines()).find(({msg}) => msg === 'metrics and health are served')!;
  return await fetch(`http://127.0.0.1:${port}${path}`);
}

const scrape = async () => (await get('/metrics')).text();
const SINK = 'sink="materialize.public.s",sink_id="u2",cluster="quickstart"';

/** Waits until the metrics have this line. */
const shows = (line: string) =>
  poll(`the metric ${line}`, 60_000, async () => (await scrape()).includes(`\n${line}\n`));

test('a sink in metrics: what it has committed, and the log that is held back', async () => {
  await shows(`sluice_sink_status{${SINK},status="running"} 1`);
  await shows(`sluice_sink_messages_committed_total{${SINK}} 2`);
  const text = await scrape();
  expect(text).toMatch(/^sluice_cluster_retained_wal_bytes\{cluster="quickstart"\} [1-9]\d*$/m);
  expect(text).toMatch(/^sluice_sink_lag_bytes\{.*\} \d+$/m);
  expect(text).toMatch(/^sluice_sink_lag_seconds\{.*\} [\d.]+$/m);
  expect(text).toContain('\nsluice_cluster_slot_active{cluster="quickstart"} 1\n');
  expect(text).toContain('\nsluice_gateway_sessions 1\n');
});

test('a worker that was killed is counted, and health comes back', async () => {
  await shows('sluice_worker_restarts_total{cluster="quickstart"} 0');
  await sluice.killWorkers();
  await shows('sluice_worker_restarts_total{cluster="quickstart"} 1');
  await poll('health', 60_000, async () => (await get('/healthz')).status === 200);
  await shows(`sluice_sink_status{${SINK},status="running"} 1`);
});

test('a cluster elsewhere has an address of its own', async () => {
  const logFile = join(sluice.directory, 'cluster.log');
  const cluster = await Child.spawn({
    command: process.execPath,
    args: [
      ...[SLUICE, 'cluster', 'quickstart', '--metrics-listen', '127.0.0.1:0'],
      ...['--postgres', await sluice.engineUrl(), '--data-dir', join(sluice.directory, 'cluster')],
    ],
    logFile,
  });
  try {
    const port = await poll('its address', 60_000, async () => {
      if (!cluster.running) throw new Error(await readFile(logFile, 'utf8'));
      return /"port":(\d+),"msg":"metrics and health are served"/.exec(await readFile(logFile, 'utf8'))?.[1];
    });
    await poll('its worker in its metrics', 60_000, async () => {
      const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
      expect(text).not.toContain('\nsluice_gateway_sessions ');
      return (
        text.includes('\nsluice_worker_restarts_total{cluster="quickstart"} 0\n') && text.includes('\nsluice_up 1\n')
      );
    });
    // The lease is held, by the worker of the main process.
    expect((await fetch(`http://127.0.0.1:${port}/healthz`)).status).toBe(200);
  } finally {
    await cluster.end('SIGTERM');
  }
});

test('a stalled sink shows its code, and does not make Sluice unhealthy', async () => {
  await client.query('ALTER TABLE t DROP COLUMN note');
  await shows(`sluice_sink_stalled{${SINK},code="SL001",retrying="false"} 1`);
  await shows(`sluice_sink_stalls_total{${SINK},code="SL001"} 1`);
  const health = await get('/healthz');
  expect([health.status, await health.json()]).toMatchObject([200, {status: 'ok', failing: []}]);
});

test('a paused cluster is not unhealthy, and holds its log back', async () => {
  await client.query('ALTER CLUSTER quickstart SET (REPLICATION FACTOR 0)');
  await shows('sluice_cluster_wanted{cluster="quickstart"} 0');
  await shows('sluice_cluster_lease_live{cluster="quickstart"} 0');
  await shows(`sluice_sink_status{${SINK},status="paused"} 1`);
  expect((await get('/healthz')).status).toBe(200);
  expect(await scrape()).toMatch(/^sluice_cluster_retained_wal_bytes\{cluster="quickstart"\} [1-9]\d*$/m);
  await client.query('ALTER CLUSTER quickstart SET (REPLICATION FACTOR 1)');
});

test('every line of the log is JSON and says which process speaks, for which cluster and sink; rows are not in it', async () => {
  await poll('the worker of the resumed cluster', 60_000, async () => {
    return (await logLines()).filter(({msg}) => msg === 'worker owns the cluster').length >= 3;
  });
  const lines = await logLines();
  for (const line of lines) {
    expect(['debug', 'info', 'warn', 'error'], line.msg).toContain(line.level);
    expect(line.time).toMatch(/^\d{4}-\d\d-\d\dT[\d:.]+Z$/);
    expect(line.pid).toBeGreaterThan(0);
    expect(line.msg).not.toBe('');
    expect(['sluice', 'worker']).toContain(line.name);
    if (line.name === 'worker') expect(line.cluster, line.msg).toBe('u1');
  }
  expect(lines.some(({name, sink}) => name === 'worker' && sink === 'u2')).toBe(true);
  const text = await readFile(sluice.logFile, 'utf8');
  expect(text).not.toContain('canary-value');
  for (const line of text.trimEnd().split('\n')) {
    const keys = [...line.matchAll(/[{,]"(cluster|sink|pid|name)":/g)].map(([, key]) => key);
    expect(new Set(keys).size, line).toBe(keys.length);
  }
});
