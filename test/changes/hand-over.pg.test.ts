import type pg from 'pg';
import {describe, expect, test} from 'vitest';
import {poll} from '../../scripts/process/poll.ts';
import {publishRelation, withdrawRelation} from '../../src/changes/hand-over.ts';
import {StreamRecorder} from './stream-recorder.ts';
import {codeOf, World} from './world.ts';

async function pidOf(client: pg.Client): Promise<number> {
  const {rows} = await client.query<{pid: number}>('SELECT pg_backend_pid() AS pid');
  return rows[0].pid;
}

async function identities(world: World): Promise<unknown> {
  const {rows} = await world.client.query(
    `SELECT relname, relreplident, (SELECT count(*)::int FROM pg_trigger WHERE tgrelid = c.oid AND NOT tgisinternal) AS triggers
     FROM pg_class c WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') ORDER BY relname`,
  );
  return rows.map((row: {relname: string; relreplident: string; triggers: number}) => Object.values(row).join(' '));
}

describe.each([15, 18] as const)('PostgreSQL %i', version => {
  test('publishing waits for open writers and prepared transactions, and says for whom', async () => {
    await using world = await World.open({version});
    await world.client.query('CREATE TABLE t (id int PRIMARY KEY)');
    const writer = await world.connect();
    const gid = `${world.name}_gid`;
    await world.client.query(`BEGIN; INSERT INTO t VALUES (1); PREPARE TRANSACTION '${gid}'`);
    const writerPid = await pidOf(writer);
    await writer.query('BEGIN; INSERT INTO t VALUES (2)');
    const heard: string[] = [];
    let published = false;
    const options = {
      publication: world.name,
      relation: await world.oid('t'),
      waiting: (whom: string) => heard.push(whom),
    };
    const publishing = publishRelation(await world.connect(), options).then(() => (published = true));
    const writerName = `transaction of pid ${writerPid}`;
    await poll('both to be named', 20_000, () =>
      heard.some(whom => whom.includes(writerName) && whom.includes(`"${gid}"`)),
    );
    await writer.query('COMMIT');
    await poll('the prepared one to be named alone', 20_000, () => heard.at(-1) === `prepared transaction "${gid}"`);
    expect(published).toBe(false);
    // While it waits, nobody is kept from writing for longer than the lock timeout.
    await writer.query('INSERT INTO t VALUES (3)');
    await world.client.query(`COMMIT PREPARED '${gid}'`);
    await publishing;
    expect(await identities(world)).toEqual(['t f 1']);
  });

  test('publishing waits for open writers also where nothing but the publication is missing', async () => {
    await using world = await World.open({version});
    await world.client.query('CREATE TABLE t (id int PRIMARY KEY)');
    const heard: string[] = [];
    const options = {
      publication: world.name,
      relation: await world.oid('t'),
      waiting: (whom: string) => heard.push(whom),
    };
    // As if for a sink of another cluster.
    await publishRelation(world.client, options);
    await withdrawRelation(world.client, {...options, restoreIdentity: false});
    const writer = await world.connect();
    const pid = await pidOf(writer);
    await writer.query('BEGIN; INSERT INTO t VALUES (2)');
    const publishing = publishRelation(world.client, options);
    await poll('the writer to be named', 20_000, () => heard.includes(`transaction of pid ${pid}`));
    await writer.query('COMMIT');
    await publishing;
  });

  test('a second sink waits for those who write when it begins, not for later ones', async () => {
    await using world = await World.open({version});
    await world.client.query('CREATE TABLE p (id int) PARTITION BY LIST (id); CREATE TABLE p1 PARTITION OF p DEFAULT');
    const [one, two] = [await world.connect(), await world.connect()];
    const gid = `${world.name}_gid`;
    const options = {
      publication: world.name,
      relation: await world.oid('p'),
      waiting: (whom: string) => heard.push(whom),
    };
    const heard: string[] = [];
    await publishRelation(world.client, options);
    expect(heard).toEqual([]);
    // Straight into the leaf: no lock on the root.
    await one.query('BEGIN; INSERT INTO p1 VALUES (1)');
    await world.client.query(`BEGIN; INSERT INTO p VALUES (2); PREPARE TRANSACTION '${gid}'`);
    const publishing = publishRelation(world.client, options);
    await poll('both to be named', 10_000, () => heard.some(whom => whom.includes('pid') && whom.includes(`"${gid}"`)));
    await two.query('BEGIN; INSERT INTO p VALUES (3)');
    await one.query('COMMIT');
    await poll('the prepared one to be named alone', 10_000, () => heard.at(-1) === `prepared transaction "${gid}"`);
    await one.query(`ROLLBACK PREPARED '${gid}'`);
    await publishing;
    await two.query('COMMIT');
  });

  test('it can be given up while it waits', async () => {
    await using world = await World.open({version});
    await world.client.query('CREATE TABLE t (id int PRIMARY KEY)');
    const writer = await world.connect();
    await writer.query('BEGIN; INSERT INTO t VALUES (2)');
    const abort = new AbortController();
    const options = {publication: world.name, relation: await world.oid('t'), signal: abort.signal};
    const first = publishRelation(world.client, {...options, waiting: () => abort.abort()});
    await expect(first).rejects.toThrow('aborted');
    expect(await identities(world)).toEqual(['t d 0']);
  });

  test('partitions of every level get identity and trigger, and everything is as before after the last sink', async () => {
    await using world = await World.open({version});
    await world.client.query(
      `CREATE TABLE p (id int NOT NULL) PARTITION BY LIST (id);
       CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1) PARTITION BY RANGE (id); CREATE TABLE p11 PARTITION OF p1 DEFAULT;
       CREATE TABLE p2 PARTITION OF p DEFAULT; CREATE UNIQUE INDEX ON p2 (id); ALTER TABLE p2 REPLICA IDENTITY USING INDEX p2_id_idx;
       CREATE TABLE other (id int); ALTER TABLE other REPLICA IDENTITY NOTHING;
       CREATE TABLE full_already (id int); ALTER TABLE full_already REPLICA IDENTITY FULL`,
    );
    const before = await identities(world);
    const waiting = () => undefined;
    const [p, other, already] = [await world.oid('p'), await world.oid('other'), await world.oid('full_already')];
    for (const relation of [p, other, already])
      await publishRelation(world.client, {publication: world.name, relation, waiting});
    await publishRelation(world.client, {publication: world.name, relation: p, waiting});
    expect(await identities(world)).toEqual(['full_already f 1', 'other f 1', 'p f 1', 'p1 f 1', 'p11 f 1', 'p2 f 1']);

    // A partition that comes later is prepared by the next one, one that leaves is restored all the same.
    await world.client.query('CREATE TABLE p3 PARTITION OF p FOR VALUES IN (3)');
    await publishRelation(world.client, {publication: world.name, relation: p, waiting});
    await world.client.query('ALTER TABLE p DETACH PARTITION p2');
    expect(await identities(world)).toContain('p3 f 1');

    await withdrawRelation(world.client, {publication: world.name, relation: p, restoreIdentity: false});
    expect(await identities(world)).toContain('p f 1');
    for (const relation of [p, p, other, already]) {
      await withdrawRelation(world.client, {publication: world.name, relation, restoreIdentity: true});
    }
    await world.client.query('DROP TABLE p3');
    expect(await identities(world)).toEqual(before);
    const index = await world.client.query(
      `SELECT indisreplident FROM pg_index WHERE indexrelid = 'p2_id_idx'::regclass`,
    );
    expect(index.rows).toEqual([{indisreplident: true}]);
    expect((await world.client.query('SELECT FROM mz_sluice.identity_before')).rowCount).toBe(0);
    const published = await world.client.query(
      'SELECT tablename FROM pg_publication_tables WHERE pubname = $1 ORDER BY 1',
      [world.name],
    );
    expect(published.rows).toEqual([{tablename: 'announcement'}, {tablename: 'heartbeat'}]);
  });

  test('a table that was dropped is no obstacle, and an identity that the user set meanwhile stays', async () => {
    await using world = await World.open({version});
    await world.client.query('CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE u (id int PRIMARY KEY)');
    const [t, u] = [await world.oid('t'), await world.oid('u')];
    const waiting = () => undefined;
    for (const relation of [t, u]) await publishRelation(world.client, {publication: world.name, relation, waiting});
    await world.client.query('DROP TABLE t; ALTER TABLE u REPLICA IDENTITY NOTHING');
    expect(await codeOf(publishRelation(world.client, {publication: world.name, relation: t, waiting}))).toBe('42P01');
    for (const relation of [t, u])
      await withdrawRelation(world.client, {publication: world.name, relation, restoreIdentity: true});
    expect(await identities(world)).toEqual(['u n 0']);
    expect((await world.client.query('SELECT FROM mz_sluice.identity_before')).rowCount).toBe(0);
  });

  test('TRUNCATE deletes its rows first, whoever may do it and however it is written, and the log shows no truncation', async () => {
    await using world = await World.open({version});
    await world.client.query(
      `CREATE TABLE parent (id int PRIMARY KEY); CREATE TABLE child (id int PRIMARY KEY, parent int REFERENCES parent);
       CREATE TABLE p (id int PRIMARY KEY) PARTITION BY LIST (id); CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1);
       CREATE TABLE p2 PARTITION OF p DEFAULT;
       CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE 'rows may not be deleted'; END$$;
       CREATE TRIGGER refuse BEFORE DELETE ON child FOR EACH ROW EXECUTE FUNCTION refuse()`,
    );
    for (const table of ['parent', 'child', 'p']) {
      await publishRelation(world.client, {
        publication: world.name,
        relation: await world.oid(table),
        waiting: () => undefined,
      });
    }
    const role = `${world.name}_truncater`;
    await world.client.query(`CREATE ROLE ${role}; GRANT TRUNCATE ON parent, child, p TO ${role}`);
    try {
      await world.client.query(
        'INSERT INTO parent VALUES (1), (2); INSERT INTO child VALUES (10, 1); INSERT INTO p VALUES (1), (2)',
      );
      const notices: string[] = [];
      world.client.on('notice', notice => notices.push(notice.message ?? ''));
      await world.client.query(`SET ROLE ${role}`);
      await world.client.query('TRUNCATE parent, child');
      await world.client.query('TRUNCATE p');
      await world.client.query('RESET ROLE');
      expect(notices).toContain('TRUNCATE of "public.child" deletes its rows one by one');
      await world.client.query('INSERT INTO p VALUES (1), (2)');
      await world.client.query('TRUNCATE p1');
      await world.client.query(`SET session_replication_role = replica`);
      await world.client.query('TRUNCATE p2');
      await world.client.query(`RESET session_replication_role`);
      await world.client.query('BEGIN; INSERT INTO p VALUES (3); TRUNCATE p; INSERT INTO p VALUES (4); COMMIT');
    } finally {
      await world.client.query(`RESET ROLE; DROP OWNED BY ${role}; DROP ROLE ${role}`);
    }
    const {users} = await world.read();
    const short = users.map(({changes}) =>
      changes.map(({op, relation, before, after}) => `${op} ${relation.slice(7)} ${(before ?? after)!['id']!}`).sort(),
    );
    expect(short).toEqual([
      ['insert child 10', 'insert p 1', 'insert p 2', 'insert parent 1', 'insert parent 2'],
      ['delete child 10', 'delete parent 1', 'delete parent 2'],
      ['delete p 1', 'delete p 2'],
      ['insert p 1', 'insert p 2'],
      ['delete p 1'],
      ['delete p 2'],
      ['delete p 3', 'insert p 3', 'insert p 4'],
    ]);
  });

  test('a TRUNCATE whose trigger was disabled reaches the listener', async () => {
    await using world = await World.open({version});
    await world.client.query('CREATE TABLE t (id int); CREATE TABLE u (id int)');
    for (const table of ['t', 'u']) {
      await publishRelation(world.client, {
        publication: world.name,
        relation: await world.oid(table),
        waiting: () => undefined,
      });
    }
    await world.client.query('INSERT INTO t VALUES (1); INSERT INTO u VALUES (1)');
    await world.client.query('ALTER TABLE t DISABLE TRIGGER USER');
    await world.client.query('TRUNCATE t, u');
    const {users} = await world.read();
    expect(users[1].changes.map(({op, relation}) => `${op} ${relation}`)).toEqual([
      'delete public.u',
      'truncate public.t',
    ]);
  });

  test('rows of a partitioned table come under its name and shape, also when they move or come in by a leaf', async () => {
    await using world = await World.open({version});
    await world.client.query(
      `CREATE TABLE p (id int, part int, a text) PARTITION BY LIST (part); CREATE TABLE p1 (a text, gone int, part int, id int);
       ALTER TABLE p1 DROP gone; ALTER TABLE p ATTACH PARTITION p1 FOR VALUES IN (1); CREATE TABLE p2 PARTITION OF p DEFAULT`,
    );
    await publishRelation(world.client, {
      publication: world.name,
      relation: await world.oid('p'),
      waiting: () => undefined,
    });
    await world.client.query(`INSERT INTO p VALUES (1, 1, 'x')`);
    await world.client.query(`INSERT INTO p1 VALUES ('y', 1, 2)`);
    await world.client.query(`UPDATE p SET part = 2 WHERE id = 1`);
    await world.client.query(`DELETE FROM p2`);
    const recorder: StreamRecorder = await world.read();
    const x = (part: string) => ({id: '1', part, a: 'x'});
    expect(recorder.users.flatMap(({changes}) => changes)).toEqual([
      {op: 'insert', relation: 'public.p', after: x('1')},
      {op: 'insert', relation: 'public.p', after: {id: '2', part: '1', a: 'y'}},
      {op: 'delete', relation: 'public.p', before: x('1'), beforeIsWhole: true},
      {op: 'insert', relation: 'public.p', after: x('2')},
      {op: 'delete', relation: 'public.p', before: x('2'), beforeIsWhole: true},
    ]);
  });

  test('partitions that come and go: their identity is set at once, and rows that come or go with them are announced', async () => {
    await using world = await World.open({version});
    await world.client.query(
      `CREATE TABLE p (id int, a int, PRIMARY KEY (id)) PARTITION BY LIST (id); CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1)`,
    );
    const relation = await world.oid('p');
    await publishRelation(world.client, {publication: world.name, relation, waiting: () => undefined});
    const run = async (...statements: string[]) => {
      for (const sql of statements) await world.client.query(sql);
      const {users} = await world.read();
      return users.flatMap(({changes}) => changes.map(({op, before, after}) => [op, before, after]));
    };
    const start = await run('SELECT 1');
    expect(start).toEqual([]);
    const later = async (...statements: string[]) => {
      const before = (await run('SELECT 1')).length;
      return (await run(...statements)).slice(before);
    };
    const row = (id: number, a: number) => ({id: String(id), a: String(a)});
    expect(
      await later(
        'CREATE TABLE p2 PARTITION OF p FOR VALUES IN (2)',
        'INSERT INTO p VALUES (2, 7)',
        'UPDATE p SET a = 8',
      ),
    ).toEqual([
      ['insert', undefined, row(2, 7)],
      ['update', row(2, 7), row(2, 8)],
    ]);
    // Taken away from a leaf, identity and trigger are back before anybody can write; and TRUNCATE still deletes.
    expect(
      await later('ALTER TABLE p2 REPLICA IDENTITY DEFAULT, DISABLE TRIGGER ALL', 'UPDATE p SET a = 9', 'TRUNCATE p'),
    ).toEqual([
      ['update', row(2, 8), row(2, 9)],
      ['delete', row(2, 9), undefined],
    ]);
    const announced = (how: string) => [[how, undefined, undefined]];
    expect(
      await later(
        'CREATE TABLE empty (id int NOT NULL, a int)',
        'ALTER TABLE p ATTACH PARTITION empty FOR VALUES IN (3)',
      ),
    ).toEqual([]);
    expect(
      await later(
        'CREATE TABLE full_one (id int NOT NULL, a int)',
        'INSERT INTO full_one VALUES (4, 4)',
        'ALTER TABLE p ATTACH PARTITION full_one FOR VALUES IN (4)',
      ),
    ).toEqual(announced('attach'));
    expect(await later('ALTER TABLE p DETACH PARTITION empty')).toEqual([]);
    expect(await later('ALTER TABLE p DETACH PARTITION full_one')).toEqual(announced('detach'));
    expect(await later('BEGIN; TRUNCATE p1; DROP TABLE p1; COMMIT')).toEqual([]);
    expect(await later('DROP TABLE p2')).toEqual(announced('drop'));
    expect(await later('CREATE TABLE other (id int)', 'INSERT INTO other VALUES (1)', 'DROP TABLE other')).toEqual([]);
  });

  test('values rewritten by ALTER TABLE are announced with the columns, a rewrite that keeps them is not', async () => {
    await using world = await World.open({version});
    const run = async (...statements: string[]) => {
      for (const sql of statements) await world.client.query(sql);
    };
    await run(
      'CREATE TABLE t (id int PRIMARY KEY, gone int, a int, b int)',
      'ALTER TABLE t DROP gone',
      'INSERT INTO t VALUES (1, 1, 1)',
      'CREATE TABLE p (id int, a int) PARTITION BY LIST (id)',
      'CREATE TABLE p1 (a int, gone int, id int)',
      'ALTER TABLE p1 DROP gone',
      'ALTER TABLE p ATTACH PARTITION p1 FOR VALUES IN (1)',
    );
    const [t, p] = [await world.oid('t'), await world.oid('p')];
    for (const relation of [t, p])
      await publishRelation(world.client, {publication: world.name, relation, waiting: () => undefined});
    await run('ALTER TABLE t ADD c double precision DEFAULT random()', 'VACUUM FULL t', 'CLUSTER t USING t_pkey');
    await run('ALTER TABLE t SET WITHOUT CLUSTER, ALTER b SET NOT NULL', 'ALTER TABLE t ALTER a TYPE int USING a + 1');
    await run('ALTER TABLE t ALTER c TYPE real, ALTER b TYPE numeric(9, 2)', 'ALTER TABLE p ALTER a TYPE bigint');
    // In a subtransaction the entries of the columns carry its own id.
    await run('BEGIN', 'INSERT INTO t VALUES (2, 2, 2)', 'SAVEPOINT s', 'ALTER TABLE t ALTER b TYPE int', 'COMMIT');
    const {users} = await world.read();
    const rewritten = (relation: number, ...columns: [number, number, number][]) => ({
      op: 'rewrite',
      relation: String(relation),
      columns: columns.map(([attnum, typeOid, typmod]) => ({attnum, typeOid, typmod})),
    });
    expect(users.flatMap(({changes}) => changes).filter(({op}) => op !== 'insert')).toEqual([
      rewritten(t, [3, 23, -1]),
      rewritten(t, [4, 1700, (9 << 16) + 2 + 4], [5, 700, -1]),
      rewritten(p, [2, 20, -1]),
      rewritten(t, [4, 23, -1]),
    ]);
  });

  test('a partition that is not in the log is announced, whatever brought it there', async () => {
    await using world = await World.open({version});
    await world.client.query(
      `CREATE TABLE p (id int) PARTITION BY LIST (id); CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1);
       CREATE UNLOGGED TABLE u (id int); CREATE FOREIGN DATA WRAPPER w; CREATE SERVER s FOREIGN DATA WRAPPER w`,
    );
    const relation = await world.oid('p');
    await publishRelation(world.client, {publication: world.name, relation, waiting: () => undefined});
    const ways = [
      'CREATE UNLOGGED TABLE p2 PARTITION OF p FOR VALUES IN (2)',
      'ALTER TABLE p ATTACH PARTITION u FOR VALUES IN (3)',
      'CREATE FOREIGN TABLE f PARTITION OF p FOR VALUES IN (4) SERVER s',
      'ALTER TABLE p1 SET UNLOGGED',
      'CREATE SCHEMA other CREATE UNLOGGED TABLE p5 PARTITION OF public.p FOR VALUES IN (5)',
    ];
    for (const [i, way] of ways.entries()) {
      await world.client.query(way);
      const {users} = await world.read();
      expect(users, way).toHaveLength(i + 1);
      expect(users[i].changes).toContainEqual({op: 'unlogged', relation: String(relation)});
    }
  });

  test('everything of ours can be removed, and DDL works without it', async () => {
    await using world = await World.open({version});
    await world.client.query('CREATE TABLE t (id int PRIMARY KEY)');
    const relation = await world.oid('t');
    await publishRelation(world.client, {publication: world.name, relation, waiting: () => undefined});
    await withdrawRelation(world.client, {publication: world.name, relation, restoreIdentity: true});
    await world.client.query(`DROP PUBLICATION ${world.name}`);
    await world.client.query('DROP SCHEMA mz_sluice CASCADE');
    await world.client.query(
      'CREATE TABLE u (id int); ALTER TABLE t ADD a text; ALTER TABLE t ALTER a TYPE int USING 1; DROP TABLE u; TRUNCATE t',
    );
    expect((await world.client.query(`SELECT FROM pg_event_trigger`)).rowCount).toBe(0);
  });
});
