import {afterEach, describe, expect, test, vi} from 'vitest';
import {poll} from '../../scripts/process/poll.ts';
import {randomFrom} from '../changes/random-writers.ts';
import {StreamRecorder} from '../changes/stream-recorder.ts';
import {codeOf, World} from '../changes/world.ts';
import {readersRunning} from './readers-running.ts';

const ROWS = 40_000;

afterEach(() => void vi.unstubAllEnvs());

describe.runIf(process.platform === 'linux')('a change stream that a thread reads ahead', () => {
  test('is the one that Node.js reads by itself, whatever the pauses', async () => {
    const seed = Math.floor(Math.random() * 2 ** 31);
    const random = randomFrom(seed);
    await using world = await World.open();
    await world.publishedTable('t', 'id int, a text');
    const start = await world.confirmedLsn();
    // Some 8 MB, four rounds of the ring, in transactions of 1 to 8 000 rows.
    for (let id = 0; id < ROWS;) {
      const rows = Math.min(ROWS - id, 1 + Math.floor(random() ** 4 * 8000));
      const insert = `INSERT INTO t SELECT i, repeat('x', i % 300) FROM generate_series($1::int, $2::int) i`;
      await world.client.query(insert, [id, id + rows - 1]);
      id += rows;
    }
    const read = async (reader: 'thread' | 'typescript'): Promise<unknown> => {
      vi.stubEnv('SLUICE_STREAM_READER', reader);
      const recorder: StreamRecorder = new StreamRecorder(() => {
        const dice = random();
        if (dice > 0.3) return;
        stream.pause();
        if (dice < 0.1) stream.resume();
        else if (dice < 0.2) setImmediate(() => stream.resume());
        else setTimeout(() => stream.resume(), 60 * dice);
      });
      const {stream, done} = await world.run(recorder, {start});
      expect(readersRunning()).toBe(reader === 'thread' ? 1 : 0);
      await world.caughtUp(recorder, done);
      await stream.close();
      await poll('the thread to end', 60_000, () => readersRunning() === 0);
      return recorder.users;
    };
    const users = (await read('thread')) as StreamRecorder['users'];
    expect(
      users.flatMap(({changes}) => changes.map(({after}) => Number(after!['id']))),
      `seed ${seed}`,
    ).toEqual(Array.from({length: ROWS}, (_, id) => id));
    expect(await read('typescript'), `seed ${seed}`).toEqual(users);
  });

  test('delivers what it had read before the server ended it, and then says why', async () => {
    await using world = await World.open();
    await world.publishedTable('t', 'id int');
    const recorder = new StreamRecorder();
    // No status amid it, which would find the connection closed.
    const {stream, done} = await world.run(recorder, {statusIntervalMs: 600_000});
    stream.pause();
    for (let id = 0; id < 100; id++) await world.client.query('INSERT INTO t VALUES ($1)', [id]);
    const written = await world.client.query<{lsn: string}>('SELECT pg_current_wal_lsn()::text AS lsn');
    await poll('the server to have sent it', 60_000, async () => {
      const {rows} = await world.client.query<{sent: boolean}>(
        'SELECT sent_lsn >= $1::pg_lsn AS sent FROM pg_stat_replication WHERE pid = $2',
        [written.rows[0].lsn, stream.processId],
      );
      return rows[0].sent;
    });
    await world.client.query('SELECT pg_terminate_backend($1, 60000)', [stream.processId]);
    expect(recorder.transactions).toEqual([]);
    stream.resume();
    expect(await codeOf(done)).toBe('57P01');
    expect(recorder.users.map(({changes}) => changes[0].after)).toEqual(
      Array.from({length: 100}, (_, id) => ({id: String(id)})),
    );
    await poll('the thread to end', 60_000, () => readersRunning() === 0);
  });
});
