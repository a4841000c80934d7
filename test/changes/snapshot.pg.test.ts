import {describe, expect, test} from 'vitest';
import {poll} from '../../scripts/process/poll.ts';
import {readCopy} from '../../src/changes/copy-reader.ts';
import {takeSnapshot} from '../../src/changes/snapshot.ts';
import {dropSpool, findSpool, makeSpool, readSpool} from '../../src/changes/snapshot-spool.ts';
import {identifySystem} from '../../src/changes/system-identity.ts';
import {isVisible} from '../../src/changes/visibility.ts';
import {collectRows} from './copied-rows.ts';
import {codeOf, World} from './world.ts';

describe.each([15, 18] as const)('PostgreSQL %i', version => {
  test('all rows of a table, in the order of columns that was asked for, also without a send function', async () => {
    await using world = await World.open({version, slot: false});
    await world.client.query(`CREATE TABLE t (gone int, id int, a aclitem, b text)`);
    await world.client.query(`ALTER TABLE t DROP gone`);
    await world.client.query(
      `INSERT INTO t SELECT i, ('=r/' || current_user)::aclitem, CASE WHEN i % 3 > 0 THEN repeat('ä', i % 500) END FROM generate_series(1, 20000) i`,
    );
    const snapshot = await takeSnapshot(await world.connect(), {relation: await world.oid('t'), attnums: [4, 2, 3]});
    const rows = await collectRows(snapshot.columns, snapshot.rows());
    await snapshot.close();
    expect(snapshot.columns.map(({name, binary}) => [name, binary])).toEqual([
      ['b', true],
      ['id', true],
      ['a', false],
    ]);
    const expected = await world.client.query<{b: string | null; id: string; a: string}>(
      'SELECT b, id::text, a::text FROM t',
    );
    expect(rows).toEqual(expected.rows);
  });

  test('no rows, one row of many chunks, partitions', async () => {
    await using world = await World.open({version, slot: false});
    await world.client.query(`CREATE TABLE p (id int, a text) PARTITION BY LIST (id)`);
    await world.client.query(`CREATE TABLE p1 (a text, id int)`);
    await world.client.query(`ALTER TABLE p ATTACH PARTITION p1 FOR VALUES IN (1)`);
    await world.client.query(`CREATE TABLE p2 PARTITION OF p DEFAULT`);
    const read = async () => {
      const snapshot = await takeSnapshot(await world.connect(), {relation: await world.oid('p'), attnums: [1, 2]});
      const rows = await collectRows(snapshot.columns, snapshot.rows());
      await snapshot.close();
      return rows;
    };
    expect(await read()).toEqual([]);
    const big = 'x'.repeat(3_000_000);
    await world.client.query(`INSERT INTO p VALUES (1, 'one'), (2, $1), (3, NULL)`, [big]);
    const rows = await read();
    expect(rows.map(({id, a}) => [id, a?.length])).toEqual([
      ['1', 3],
      ['2', 3_000_000],
      ['3', undefined],
    ]);
    expect(rows[1]['a'] === big).toBe(true);
  });

  test('the table is locked before the snapshot is taken', async () => {
    await using world = await World.open({version, slot: false});
    await world.client.query(`CREATE TABLE t (id int)`);
    await world.client.query(`INSERT INTO t VALUES (1)`);
    const other = await world.connect();
    const {rows} = await other
      .query<{xid: string}>(`BEGIN; TRUNCATE t; INSERT INTO t VALUES (2); SELECT pg_current_xact_id()::text AS xid`)
      .then(results => (results as unknown as {rows: {xid: string}[]}[])[3]);
    const client = await world.connect();
    const taking = takeSnapshot(client, {relation: await world.oid('t'), attnums: [1]});
    await poll('the snapshot to wait for its lock', 10_000, async () => {
      const waiting = await world.client.query(`SELECT FROM pg_locks WHERE NOT granted AND relation = 't'::regclass`);
      return waiting.rowCount === 1;
    });
    await other.query('COMMIT');
    const snapshot = await taking;
    // Rewritten under an older snapshot the table would look empty, and its transaction be delivered once more.
    expect(await collectRows(snapshot.columns, snapshot.rows())).toEqual([{id: '2'}]);
    expect(isVisible(snapshot.filter, Number(BigInt.asUintN(32, BigInt(rows[0].xid))))).toBe(true);
    await snapshot.close();
  });

  test('a column or a relation that is gone is an error', async () => {
    await using world = await World.open({version, slot: false});
    await world.client.query(`CREATE TABLE t (id int); INSERT INTO t VALUES (1); ALTER TABLE t DROP id, ADD a int`);
    expect(await codeOf(takeSnapshot(await world.connect(), {relation: await world.oid('t'), attnums: [1]}))).toBe(
      '42703',
    );
    expect(await codeOf(takeSnapshot(await world.connect(), {relation: 1, attnums: [1]}))).toBe('42P01');
  });

  test('while the consumer is busy the server waits; one that stops cuts the connection', async () => {
    await using world = await World.open({version, slot: false});
    const client = await world.connect();
    const {rows} = await client.query<{pid: number}>('SELECT pg_backend_pid() AS pid');
    const rest = readCopy(
      client,
      `COPY (SELECT repeat('x', 1000) FROM generate_series(1, 200000)) TO STDOUT (FORMAT binary)`,
    );
    const first = await rest.next();
    expect(first.done).toBe(false);
    await poll('the server to wait for the client', 30_000, async () => {
      const waiting = await world.client.query(
        `SELECT FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'ClientWrite'`,
        [rows[0].pid],
      );
      return waiting.rowCount === 1;
    });
    await rest.return(undefined);
    await poll('the backend to end', 30_000, async () => {
      const left = await world.client.query(`SELECT FROM pg_stat_activity WHERE pid = $1`, [rows[0].pid]);
      return left.rowCount === 0;
    });
  });

  test('an error in the middle of COPY, a killed backend, and the same client again after a whole one', async () => {
    await using world = await World.open({version, slot: false});
    const drain = async (client: Awaited<ReturnType<World['connect']>>, sql: string) => {
      let count = 0;
      for await (const rows of readCopy(client, `COPY (${sql}) TO STDOUT (FORMAT binary)`)) count += rows.count;
      return count;
    };
    const client = await world.connect();
    expect(await drain(client, 'SELECT generate_series(1, 100000)')).toBe(100_000);
    expect((await client.query('SELECT 1 AS one')).rows).toEqual([{one: 1}]);
    expect(await drain(client, 'SELECT 1 WHERE false')).toBe(0);
    expect(await codeOf(drain(client, 'SELECT 1 / (50000 - i) FROM generate_series(1, 100000) i'))).toBe('22012');
    expect(await codeOf(drain(await world.connect(), 'SELECT pg_terminate_backend(pg_backend_pid())'))).toBe('57P01');
  });

  test('a spool shows one moment, however often it is read, and its rows are in their blocks', async () => {
    await using world = await World.open({version});
    await world.client.query(`CREATE TABLE t (id int PRIMARY KEY, gone int, "a b" text, c aclitem)`);
    await world.client.query(`ALTER TABLE t DROP gone`);
    await world.client.query(
      `INSERT INTO t SELECT i, repeat('x', i % 700), ('=r/' || current_user)::aclitem FROM generate_series(1, 5000) i`,
    );
    const hold = await world.confirmedLsn();
    const identity = await identifySystem(world.client);
    const request = {sink: 'u7', relation: await world.oid('t'), attnums: [3, 1, 4], hold, identity};
    const made = await makeSpool(world.client, request);
    const {rows: expected} = await world.client.query('SELECT "a b", id::text, c::text FROM t');
    await world.client.query(
      `UPDATE t SET "a b" = 'later'; DELETE FROM t WHERE id < 100; INSERT INTO t VALUES (0, 'later')`,
    );
    await world.client.query('VACUUM t');

    const spool = (await findSpool(world.client, 'u7'))!;
    expect(spool).toEqual(made);
    expect(spool).toMatchObject({holdLsn: hold, ...identity});
    expect(spool.blocks).toBeGreaterThan(100);
    const client = await world.connect();
    const read = (from: number, to: number) => collectRows(spool.columns, readSpool(client, spool, from, to));
    expect(await read(0, spool.blocks)).toEqual(expected);
    for (const cut of [1, 7, spool.blocks - 1]) {
      expect([...(await read(0, cut)), ...(await read(cut, spool.blocks))]).toEqual(expected);
    }

    const again = await makeSpool(world.client, request);
    expect(again.id).not.toBe(spool.id);
    expect(await collectRows(again.columns, readSpool(client, again, 0, again.blocks))).toHaveLength(4902);
    await dropSpool(world.client, 'u7');
    await dropSpool(world.client, 'u7');
    expect(await findSpool(world.client, 'u7')).toBeUndefined();
    const left = await world.client.query(`SELECT FROM pg_class WHERE relname ~ '^spool_u'`);
    expect(left.rowCount).toBe(0);
  });

  test('a spool that could not be finished leaves nothing', async () => {
    await using world = await World.open({version});
    await world.client.query(`CREATE TABLE t (id int)`);
    const request = {
      sink: 'u7',
      relation: await world.oid('t'),
      attnums: [1, 2],
      hold: 0n,
      identity: await identifySystem(world.client),
    };
    expect(await codeOf(makeSpool(world.client, request))).toBe('42703');
    expect(await findSpool(world.client, 'u7')).toBeUndefined();
    expect((await world.client.query('SELECT 1 AS one')).rows).toEqual([{one: 1}]);
  });
});
