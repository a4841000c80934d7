import {readdirSync} from 'node:fs';
import {setFlagsFromString} from 'node:v8';
import {runInNewContext} from 'node:vm';
import pg from 'pg';
import {afterAll, beforeAll, expect, test} from 'vitest';
import {poll} from '../../scripts/process/poll.ts';
import {writeStartupPacket} from '../../src/gateway/startup-packet.ts';
import {GatewayWorld} from './gateway-world.ts';
import {Q, X} from './messages.ts';
import {BareConnection, SSL_REQUEST, scramLogin} from './scram-login.ts';

const CONNECTIONS = Number(process.env['SLUICE_CONNECTIONS'] ?? 10_000);
/** So many first, after which nothing may grow any more. */
const WARMING_UP = 200;
const AT_ONCE = 16;
const MIB = 1024 * 1024;

let world: GatewayWorld;
let admin: pg.Client;
beforeAll(async () => {
  world = await GatewayWorld.open(18, '');
  admin = new pg.Client({connectionString: world.superuser});
  await admin.connect();
});
afterAll(async () => {
  await admin.end();
  await world[Symbol.asyncDispose]();
});

const credentials = (): [string, string][] => {
  const {username, pathname} = new URL(world.through);
  return [
    ['user', username],
    ['database', pathname.slice(1)],
  ];
};

/** The ways in which a connection begins and ends; most are sessions. */
async function connectOnce(kind: number): Promise<void> {
  await using connection = await BareConnection.open(world.through);
  const {socket} = connection;
  switch (kind % 8) {
    case 0: {
      socket.write(SSL_REQUEST);
      await connection.take(1);
      return;
    }
    case 1:
      socket.write(Buffer.from([0, 0, 0, 16, 0x04, 0xd2, 0x16, 0x2e, 0, 0, 0, 1, 0, 0, 0, 1]));
      await connection.take(1);
      return;
    case 2:
      socket.write(writeStartupPacket({protocol: 0x30000, parameters: credentials()}));
      await connection.message();
      return;
    default: {
      const login = await scramLogin(connection, credentials(), 'secret');
      expect(login.at(-1)?.type).toBe('Z');
      socket.write(Q('SELECT 1; OURS RUN'));
      // Some go in the middle of it.
      if (kind % 8 === 3) return;
      await connection.until('Z');
      socket.write(X);
      await connection.take(1);
    }
  }
}

async function connectMany(count: number): Promise<void> {
  let next = 0;
  const one = async () => {
    while (next < count) await connectOnce(next++);
  };
  await Promise.all(Array.from({length: AT_ONCE}, one));
}

const backends = async (): Promise<number> => {
  const {rows} = await admin.query<{count: number}>(
    "SELECT count(*)::int AS count FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'",
  );
  return rows[0].count;
};

const descriptors = (): number => readdirSync('/proc/self/fd').length;

/** What is left then is the connection of this test and the gateway's own. */
async function settled(): Promise<void> {
  await poll('the sessions to end', 60_000, () => world.gateway.sessions === 0);
  await poll('the backends to end', 60_000, async () => (await backends()) === 2);
}

function heapBytes(): number {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  collect();
  return process.memoryUsage().heapUsed + process.memoryUsage().external;
}

test(`${CONNECTIONS} short connections leave no session, backend, descriptor or memory behind`, async () => {
  await connectMany(WARMING_UP);
  await settled();
  const idleDescriptors = descriptors();
  const idleBytes = heapBytes();

  await connectMany(CONNECTIONS);
  await settled();
  await poll('the descriptors to be closed', 60_000, () => descriptors() <= idleDescriptors);
  // 400 bytes a connection would be seen.
  expect(heapBytes() - idleBytes).toBeLessThan(4 * MIB);
}, 1_200_000);
