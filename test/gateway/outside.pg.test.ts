import pg from 'pg';
import {afterAll, beforeAll, beforeEach, describe, expect, test} from 'vitest';
import {poll} from '../../scripts/process/poll.ts';
import {cancel} from './cancel-request.ts';
import {GatewayWorld} from './gateway-world.ts';
import {Q, S, run} from './messages.ts';
import {RawClient} from './raw-client.ts';
import {transcript} from './transcript.ts';

const CANCELLED = /^E SERROR \/ VERROR \/ C57014 /;

describe.each([18, 15] as const)('PostgreSQL %i: work outside of the engine', version => {
  let world: GatewayWorld;
  let admin: pg.Client;
  /** What the running work was told; `finish` ends it well. */
  let signal: AbortSignal | undefined;
  let finish: () => void;

  beforeAll(async () => {
    world = await GatewayWorld.open(version, '');
    admin = new pg.Client({connectionString: world.superuser});
    await admin.connect();
  });
  beforeEach(() => {
    signal = undefined;
    world.outside = given => {
      signal = given;
      return new Promise(resolve => (finish = resolve));
    };
  });
  afterAll(async () => {
    await admin.end();
    await world[Symbol.asyncDispose]();
  });

  /** Until the work is under way and the backend waits for it. */
  const untilWaiting = (processId: number) =>
    poll('the backend to wait', 30_000, async () => {
      const {rows} = await admin.query(
        `SELECT l.objid FROM pg_stat_activity a JOIN pg_locks l USING (pid)
          WHERE pid = $1 AND wait_event = 'advisory' AND l.locktype = 'advisory' AND NOT l.granted`,
        [processId],
      );
      return signal !== undefined && rows.length === 1;
    });

  const noLocksLeft = () =>
    poll('the locks to be free', 30_000, async () => {
      const {rows} = await admin.query(`SELECT FROM pg_locks WHERE locktype = 'advisory'
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())`);
      return rows.length === 0;
    });

  test('it ends well', async () => {
    await using client = await RawClient.connect(world.through);
    client.send(Q('SELECT 1; OURS WAIT; SELECT 2'), Q('SELECT 3'));
    await untilWaiting(client.processId);
    finish();
    const seen = transcript(await client.ready(2)).filter(line => line.startsWith('C'));
    expect(seen).toEqual(['C SELECT 1', 'C OURS', 'C SELECT 1', 'C SELECT 1']);
    expect(signal?.aborted).toBe(false);
    await noLocksLeft();
  });

  test('it fails', async () => {
    world.outside = () => Promise.reject(new Error('no broker'));
    await using client = await RawClient.connect(world.through);
    client.send(Q('OURS WAIT'));
    expect(transcript(await client.ready())[0]).toContain('CXX000');
    await noLocksLeft();
  });

  test.each([
    ['simple', Q('OURS WAIT')],
    ['extended', Buffer.concat([run('OURS WAIT'), S])],
  ])('a cancel request, %s protocol', async (_, frames) => {
    await using client = await RawClient.connect(world.through);
    client.send(frames);
    await untilWaiting(client.processId);
    await cancel(world.through, client);
    const seen = transcript(await client.ready());
    expect(seen.at(-2)).toMatch(CANCELLED);
    expect(seen.at(-1)).toBe('Z I');
    expect(signal?.aborted).toBe(true);
    client.send(Q('SELECT 1'));
    expect(transcript(await client.ready()).at(-1)).toBe('Z I');
    await noLocksLeft();
  });

  test('pg_cancel_backend, inside a transaction', async () => {
    await using client = await RawClient.connect(world.through);
    client.send(Q('BEGIN'), Q('OURS WAIT'));
    await untilWaiting(client.processId);
    await admin.query('SELECT pg_cancel_backend($1)', [client.processId]);
    const seen = transcript(await client.ready(2));
    expect(seen.at(-2)).toMatch(CANCELLED);
    expect(seen.at(-1)).toBe('Z E');
    expect(signal?.aborted).toBe(true);
  });

  test('statement_timeout', async () => {
    await using client = await RawClient.connect(world.through);
    client.send(Q("SET statement_timeout = '150ms'"), Q('OURS WAIT'));
    const seen = transcript(await client.ready(2));
    expect(seen.at(-2)).toMatch(CANCELLED);
    expect(signal?.aborted).toBe(true);
  });

  test('the backend is terminated', async () => {
    await using client = await RawClient.connect(world.through);
    client.send(Q('OURS WAIT'));
    await untilWaiting(client.processId);
    await admin.query('SELECT pg_terminate_backend($1)', [client.processId]);
    const seen = transcript(await client.until(() => false));
    expect(seen).toHaveLength(1);
    expect(seen[0]).toContain('SFATAL / VFATAL / C57P01');
    await poll('the signal', 30_000, () => signal?.aborted);
    await noLocksLeft();
  });

  test('lock_timeout is for other locks', async () => {
    await using client = await RawClient.connect(world.through);
    client.send(Q("SET lock_timeout = '1ms'"), Q('BEGIN'), Q('OURS WAIT'), Q('SHOW lock_timeout'));
    await untilWaiting(client.processId);
    await poll('the wait to last', 30_000, async () => {
      const {rows} = await admin.query<{long: boolean}>(
        "SELECT clock_timestamp() - query_start > '100ms' AS long FROM pg_stat_activity WHERE pid = $1",
        [client.processId],
      );
      return rows[0].long;
    });
    finish();
    const seen = transcript(await client.ready(4));
    expect(seen).toContain('C OURS');
    expect(seen.filter(line => line.startsWith('D'))).toEqual([
      `D 000100000003${Buffer.from('1ms').toString('hex')} 9`,
    ]);
  });

  test('the control connection is lost: what waits can still be cancelled', async () => {
    await using client = await RawClient.connect(world.through);
    client.send(Q('OURS WAIT'));
    await untilWaiting(client.processId);
    const {processID} = world.control.at(-1) as unknown as {processID: number};
    await admin.query('SELECT pg_terminate_backend($1)', [processID]);
    await poll('another control connection', 30_000, () => {
      const {processID: latest} = world.control.at(-1) as unknown as {processID: number};
      return latest !== processID;
    });
    await untilWaiting(client.processId);
    await admin.query('SELECT pg_cancel_backend($1)', [client.processId]);
    expect(transcript(await client.ready())[0]).toMatch(CANCELLED);
    await noLocksLeft();
  });

  test('the client goes: the statement ends as one of PostgreSQL would, and so does the session', async () => {
    const client = await RawClient.connect(world.through);
    client.send(Q('OURS WAIT'));
    await untilWaiting(client.processId);
    await client[Symbol.asyncDispose]();
    finish();
    await poll('the end of the backend', 30_000, async () => {
      const {rowCount} = await admin.query('SELECT FROM pg_stat_activity WHERE pid = $1', [client.processId]);
      return rowCount === 0;
    });
  });

  test('the gateway stops', async () => {
    const stopping = await GatewayWorld.open(version, '');
    stopping.outside = given => {
      signal = given;
      return new Promise(() => undefined);
    };
    await using idle = await RawClient.connect(stopping.through);
    await using busy = await RawClient.connect(stopping.through);
    busy.send(Q('OURS WAIT'));
    await poll('the work to begin', 30_000, () => signal !== undefined);
    const closed = stopping.gateway.close(300);
    expect(transcript(await idle.until(() => false)).at(-1)).toContain('SFATAL / VFATAL / C57P01');
    expect(signal?.aborted).toBe(false);
    expect(transcript(await busy.until(() => false)).at(-1)).toContain('SFATAL / VFATAL / C57P01');
    await closed;
    await poll('the signal', 30_000, () => signal?.aborted);
    await stopping[Symbol.asyncDispose]();
  });
});
