import {writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {describe, expect, test} from 'vitest';
import {PostgresServer} from '../../scripts/postgres/server.ts';
import {forgetClockRecords, readClockRecords, recordClock} from '../../src/changes/clock-record.ts';
import {LogicalClock} from '../../src/changes/logical-clock.ts';
import {beat, Heartbeat} from '../../src/changes/heartbeat.ts';
import {describeBlockers} from '../../src/changes/lock-holders.ts';
import {ensurePublication, isPublished, SENDS_EVERYTHING} from '../../src/changes/publication.ts';
import {streamErrorPasses} from '../../src/changes/server-error.ts';
import {createSlot, inspectSlot} from '../../src/changes/slot.ts';
import {identifySystem, isInOurPast, readTimelineHistory} from '../../src/changes/system-identity.ts';
import {poll} from '../../scripts/process/poll.ts';
import type {RecordedTransaction} from './stream-recorder.ts';
import {codeOf, World} from './world.ts';

function timesOf(transactions: readonly RecordedTransaction[], start: bigint): bigint[] {
  const clock = new LogicalClock(start);
  return transactions.map(({changes, commitTime}) =>
    changes[0].relation === 'mz_sluice.heartbeat' ? clock.heartbeat(commitTime) : clock.transaction(commitTime),
  );
}

describe.each([15, 18] as const)('PostgreSQL %i', version => {
  test('an invalidated slot still shows a position, and its status tells', async () => {
    await using server = await PostgresServer.start({
      version,
      settings: {max_slot_wal_keep_size: '1MB', max_wal_size: '64MB'},
    });
    await using world = await World.on(server);
    const before = (await inspectSlot(world.client, world.name))!;
    expect(before.walStatus).toBe('reserved');
    expect(before.invalidationReason).toBeUndefined();
    for (let i = 0; i < 4; i++) {
      await world.client.query(`SELECT pg_logical_emit_message(false, 'x', 'x'); SELECT pg_switch_wal()`);
    }
    await world.client.query('CHECKPOINT');
    const after = (await inspectSlot(world.client, world.name))!;
    expect(after).toMatchObject({walStatus: 'lost', confirmedLsn: before.confirmedLsn});
    expect(after.invalidationReason).toBe(version === 18 ? 'wal_removed' : undefined);
    const opening = world.open();
    expect(await codeOf(opening)).toBe('55000');
    await expect(opening.catch(streamErrorPasses)).resolves.toBe(false);
  });

  test('whom the creation of a slot waits for, prepared transactions among them', async () => {
    await using server = await PostgresServer.start({version, settings: {max_prepared_transactions: '5'}});
    await using world = await World.on(server);
    await world.client.query('CREATE TABLE t (id int)');
    const blockers = async (pid: number) =>
      describeBlockers(
        (await world.client.query<{pids: number[]}>('SELECT pg_blocking_pids($1) AS pids', [pid])).rows[0].pids,
      );
    const pidOf = async (client: typeof world.client) =>
      (await client.query<{pid: number}>('SELECT pg_backend_pid() AS pid')).rows[0].pid;
    const [writer, maker] = [await world.connect(), await world.connect()];
    const [writerPid, makerPid] = [await pidOf(writer), await pidOf(maker)];
    await writer.query('BEGIN; INSERT INTO t VALUES (1)');
    await world.client.query("BEGIN; INSERT INTO t VALUES (2); PREPARE TRANSACTION 'prepared'");
    const creation = createSlot(maker, 'another');
    await poll('the open one', 60_000, async () => (await blockers(makerPid)) === `transactions of pid ${writerPid}`);
    await writer.query('COMMIT');
    await poll('the prepared one', 60_000, async () => (await blockers(makerPid)).startsWith('prepared transactions'));
    await world.client.query("COMMIT PREPARED 'prepared'");
    await creation;
    expect(describeBlockers([7, 0, 8])).toBe('transactions of pid 7, 8, prepared transactions (see pg_prepared_xacts)');
    await world.client.query("SELECT pg_drop_replication_slot('another')");
  });

  test('the log that a slot keeps is counted', async () => {
    await using world = await World.open({version});
    const before = (await inspectSlot(world.client, world.name))!.retainedBytes;
    await world.client.query(`SELECT pg_logical_emit_message(true, 'x', repeat('x', 1000000))`);
    const after = (await inspectSlot(world.client, world.name))!;
    expect(after.retainedBytes).toBeGreaterThan(before + 1_000_000);
    expect(after.plugin).toBe('pgoutput');
    const failover = await world.client.query<{failover: boolean | null}>(
      `SELECT (to_jsonb(s) -> 'failover')::boolean AS failover FROM pg_replication_slots s WHERE slot_name = $1`,
      [world.name],
    );
    expect(failover.rows[0].failover).toBe(version === 18 ? true : null);
  });

  test('another timeline begins where the old one was left', async () => {
    await using server = await PostgresServer.start({version, settings: {restore_command: 'false'}});
    await using world = await World.on(server);
    const first = await identifySystem(world.client);
    expect(first.timeline).toBe(1);
    expect(await readTimelineHistory(world.address, 1)).toEqual([]);
    const end = await world.client.query<{lsn: string}>(`SELECT (pg_current_wal_insert_lsn() - '0/0')::text AS lsn`);
    await server.stop();
    // Archive recovery that finds no archive ends at once, on a timeline of its own.
    await writeFile(join(server.directory, 'data', 'recovery.signal'), '');
    await server.start();
    const client = await world.connect();
    // A hot standby lets clients in before its recovery has ended.
    await poll('the end of the recovery', 60_000, async () => {
      const {rows} = await client.query<{recovering: boolean}>('SELECT pg_is_in_recovery() AS recovering');
      return !rows[0].recovering;
    });
    const second = await identifySystem(client);
    expect(second).toEqual({system: first.system, timeline: 2});
    const history = await readTimelineHistory(world.address, 2);
    expect(history.map(({timeline}) => timeline)).toEqual([1]);
    const known = BigInt(end.rows[0].lsn);
    expect(isInOurPast({...first, endLsn: known}, second, history)).toBe(true);
    expect(isInOurPast({...first, endLsn: history[0].end + 1n}, second, history)).toBe(false);
  });

  test('a replay from any position with its recorded time tells the same times', async () => {
    await using world = await World.open({version});
    await world.publishedTable('t', 'id int');
    const start = await world.confirmedLsn();
    const writers = await Promise.all([1, 2, 3, 4].map(() => world.connect()));
    const heartbeat = new Heartbeat({
      client: await world.connect(),
      slot: world.name,
      onError: () => undefined,
      intervalMs: 3,
    });
    heartbeat.start();
    await Promise.all(
      writers.map(async writer => {
        for (let i = 0; i < 100; i++) await writer.query('INSERT INTO t VALUES (1)');
      }),
    );
    await heartbeat.stop();
    const {transactions} = await world.read({start});
    const times = timesOf(transactions, 0n);
    expect(transactions.filter(({changes}) => changes[0].relation === 'mz_sluice.heartbeat').length).toBeGreaterThan(5);
    for (let i = 0; i < transactions.length - 1; i += 37) {
      const again = await world.read({start: transactions[i].endLsn, settings: {logical_decoding_work_mem: '64kB'}});
      expect(timesOf(again.transactions, times[i]).slice(0, times.length - i - 1)).toEqual(times.slice(i + 1));
    }
  });

  test('recorded times are kept per slot, repeated without harm, and forgotten below what was confirmed', async () => {
    await using world = await World.open({version, slot: false});
    const {client, name} = world;
    const identity = await identifySystem(client);
    const record = (endLsn: bigint, clock: bigint) => ({...identity, endLsn, clock});
    for (const at of [100n, 200n, 300n]) await recordClock(client, name, record(at, at * 10n));
    await recordClock(client, name, record(200n, 2000n));
    await recordClock(client, 'other', record(150n, 1n));
    expect(await readClockRecords(client, name)).toEqual([
      record(100n, 1000n),
      record(200n, 2000n),
      record(300n, 3000n),
    ]);
    await forgetClockRecords(client, name, 200n);
    expect(await readClockRecords(client, name)).toHaveLength(3);
    await client.query(`UPDATE mz_sluice.clock SET recorded_at = recorded_at - interval '2 hours'`);
    await forgetClockRecords(client, name, 200n);
    expect(await readClockRecords(client, name)).toEqual([record(200n, 2000n), record(300n, 3000n)]);
    expect(await readClockRecords(client, 'other')).toHaveLength(1);
  });

  test('each cluster hears its own heartbeat only', async () => {
    await using world = await World.open({version});
    await beat(world.client, 'sluice_0_other');
    await beat(world.client, world.name);
    await beat(world.client, 'sluice_0_other');
    const {transactions} = await world.read();
    const beats = transactions.map(({changes: [{op, after}]}) => [op, after!['slot']]);
    expect(beats).toEqual([
      ['insert', world.name],
      ['update', world.name],
    ]);
  });

  test('a heartbeat goes on until it fails, and says so once', async () => {
    await using world = await World.open({version, slot: false});
    const client = await world.connect();
    const {pid} = (await client.query<{pid: number}>('SELECT pg_backend_pid() AS pid')).rows[0];
    const errors: unknown[] = [];
    const heartbeat = new Heartbeat({client, slot: world.name, onError: error => errors.push(error), intervalMs: 10});
    heartbeat.start();
    await poll('some beats', 20_000, async () => {
      const {rows} = await world.client.query<{beat: string}>('SELECT beat::text FROM mz_sluice.heartbeat');
      return rows.length === 1 && Number(rows[0].beat) > 3;
    });
    await world.client.query('SELECT pg_terminate_backend($1)', [pid]);
    await poll('the error', 20_000, () => errors.length > 0);
    await heartbeat.stop();
    expect(errors).toHaveLength(1);
    expect(streamErrorPasses(errors[0])).toBe(true);
  });

  test('a publication that somebody has changed is not mended while there is a slot', async () => {
    await using world = await World.open({version});
    await ensurePublication(world.client, world.name, true);
    await world.client.query('CREATE TABLE t (id int, a int)');
    const relation = await world.oid('t');
    expect(await isPublished(world.client, world.name, relation)).toBe(false);
    await world.client.query(`ALTER PUBLICATION ${world.name} ADD TABLE t`);
    expect(await isPublished(world.client, world.name, relation)).toBe(true);
    await world.client.query(
      `ALTER PUBLICATION ${world.name} DROP TABLE t; ALTER PUBLICATION ${world.name} ADD TABLE t WHERE (a > 1)`,
    );
    expect(await codeOf(isPublished(world.client, world.name, relation))).toBe('55000');
    await world.client.query(
      `ALTER PUBLICATION ${world.name} DROP TABLE t; ALTER PUBLICATION ${world.name} ADD TABLE t (id)`,
    );
    expect(await codeOf(isPublished(world.client, world.name, relation))).toBe('55000');
    await world.client.query(`ALTER PUBLICATION ${world.name} SET (publish = 'insert')`);
    const sendsEverything = async (hasSlot: boolean) => {
      await ensurePublication(world.client, world.name, hasSlot);
      const {rows} = await world.client.query<{whole: boolean}>(
        `SELECT ${SENDS_EVERYTHING} AS whole FROM pg_publication p WHERE pubname = $1`,
        [world.name],
      );
      return rows[0].whole;
    };
    expect(await sendsEverything(true)).toBe(false);
    expect(await sendsEverything(false)).toBe(true);
  });

  if (version === 18) {
    test('stored generated columns are in the stream', async () => {
      await using world = await World.open({version});
      await world.publishedTable('t', 'id int, twice int GENERATED ALWAYS AS (id * 2) STORED');
      await world.client.query('INSERT INTO t VALUES (4)');
      const {users} = await world.read();
      expect(users[0].changes[0].after).toEqual({id: '4', twice: '8'});
    });
  }
});
