import {once} from 'node:events';
import pg from 'pg';
import {afterAll, beforeAll, expect, test} from 'vitest';
import {poll} from '../../scripts/process/poll.ts';
import {FRONTEND} from '../../src/gateway/frontend-messages.ts';
import {GatewayWorld} from './gateway-world.ts';
import {B, E, P, Q, S, X, c, d, run} from './messages.ts';
import {RawClient} from './raw-client.ts';
import {BareConnection} from './scram-login.ts';
import {transcript} from './transcript.ts';

const MIB = 1024 * 1024;
/** What may lie between a client and its backend: the kernel's buffers (up to 6 MB a loopback connection here) and ours. */
const IN_BETWEEN = 32 * MIB;

let world: GatewayWorld;
let admin: pg.Client;
beforeAll(async () => {
  world = await GatewayWorld.open(18, 'CREATE TABLE t (id int, name text)');
  admin = new pg.Client({connectionString: world.superuser});
  await admin.connect();
});
afterAll(async () => {
  await admin.end();
  await world[Symbol.asyncDispose]();
});

const waitEvent = async (processId: number): Promise<string | undefined> => {
  const {rows} = await admin.query<{wait_event: string}>('SELECT wait_event FROM pg_stat_activity WHERE pid = $1', [
    processId,
  ]);
  return rows[0]?.wait_event;
};

const backendsOf = async (): Promise<number> => {
  const {rows} = await admin.query<{count: number}>(
    "SELECT count(*)::int AS count FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'",
  );
  return rows[0].count;
};

/** Writes until what lies here is no longer taken from us, and returns how many bytes were. */
async function flood(client: RawClient, chunk: Buffer, limit: number): Promise<number> {
  const {socket} = client;
  let written = 0;
  while (written < limit) {
    written += chunk.length;
    if (socket.write(chunk)) continue;
    const drained = await Promise.race([
      once(socket, 'drain').then(() => true),
      new Promise<false>(resolve => setTimeout(() => resolve(false), 1000)),
    ]);
    if (!drained) break;
  }
  return written - socket.writableLength;
}

test('a client that does not read stops its backend, and nothing collects here', async () => {
  await using client = await RawClient.connect(world.through);
  client.socket.pause();
  const before = process.memoryUsage().rss;
  client.send(Q("SELECT repeat('x', 10000) FROM generate_series(1, 40000)"));
  let waits = 0;
  await poll('the backend to be stopped by its client', 30_000, async () => {
    waits = (await waitEvent(client.processId)) === 'ClientWrite' ? waits + 1 : 0;
    return waits === 10;
  });
  expect(process.memoryUsage().rss - before).toBeLessThan(IN_BETWEEN);

  client.socket.resume();
  let rows = 0;
  await client.until(({type}) => {
    if (type === 'D') rows++;
    return type === 'Z';
  });
  expect(rows).toBe(40_000);
});

test('COPY data that the backend does not take stops its client', async () => {
  await using client = await RawClient.connect(world.through);
  await admin.query('BEGIN; LOCK TABLE t');
  client.send(Q('COPY t FROM STDIN'));
  const row = d(`1\t${'x'.repeat(60_000)}\n`);
  const taken = await flood(client, row, 200 * MIB);
  expect(taken).toBeLessThan(IN_BETWEEN);
  const left = client.socket.writableLength;
  expect(left).toBeGreaterThan(0);

  await admin.query('COMMIT');
  client.send(c, Q('SELECT count(*) > 100 FROM t'));
  const seen = transcript(await client.ready(2));
  expect(seen).toContain(`D 000100000001${Buffer.from('t').toString('hex')} 7`);
});

test('messages behind a statement of ours that waits stop their client', async () => {
  let finish: (() => void) | undefined;
  world.outside = () => new Promise(resolve => (finish = resolve));
  await using client = await RawClient.connect(world.through);
  client.send(Q('OURS WAIT'));
  const select = run(`SELECT length('${'x'.repeat(60_000)}')`);
  const taken = await flood(client, Buffer.concat([select, S]), 200 * MIB);
  expect(taken).toBeLessThan(IN_BETWEEN);
  await poll('the work to begin', 30_000, () => finish !== undefined);
  finish?.();
  client.send(Q("SELECT 'the end'"));
  const seen = await client.until(({type, body}) => type === 'D' && body.includes('the end'));
  expect(seen.filter(({type}) => type === 'E')).toEqual([]);
});

test('a parameter of 100 MB goes through in pieces', async () => {
  await using client = await RawClient.connect(world.through);
  const before = process.memoryUsage().rss;
  const parameter = B(['x'.repeat(100 * MIB)]);
  const own = parameter.length * 3;
  client.send(P('SELECT length($1)'), parameter, E(), S);
  const seen = transcript(await client.ready());
  expect(seen).toContain(`D 000100000009${Buffer.from(String(100 * MIB)).toString('hex')} 15`);
  expect(process.memoryUsage().rss - before - own).toBeLessThan(2 * IN_BETWEEN);
});

test('a statement that is too long is refused in its place', async () => {
  await using client = await RawClient.connect(world.through);
  client.send(Q('BEGIN'), Q('SELECT 1'));
  const size = 300 * MIB;
  const chunk = Buffer.alloc(MIB, 0x20);
  for (const type of [FRONTEND.query, FRONTEND.parse]) {
    const header = Buffer.from([type, 0, 0, 0, 0]);
    header.writeUInt32BE(4 + size, 1);
    client.socket.write(header);
    for (let sent = 0; sent < size; sent += MIB) if (!client.socket.write(chunk)) await once(client.socket, 'drain');
    client.send(type === FRONTEND.query ? Q('ROLLBACK') : S, Q('SELECT 2'));
  }
  const seen = transcript(await client.ready(7)).filter(line => /^[ZE]/.test(line));
  const refused = expect.stringContaining('C54000 / Mstatement is too long') as string;
  // A Query aborts the transaction that it stands in; a Parse fails until Sync.
  expect(seen).toEqual(['Z T', 'Z T', refused, 'Z E', 'Z I', 'Z I', refused, 'Z I', 'Z I']);
});

test('short sessions, cut in every way, leave nothing behind', async () => {
  const before = await backendsOf();
  const one = async (kind: number) => {
    if (kind === 0) {
      const client = await RawClient.connect(world.through);
      client.send(Q('SELECT 1'), X);
      await client.until(() => false);
    } else if (kind === 1) {
      const client = await RawClient.connect(world.through);
      client.send(Q('SELECT pg_sleep(0.01)'));
      client.socket.destroy();
    } else if (kind === 2) {
      const client = await RawClient.connect(world.through);
      client.send(Q('COPY t FROM STDIN'), d('1\ta\n'));
      client.socket.resetAndDestroy();
    } else if (kind === 3) {
      const client = await RawClient.connect(world.through);
      client.socket.pause();
      client.send(Q("SELECT repeat('x', 10000) FROM generate_series(1, 10000)"));
      await poll('the backend to write', 30_000, async () => (await waitEvent(client.processId)) === 'ClientWrite');
      client.socket.destroy();
    } else {
      const connection = await BareConnection.open(world.through);
      connection.socket.write(Buffer.from([0, 0, 0]));
      connection.socket.destroy();
    }
  };
  for (let round = 0; round < 8; round++) await Promise.all([0, 1, 2, 3, 4].map(one));
  await poll('the backends to end', 30_000, async () => (await backendsOf()) === before);
  await poll('the sessions to end', 30_000, () => world.gateway.sessions === 0);
});
