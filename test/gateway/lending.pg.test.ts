import pg from 'pg';
import {afterAll, beforeAll, describe, expect, test} from 'vitest';
import {poll} from '../../scripts/process/poll.ts';
import {NativeRelay} from '../../src/gateway/native-relay.ts';
import {GatewayWorld} from './gateway-world.ts';
import {B, E, H, P, Q, S, c, d, run} from './messages.ts';
import {RawClient} from './raw-client.ts';
import {transcript} from './transcript.ts';

const relay = NativeRelay.shared();
const SETUP = 'CREATE TABLE t (id int PRIMARY KEY, name text)';
const SESSIONS = 40;

describe.runIf(process.platform === 'linux')('sessions whose traffic the native relay carries', () => {
  let world: GatewayWorld;
  let admin: pg.Client;
  beforeAll(async () => {
    world = await GatewayWorld.open(18, SETUP);
    admin = new pg.Client({connectionString: world.superuser});
    await admin.connect();
  });
  afterAll(async () => {
    await admin.end();
    await world[Symbol.asyncDispose]();
    expect(relay!.lent).toBe(0);
  });

  const untilLent = (count: number): Promise<unknown> => poll('the loans', 30_000, () => relay!.lent === count);

  const backendEnds = (processId: number): Promise<unknown> =>
    poll('the end of the backend', 30_000, async () => {
      const {rowCount} = await admin.query('SELECT FROM pg_stat_activity WHERE pid = $1', [processId]);
      return rowCount === 0;
    });

  test('a session is lent, comes back for what is ours, and is lent again', async () => {
    await using client = await RawClient.connect(world.through);
    await untilLent(1);
    client.send(Q('SELECT 1'), run('SELECT 2'), S, Q('OURS SHOW'), Q('SELECT 3'));
    const seen = transcript(await client.ready(4)).filter(line => line.startsWith('C'));
    expect(seen).toEqual(['C SELECT 1', 'C SELECT 1', 'C SELECT 2', 'C SELECT 1']);
    await untilLent(1);
    client.send(Q('SELECT 4'));
    await client.ready();
    expect(relay!.lent).toBe(1);
  });

  test('whatever it does, it is answered as without the relay', async () => {
    // The same session goes on, so that it is at home, lent, and on its way between the two by turns.
    const bursts: Buffer[][] = [
      [Q('SELECT 1')],
      [Q('BEGIN'), Q('INSERT INTO t VALUES (1)'), run('SELECT * FROM t'), S, Q('COMMIT')],
      [Q('SELECT 1/0'), Q('SELECT 2'), Q("SET application_name = 'x'"), Q('SELECT 3')],
      [P('SELECT $1::int', 's'), S],
      [B(['5'], 's'), E(), S, B(['x'], 's'), E(), S, Q('SELECT 4')],
      [Q("SELECT set_config('TimeZone', 'Europe/Berlin', false)"), Q('SELECT 5')],
      [P('COPY t FROM STDIN', 'copy'), S],
      [Q('SELECT 6')],
      [Q('SELECT 7')],
      [B([], 'copy'), E(), d('2\ta\n'), c, S, Q('SELECT count(*) FROM t')],
      [Q('SELECT 8'), Q('COPY t FROM STDIN'), d('3\tb\n'), c, run('SELECT 9'), H, S, Q('SELECT 10')],
      Array.from({length: 700}, (_, i) => Q(`SELECT ${i}`)),
      Array.from({length: 300}, (_, i) => Buffer.concat([run(`SELECT ${i % 50} / ${i % 7}`), S])),
      [Q(`SELECT '${'x'.repeat(100_000)}'`), Q("SELECT repeat('y', 1000000)"), Q('SELECT 11')],
    ];
    const seen: string[][] = [];
    for (const url of [world.direct, world.through]) {
      await using client = await RawClient.connect(url);
      const lines: string[] = [];
      for (const frames of bursts) {
        client.send(...frames);
        const answers = frames.filter(frame => frame[0] === Q('')[0] || frame.subarray(-5).equals(S));
        lines.push(...transcript(await client.ready(answers.length)));
      }
      seen.push(lines);
    }
    expect(seen[1]).toEqual(seen[0]);
  });

  test('a session that is ended from elsewhere hears why', async () => {
    await using client = await RawClient.connect(world.through);
    await untilLent(1);
    await admin.query('SELECT pg_terminate_backend($1)', [client.processId]);
    expect(transcript(await client.until(() => false)).join()).toContain('C57P01');
    await untilLent(0);
  });

  test('a client that goes takes its backend with it, at rest and in the middle of a statement', async () => {
    for (const statement of [undefined, 'SELECT 1', "SELECT repeat('x', 100000) FROM generate_series(1, 1000)"]) {
      const client = await RawClient.connect(world.through);
      await untilLent(1);
      if (statement !== undefined) client.send(Q(statement));
      client.socket.resetAndDestroy();
      await backendEnds(client.processId);
      await untilLent(0);
    }
  });

  test('many at once, and a gateway that stops ends each of them outside of its transaction', async () => {
    const stopping = await GatewayWorld.open(18, SETUP);
    const clients = await Promise.all(Array.from({length: SESSIONS}, () => RawClient.connect(stopping.through)));
    await Promise.all(
      clients.map(async (client, i) => {
        for (let round = 0; round < 20; round++) {
          client.send(Q(`SELECT ${i}, ${round}`));
          const rows = transcript(await client.ready()).filter(line => line.startsWith('D'));
          expect(rows).toHaveLength(1);
        }
      }),
    );
    await untilLent(SESSIONS);
    const [busy, ...idle] = clients;
    busy.send(Q('BEGIN'));
    await busy.ready();
    const closed = stopping.gateway.close(60_000);
    for (const client of idle) {
      expect(transcript(await client.until(() => false)).at(-1)).toContain('C57P01');
    }
    busy.send(Q('INSERT INTO t VALUES (1)'), Q('COMMIT'));
    const seen = transcript(await busy.until(() => false));
    expect(seen.filter(line => line.startsWith('C'))).toEqual(['C INSERT 0 1', 'C COMMIT']);
    expect(seen.at(-1)).toContain('C57P01');
    await closed;
    await stopping[Symbol.asyncDispose]();
    await untilLent(0);
  });
});
