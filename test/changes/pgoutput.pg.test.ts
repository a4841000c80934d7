import {readdirSync} from 'node:fs';
import {describe, expect, test} from 'vitest';
import {World} from './world.ts';

const SMALL_MEMORY = {settings: {logical_decoding_work_mem: '64kB'}};

describe.each([15, 18] as const)('PostgreSQL %i', version => {
  test('inserts, updates and deletes with old rows, NULLs, empty and unchanged TOAST values', async () => {
    await using world = await World.open({version});
    await world.publishedTable('t', 'id int PRIMARY KEY, a text, b text');
    await world.client.query('ALTER TABLE t ALTER b SET STORAGE EXTERNAL');
    const big = 'x'.repeat(100_000);
    await world.client.query(`INSERT INTO t VALUES (1, NULL, $1), (2, '', 'ä')`, [big]);
    await world.client.query(`UPDATE t SET a = 'new' WHERE id = 1`);
    await world.client.query(`UPDATE t SET id = 3 WHERE id = 2`);
    await world.client.query(`DELETE FROM t WHERE id = 3`);
    const {users} = await world.read();
    expect(users.map(({changes}) => changes)).toEqual([
      [
        {op: 'insert', relation: 'public.t', after: {id: '1', a: null, b: big}},
        {op: 'insert', relation: 'public.t', after: {id: '2', a: '', b: 'ä'}},
      ],
      [
        {
          op: 'update',
          relation: 'public.t',
          before: {id: '1', a: null, b: big},
          beforeIsWhole: true,
          after: {id: '1', a: 'new', b: '?'},
        },
      ],
      [
        {
          op: 'update',
          relation: 'public.t',
          before: {id: '2', a: '', b: 'ä'},
          beforeIsWhole: true,
          after: {id: '3', a: '', b: 'ä'},
        },
      ],
      [{op: 'delete', relation: 'public.t', before: {id: '3', a: '', b: 'ä'}, beforeIsWhole: true}],
    ]);
  });

  test('without FULL the old row is a key, or is not there', async () => {
    await using world = await World.open({version});
    await world.publishedTable('t', 'id int PRIMARY KEY, a text');
    await world.client.query('ALTER TABLE t REPLICA IDENTITY DEFAULT');
    await world.client.query(`INSERT INTO t VALUES (1, 'a')`);
    await world.client.query(`UPDATE t SET a = 'b'`);
    await world.client.query(`UPDATE t SET id = 2`);
    await world.client.query(`DELETE FROM t`);
    const {users} = await world.read();
    expect(users.slice(1).map(({changes: [change]}) => [change.before, change.beforeIsWhole])).toEqual([
      [undefined, false],
      [{id: '1', a: null}, false],
      [{id: '2', a: null}, false],
    ]);
  });

  test('a changed shape arrives before the rows that have it', async () => {
    await using world = await World.open({version});
    await world.publishedTable('t', 'id int PRIMARY KEY, a text');
    await world.client.query(`INSERT INTO t VALUES (1, 'a')`);
    await world.client.query('ALTER TABLE t ADD b int');
    await world.client.query(`INSERT INTO t VALUES (2, 'a', 7)`);
    await world.client.query('ALTER TABLE t DROP a');
    await world.client.query(`INSERT INTO t VALUES (3, 8)`);
    await world.client.query('ALTER TABLE t RENAME b TO c');
    await world.client.query(`INSERT INTO t VALUES (4, 9)`);
    const {users} = await world.read();
    expect(users.map(({changes}) => changes[0].after)).toEqual([
      {id: '1', a: 'a'},
      {id: '2', a: 'a', b: '7'},
      {id: '3', b: '8'},
      {id: '4', c: '9'},
    ]);
  });

  test('a prepared transaction arrives at COMMIT PREPARED, large or small', async () => {
    await using world = await World.open({version});
    await world.publishedTable('t', 'id int, a text');
    const gid = `${world.name}_gid`;
    for (const rows of [1, 5000]) {
      await world.client.query(
        `BEGIN; INSERT INTO t SELECT i, repeat('x', 50) FROM generate_series(1, ${rows}) i; PREPARE TRANSACTION '${gid}'`,
      );
      await world.client.query(`INSERT INTO t VALUES (0, 'before')`);
      await world.client.query(`COMMIT PREPARED '${gid}'`);
    }
    await world.client.query(`BEGIN; INSERT INTO t VALUES (-1, 'gone'); PREPARE TRANSACTION '${gid}'`);
    await world.client.query(`ROLLBACK PREPARED '${gid}'`);
    const {users} = await world.read(SMALL_MEMORY);
    expect(users.map(({changes}) => changes.length)).toEqual([1, 1, 1, 5000]);
    expect(users.map(({changes}) => changes.at(-1)!.after!['id'])).toEqual(['0', '1', '0', '5000']);
  });

  test('a streamed transaction is the same as one that is sent at its commit', async () => {
    await using world = await World.open({version});
    await world.publishedTable('t', 'id int, a text');
    await world.publishedTable('u', 'id int, b int');
    const start = await world.confirmedLsn();
    const [one, two] = [await world.connect(), await world.connect()];
    const rows = (from: number, to: number) =>
      `INSERT INTO t SELECT i, repeat('x', 60) FROM generate_series(${from}, ${to}) i;`;
    await one.query(`BEGIN; ${rows(1, 3000)}`);
    await two.query(`BEGIN; ${rows(10_001, 13_000)}`);
    // Rolled back after parts of it have been sent, before, and never sent at all.
    await one.query(`SAVEPOINT a; ${rows(3001, 6000)} ROLLBACK TO a; ${rows(6001, 6010)}`);
    await two.query(`SAVEPOINT a; ${rows(1, 1)} SAVEPOINT b; ${rows(20_001, 23_000)} RELEASE b; ROLLBACK TO a;`);
    await world.client.query(`INSERT INTO t VALUES (0, 'small')`);
    // The first change of u lies in a part that is rolled back: its description must not get lost with it.
    await one.query(`SAVEPOINT c; INSERT INTO u SELECT i, i FROM generate_series(1, 3000) i; ROLLBACK TO c`);
    await one.query(
      `INSERT INTO u SELECT i, -i FROM generate_series(1, 3000) i; UPDATE t SET a = 'y' WHERE id BETWEEN 1 AND 1000`,
    );
    await two.query(`DELETE FROM t WHERE id > 12000; COMMIT`);
    await one.query('COMMIT');
    await world.client.query(`BEGIN; ${rows(1, 5000)} ROLLBACK`);
    await world.client.query(`INSERT INTO u VALUES (0, 0)`);

    const plain = await world.read({start, settings: {logical_decoding_work_mem: '1GB'}});
    const streamed = await world.read({start, ...SMALL_MEMORY});
    expect(plain.users.map(({changes}) => changes.length)).toEqual([1, 3000 + 1000, 3000 + 10 + 3000 + 1000, 1]);
    expect(streamed.users).toEqual(plain.users);
    const statistics = await world.client.query<{stream_txns: string}>(
      'SELECT stream_txns FROM pg_stat_replication_slots WHERE slot_name = $1',
      [world.name],
    );
    expect(Number(statistics.rows[0].stream_txns)).toBeGreaterThanOrEqual(2);
    expect(readdirSync(world.spoolDirectory)).toEqual([]);
  });

  test('a shape that a streamed transaction changes belongs to it until it commits', async () => {
    await using world = await World.open({version});
    await world.publishedTable('t', 'id int, a text');
    await world.publishedTable('u', 'id int, a text');
    const start = await world.confirmedLsn();
    const one = await world.connect();
    const rows = (table: string, n: number) =>
      `INSERT INTO ${table} SELECT i, repeat('x', 60) FROM generate_series(1, ${n}) i;`;
    await one.query(`BEGIN; ${rows('t', 3000)} ALTER TABLE t ADD b int; ${rows('t', 3000)}`);
    // A table that both transactions write, renamed by a third one without waiting for them.
    await one.query(rows('u', 3000) + rows('t', 3000));
    await world.client.query(`INSERT INTO u VALUES (0, 'other')`);
    await world.client.query('ALTER SCHEMA public RENAME TO private');
    await world.client.query(`INSERT INTO private.u VALUES (0, 'other')`);
    await one.query('SET search_path = private; COMMIT');
    await world.client.query(`INSERT INTO private.u VALUES (1, 'last')`);
    await world.client.query(`INSERT INTO private.t VALUES (1, 'last', 2)`);

    const streamed = await world.read({start, ...SMALL_MEMORY});
    const plain = await world.read({start, settings: {logical_decoding_work_mem: '1GB'}});
    expect(streamed.users.map(({changes}) => changes.length)).toEqual([1, 1, 12_000, 1, 1]);
    if (version === 18) {
      // Older servers do not describe a table again when its schema has been renamed.
      const names = streamed.users.map(({changes: [{relation}]}) => relation);
      expect(names).toEqual(['public.u', 'private.u', 'public.t', 'private.u', 'private.t']);
    }
    const values = (recorder: typeof plain) => recorder.users.map(({changes}) => changes.map(change => change.after));
    expect(values(streamed)).toEqual(values(plain));
    expect(Object.keys(streamed.users[2].changes[5999].after!)).toEqual(['id', 'a', 'b']);
  });

  test('a row larger than many chunks arrives whole, streamed or not', async () => {
    await using world = await World.open({version});
    await world.publishedTable('t', 'id int, a text');
    const start = await world.confirmedLsn();
    const big = 'ab'.repeat(2_000_000);
    await world.client.query(`INSERT INTO t VALUES (1, 'small'), (2, $1), (3, 'small')`, [big]);
    for (const settings of [{logical_decoding_work_mem: '1GB'}, SMALL_MEMORY.settings]) {
      const {users} = await world.read({start, settings});
      expect(users[0].changes.map(({after}) => after!['a']!.length)).toEqual([5, big.length, 5]);
      expect(users[0].changes[1].after!['a'] === big).toBe(true);
    }
  });

  test('TRUNCATE without our trigger is heard, of the root for partitions', async () => {
    await using world = await World.open({version});
    await world.publishedTable('t', 'id int');
    await world.publishedTable('u', 'id int');
    await world.client.query('TRUNCATE t, u');
    const {users} = await world.read();
    expect(users.map(({changes}) => changes.map(({op, relation}) => [op, relation]))).toEqual([
      [
        ['truncate', 'public.t'],
        ['truncate', 'public.u'],
      ],
    ]);
  });
});
