import pg from 'pg';
import {afterEach, beforeEach, expect, test, vi} from 'vitest';
import {poll} from '../../scripts/process/poll.ts';
import {connect} from '../../src/engine/connect.ts';
import {GatewayWorld} from '../gateway/gateway-world.ts';
import {Q} from '../gateway/messages.ts';
import {RawClient} from '../gateway/raw-client.ts';
import {transcript} from '../gateway/transcript.ts';
import {addressOf, serverUrl} from '../setup/postgres.ts';
import {LinkProxy} from './link-proxy.ts';

vi.setConfig({testTimeout: 180_000, hookTimeout: 120_000});

/** Long enough for every answer of a PostgreSQL that lives. */
const DEAD_MS = 5_000;

let proxy: LinkProxy;
let world: GatewayWorld;
let admin: pg.Client;
/** How often the gateway has opened a connection of its own, which goes through the proxy; the clients' backends do not. */
let opened: number;

beforeEach(async () => {
  const {hostname, port} = serverUrl();
  proxy = await LinkProxy.start(`${hostname}:${port}`);
  opened = 0;
  world = await GatewayWorld.open(18, '', {
    deadMs: DEAD_MS,
    connectControl: () => {
      opened++;
      const address = {...addressOf(new URL(world.superuser)), host: '127.0.0.1', port: Number(proxy.port)};
      return connect(address, {applicationName: 'control', connectTimeoutMs: DEAD_MS});
    },
  });
  admin = new pg.Client({connectionString: world.superuser});
  await admin.connect();
  await works();
});
afterEach(async () => {
  proxy.heal();
  await admin.end();
  await world[Symbol.asyncDispose]();
  await proxy[Symbol.asyncDispose]();
});

async function works(): Promise<void> {
  await using client = await RawClient.connect(world.through);
  client.send(Q('SELECT 1; OURS RUN'));
  expect(transcript(await client.ready()).filter(line => line.startsWith('C'))).toEqual(['C SELECT 1', 'C OURS']);
}

const waitsForUs = (processId: number) =>
  poll('the backend to wait for us', 60_000, async () => {
    const {rowCount} = await admin.query("SELECT FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'advisory'", [
      processId,
    ]);
    return rowCount === 1;
  });

test('a dead connection of the gateway holds up log-ins for a while, and then all of them get in', async () => {
  expect(opened).toBe(1);
  proxy.forget();
  await Promise.all(Array.from({length: 5}, works));
  expect(opened).toBe(2);
});

test('without a new connection log-ins end with an error, and work again as soon as there is one', async () => {
  proxy.holdUp();
  const refused = {code: '57P03', hint: 'Try again later.', message: 'the engine cannot be reached'};
  await expect(new pg.Client({connectionString: world.through}).connect()).rejects.toMatchObject(refused);
  proxy.heal();
  await works();
});

test('a statement of ours whose lock is on a connection that died meanwhile ends when its work is done', async () => {
  let finish: (() => void) | undefined;
  world.outside = () => new Promise(resolve => (finish = resolve));
  await using client = await RawClient.connect(world.through);
  client.send(Q('OURS WAIT; SELECT 1'));
  await waitsForUs(client.processId);
  proxy.forget();
  finish?.();
  expect(transcript(await client.ready()).filter(line => /^[CE]/.test(line))).toEqual(['C OURS', 'C SELECT 1']);
  const {rowCount} = await admin.query(`SELECT FROM pg_locks WHERE locktype = 'advisory'
    AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`);
  expect(rowCount).toBe(0);
});

test('a statement of ours that begins when the connection is dead waits on another one, and can be cancelled', async () => {
  let signal: AbortSignal | undefined;
  world.outside = given => {
    signal = given;
    return new Promise(() => undefined);
  };
  await using client = await RawClient.connect(world.through);
  proxy.forget();
  client.send(Q('OURS WAIT'));
  await waitsForUs(client.processId);
  await admin.query('SELECT pg_cancel_backend($1)', [client.processId]);
  expect(transcript(await client.ready())[0]).toContain('C57014');
  expect(signal?.aborted).toBe(true);
});

test('where there is no connection at all the work of a statement is done all the same', async () => {
  await using client = await RawClient.connect(world.through);
  proxy.cut();
  client.send(Q('OURS WAIT'));
  expect(transcript(await client.ready())).toEqual(['C OURS', 'Z I']);
});

test('the gateway stops although its connection is dead', async () => {
  proxy.forget();
  await world.gateway.close(0);
});
