import {once} from 'node:events';
import net from 'node:net';
import pg from 'pg';
import {expect, test} from 'vitest';
import {GatewayServer} from '../../src/gateway/gateway-server.ts';
import {createTestDatabase} from '../setup/postgres.ts';
import {BARE_GATEWAY} from './bare-gateway.ts';

test('a backend that is lost while its client is being admitted leaves no client waiting', async () => {
  await using database = await createTestDatabase();
  const engine = net.createServer();
  const accepted = once(engine, 'connection') as Promise<[net.Socket]>;
  await once(engine.listen(0, '127.0.0.1'), 'listening');
  const gateway = new GatewayServer({
    ...BARE_GATEWAY,
    engine: {...database.address, host: '127.0.0.1', port: (engine.address() as net.AddressInfo).port},
    // Who the client is is asked here, when there is a backend for it already.
    connectControl: async () => {
      const client = new pg.Client({connectionString: database.url});
      await client.connect();
      const [backend] = await accepted;
      backend.resetAndDestroy();
      // The gateway has heard of it when this is answered.
      await client.query('SELECT 1');
      return client;
    },
    takesAdministrators: true,
  });
  const {port} = await gateway.listen();
  const through = new URL(database.url);
  through.host = `127.0.0.1:${port}`;
  const client = new pg.Client({connectionString: through.href});
  try {
    await expect(client.connect()).rejects.toMatchObject({code: '57P03', message: 'the engine cannot be reached'});
  } finally {
    await gateway.close(0);
    engine.close();
  }
});
