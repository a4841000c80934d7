import {existsSync, mkdirSync, readdirSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {describe, expect, test} from 'vitest';
import {poll} from '../../scripts/process/poll.ts';
import {PostgresServer} from '../../scripts/postgres/server.ts';
import {isStreamDead} from '../../src/changes/replication-stream.ts';
import {streamErrorPasses} from '../../src/changes/server-error.ts';
import {checkStart, createSlot, dropSlot, inspectSlot, releaseSlot} from '../../src/changes/slot.ts';
import {StreamRecorder} from './stream-recorder.ts';
import {codeOf, World} from './world.ts';

test('silence counts only while nothing waits for us', () => {
  expect(isStreamDead({silentMs: 1001, queued: 0, limitMs: 1000})).toBe(true);
  expect(isStreamDead({silentMs: 1000, queued: 0, limitMs: 1000})).toBe(false);
  expect(isStreamDead({silentMs: 99_999, queued: 1, limitMs: 1000})).toBe(false);
});

describe.each([15, 18] as const)('PostgreSQL %i', version => {
  test('begun again at an end LSN it goes on with the next transaction; LSNs and times are the same every time', async () => {
    await using world = await World.open({version});
    await world.publishedTable('t', 'id int');
    const start = await world.confirmedLsn();
    const writers = await Promise.all([1, 2, 3, 4].map(() => world.connect()));
    await Promise.all(
      writers.map(async (writer, w) => {
        for (let i = 0; i < 50; i++) {
          await writer.query(`INSERT INTO t SELECT generate_series(1, ${i % 7 === 0 ? 1500 : 1})`);
          await writer.query(`BEGIN; INSERT INTO t VALUES (${w}); SAVEPOINT a; INSERT INTO t VALUES (${i}); COMMIT`);
          // Not ours: moves the log between our transactions.
          await writer.query(`SELECT pg_logical_emit_message(false, 'other', 'x')`);
        }
      }),
    );
    const all = (await world.read({start})).transactions;
    expect(all.length).toBeGreaterThan(400);
    const again = (await world.read({start, settings: {logical_decoding_work_mem: '64kB'}})).transactions;
    expect(again.slice(0, all.length)).toEqual(all);
    for (const [i, transaction] of all.entries()) {
      expect(transaction.endLsn).toBeGreaterThan(transaction.commitLsn);
      if (i > 0) expect(transaction.commitLsn).toBeGreaterThanOrEqual(all[i - 1].endLsn);
    }
    for (const i of [0, 1, 7, 100, 399]) {
      const {transactions} = await world.read({start: all[i].endLsn});
      expect(transactions[0]).toEqual(all[i + 1]);
    }
  });

  test('the slot forgets what was confirmed and nothing else, in a kill, a close and while nothing happens', async () => {
    await using world = await World.open({version});
    await world.publishedTable('t', 'id int');
    const start = await world.confirmedLsn();
    for (let i = 0; i < 3; i++) await world.client.query('INSERT INTO t VALUES (1)');
    const recorder = new StreamRecorder();
    const {stream, done} = await world.run(recorder, {statusIntervalMs: 100});
    await world.caughtUp(recorder, done);
    await world.client.query('CHECKPOINT');
    await poll('a keepalive behind all transactions', 20_000, () =>
      recorder.idles.some(lsn => lsn > recorder.transactions.at(-1)!.endLsn),
    );
    expect(await world.confirmedLsn()).toBe(start);
    const [one, two] = recorder.transactions;
    stream.confirm(one.endLsn);
    await poll('the server to hear of it', 20_000, async () => (await world.confirmedLsn()) === one.endLsn);
    stream.confirm(start);
    stream.confirm(two.endLsn);
    await stream.close();
    expect(await world.confirmedLsn()).toBe(two.endLsn);
    await expect(done).resolves.toBeUndefined();
    const {transactions} = await world.read();
    expect(transactions[0]).toEqual(recorder.transactions[2]);
    expect(await world.confirmedLsn()).toBe(two.endLsn);
  });

  test("a paused stream delivers nothing, outlives the server's time limit and goes on", async () => {
    await using world = await World.open({version});
    await world.publishedTable('t', 'id int, a text');
    const recorder: StreamRecorder = new StreamRecorder(() => {
      if (recorder.transactions.length === 3) stream.pause();
    });
    const {stream, done} = await world.run(recorder, {
      statusIntervalMs: 500,
      silenceLimitMs: 1000,
      settings: {wal_sender_timeout: '3s', logical_decoding_work_mem: '64kB'},
    });
    // More than the sockets hold, so that the server is stuck in its own write.
    for (let i = 0; i < 40; i++)
      await world.client.query(`INSERT INTO t SELECT i, repeat('x', 100) FROM generate_series(1, 5000) i`);
    await poll('the pause', 30_000, () => recorder.transactions.length >= 3);
    const {rows} = await world.client.query<{now: string}>('SELECT clock_timestamp()::text AS now');
    await poll('twice the time limit', 30_000, async () => {
      const later = await world.client.query<{late: boolean}>(
        `SELECT clock_timestamp() > $1::timestamptz + interval '6 s' AS late`,
        [rows[0].now],
      );
      return later.rows[0].late;
    });
    expect(recorder.transactions.length).toBeLessThan(10);
    stream.resume();
    await world.caughtUp(recorder, done);
    expect(recorder.users.map(({changes}) => changes.length)).toEqual(new Array(40).fill(5000));
    await stream.close();
  });

  test('a large transaction is replayed with pauses, and the timers of others run meanwhile', async () => {
    await using world = await World.open({version});
    await world.publishedTable('t', 'id int, a text');
    await world.client.query(`INSERT INTO t SELECT i, repeat('x', 100) FROM generate_series(1, 500000) i`);
    let changes = 0;
    const seen: number[] = [];
    const timer = setInterval(() => seen.push(changes), 1);
    let ended = false;
    const listener = Object.assign(new StreamRecorder(), {
      insert: () => {
        changes++;
        if (changes === 100_000) stream.pause();
      },
      commit: () => (ended = true),
    });
    const {stream} = await world.run(listener, {settings: {logical_decoding_work_mem: '64kB'}});
    await poll('the pause', 30_000, () => changes >= 100_000);
    const paused = changes;
    expect(paused).toBeLessThan(104_000);
    await poll('timers to run while it is paused', 10_000, () => seen.filter(count => count === paused).length > 20);
    expect(changes).toBe(paused);
    stream.resume();
    await poll('the end', 30_000, () => ended);
    clearInterval(timer);
    expect(changes).toBe(500_000);
    // In the middle of the replay too, not only before it, while it was paused, and after it.
    expect(seen.some(count => count > paused && count < 500_000)).toBe(true);
    await stream.close();
  });

  test('closing frees the slot at once, also in the middle of a large transaction and from inside of the listener', async () => {
    await using world = await World.open({version});
    await world.publishedTable('t', 'id int, a text');
    await world.client.query(`INSERT INTO t SELECT i, repeat('x', 100) FROM generate_series(1, 100000) i`);
    for (const settings of [{logical_decoding_work_mem: '64kB'}, {logical_decoding_work_mem: '1GB'}]) {
      let closing: Promise<void> | undefined;
      let changes = 0;
      const listener = Object.assign(new StreamRecorder(), {
        insert: () => {
          if (++changes === 50_000) closing = stream.close();
        },
      });
      const {stream, done} = await world.run(listener, {settings});
      await expect(done).resolves.toBeUndefined();
      await closing;
      const heard = changes;
      await poll(
        'the slot to be free',
        5000,
        async () => (await inspectSlot(world.client, world.name))!.activePid === undefined,
      );
      expect(changes).toBe(heard);
      expect(readdirSync(world.spoolDirectory)).toEqual([]);
    }
  });

  test('what the listener throws ends the stream and comes out of it', async () => {
    await using world = await World.open({version});
    await world.publishedTable('t', 'id int');
    await world.client.query('INSERT INTO t VALUES (1)');
    const failure = new Error('no more');
    const listener = Object.assign(new StreamRecorder(), {
      insert: () => {
        throw failure;
      },
    });
    const {done} = await world.run(listener);
    await expect(done).rejects.toBe(failure);
    await poll(
      'the slot to be free',
      20_000,
      async () => (await inspectSlot(world.client, world.name))!.activePid === undefined,
    );
  });

  test('slot in use, released by force, missing, made again, moved', async () => {
    await using world = await World.open({version});
    await world.publishedTable('t', 'id int');
    const start = await world.confirmedLsn();
    const recorder = new StreamRecorder();
    const {stream, done} = await world.run(recorder);
    const inUse = world.open();
    expect(await codeOf(inUse)).toBe('55006');
    await expect(inUse.catch(streamErrorPasses)).resolves.toBe(true);
    expect((await inspectSlot(world.client, world.name))!.activePid).toBe(stream.processId);
    await releaseSlot(world.client, world.name);
    expect((await inspectSlot(world.client, world.name))!.activePid).toBeUndefined();
    expect(await codeOf(done)).toBe('57P01');

    await dropSlot(world.client, world.name);
    await dropSlot(world.client, world.name);
    expect(await inspectSlot(world.client, world.name)).toBeUndefined();
    const missing = world.open({start});
    expect(await codeOf(missing)).toBe('42704');
    await expect(missing.catch(streamErrorPasses)).resolves.toBe(false);

    await world.client.query('INSERT INTO t VALUES (1)');
    const made = await createSlot(world.client, world.name);
    expect(made).toBeGreaterThan(start);
    expect(await codeOf(createSlot(world.client, world.name))).toBe('42710');
    // The server begins at its own position and says nothing.
    const late = await world.open({start});
    expect(await codeOf(checkStart(world.client, world.name, late.processId, start))).toBe('55000');
    await late.close();
    const right = await world.open({start: made});
    await checkStart(world.client, world.name, right.processId, made);
    expect(await codeOf(checkStart(world.client, world.name, right.processId + 1, made))).toBe('08006');
    await right.close();
  });

  test('a spool that cannot be written ends the stream with a code, and what an earlier life left is removed', async () => {
    await using world = await World.open({version});
    await world.publishedTable('t', 'id int, a text');
    mkdirSync(world.spoolDirectory, {recursive: true});
    const left = join(world.spoolDirectory, '123.transaction');
    writeFileSync(left, 'x');
    const {stream, done} = await world.run(new StreamRecorder(), {settings: {logical_decoding_work_mem: '64kB'}});
    expect(existsSync(left)).toBe(false);
    // A folder where the file of any transaction should be.
    const {rows} = await world.client
      .query<{xid: string}>(`BEGIN; SELECT pg_current_xact_id()::text AS xid`)
      .then(results => (results as unknown as {rows: {xid: string}[]}[])[1]);
    mkdirSync(join(world.spoolDirectory, `${BigInt.asUintN(32, BigInt(rows[0].xid))}.transaction`));
    await world.client.query(`INSERT INTO t SELECT i, repeat('x', 100) FROM generate_series(1, 5000) i; COMMIT`);
    const code = await codeOf(done);
    expect(code).toBe('58030');
    await stream.close();
  });

  test('a walsender that stands still is noticed', async () => {
    await using server = await PostgresServer.start({version});
    await using world = await World.on(server);
    const {stream, done} = await world.run(new StreamRecorder(), {statusIntervalMs: 500, silenceLimitMs: 3000});
    process.kill(stream.processId, 'SIGSTOP');
    try {
      expect(await codeOf(done)).toBe('08006');
    } finally {
      process.kill(stream.processId, 'SIGCONT');
    }
  });

  test('a server that is alive but has nothing to say is not taken for dead', async () => {
    await using world = await World.open({version});
    const recorder = new StreamRecorder();
    const {stream, done} = await world.run(recorder, {statusIntervalMs: 500, silenceLimitMs: 2000});
    await poll('several answers', 30_000, () => recorder.idles.length >= 5);
    await world.caughtUp(recorder, done);
    await stream.close();
  });

  test('a fast shutdown is not held up by us, and a crash is a lost connection', async () => {
    await using server = await PostgresServer.start({version});
    await using world = await World.on(server);
    await world.publishedTable('t', 'id int');
    await world.client.query('INSERT INTO t VALUES (1)');
    const first = await world.run(new StreamRecorder());
    const stopping = performance.now();
    await server.stop();
    expect(performance.now() - stopping).toBeLessThan(10_000);
    expect(streamErrorPasses(await first.done.catch((error: unknown) => error))).toBe(true);
    await server.start();
    const second = await world.run(new StreamRecorder(), {start: 0n});
    await server.kill();
    const error = await second.done.catch((error: unknown) => error);
    expect(streamErrorPasses(error)).toBe(true);
    await server.start();
  });
});
