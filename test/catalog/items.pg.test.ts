import type pg from 'pg';
import {afterAll, beforeAll, describe, expect, test} from 'vitest';
import {poll} from '../../scripts/process/poll.ts';
import {
  alterCluster,
  createCluster,
  createConnection,
  createSecret,
  describeCluster,
  describeConnection,
  describeName,
  dropCluster,
  dropItem,
  inline,
  raiseError,
  sealSecret,
  showCreate,
  showCreateCluster,
} from '../../src/catalog/commands.ts';
import {
  CatalogWorld,
  KAFKA,
  newConnection,
  newSecret,
  newSink,
  notices,
  run,
  sqlstate,
  VERSIONS,
} from './catalog-world.ts';

const RESTRICT = {ifExists: false, cascade: false};
const CASCADE = {ifExists: false, cascade: true};

describe.each(VERSIONS)('PostgreSQL %i', version => {
  let world: CatalogWorld;
  let database: string;
  let session: pg.Client;
  beforeAll(async () => {
    world = await CatalogWorld.open(version);
    database = world.database.address.database;
    session = await world.session(world.owner);
  });
  afterAll(() => world[Symbol.asyncDispose]());

  /** A schema of its own for each test: table t (id, v), connection k and, on request, sink s. */
  async function fixture(name: string, withSink = true): Promise<void> {
    await session.query(`CREATE SCHEMA ${name}`);
    await session.query(`CREATE TABLE ${name}.t (id integer PRIMARY KEY, v text)`);
    await newConnection(session, name, 'k');
    if (withSink) await newSink(session, {name: [name, 's'], relation: [name, 't'], connection: [name, 'k']});
  }

  const sinkNames = async () => {
    const {rows} = await session.query<{name: string}>('SELECT name FROM mz_sinks');
    return rows.map(row => row.name);
  };

  test('what was created is described, shown and dropped', async () => {
    await fixture('life');
    expect(await run(session, describeConnection(['life', 'k']))).toMatchObject({
      id: expect.stringMatching(/^u\d+$/),
      name: `${database}.life.k`,
      definition: KAFKA,
    });
    const shown = await session.query(inline(showCreate('sink', [database, 'life', 's'], false)));
    expect(shown.rows).toEqual([
      {
        name: `${database}.life.s`,
        create_sql:
          `CREATE SINK "${database}"."life"."s" IN CLUSTER "quickstart" FROM "${database}"."life"."t" ` +
          `INTO KAFKA CONNECTION "${database}"."life"."k" (TOPIC = 'topic') KEY ("id") FORMAT JSON ENVELOPE UPSERT`,
      },
    ]);
    expect((await session.query(inline(showCreate('sink', ['life', 's'], true)))).rows[0].create_sql).toContain(
      "TOPIC = '<REDACTED>'",
    );

    expect(await sqlstate(run(session, dropItem('connection', ['life', 'k'], RESTRICT)))).toBe('2BP01');
    expect(await run(session, dropItem('sink', ['life', 's'], RESTRICT))).toBe(true);
    expect(await run(session, dropItem('connection', ['life', 'k'], RESTRICT))).toBe(true);
    expect(await sqlstate(run(session, describeConnection(['life', 'k'])))).toBe('42704');
    expect(
      await notices(session, () => run(session, dropItem('sink', ['life', 's'], {...RESTRICT, ifExists: true}))),
    ).toEqual(['00000 sink "life.s" does not exist, skipping']);
    expect(await sqlstate(session.query('DROP SCHEMA life'))).toBe('2BP01');
    await session.query('DROP TABLE life.t; DROP SCHEMA life');
  });

  test('what a transaction created goes with its rollback', async () => {
    await fixture('undone', false);
    await session.query('BEGIN; SAVEPOINT one');
    await newSecret(session, 'undone', 'secret');
    await newSink(session, {name: ['undone', 's'], relation: ['undone', 't'], connection: ['undone', 'k']});
    expect(await sinkNames()).toContain('s');
    await session.query('ROLLBACK TO one');
    expect(await sinkNames()).not.toContain('s');
    await newSink(session, {name: ['undone', 's2'], relation: ['undone', 't'], connection: ['undone', 'k']});
    await session.query('ROLLBACK');

    const left = await world.rows("SELECT kind, name FROM mz_sluice.item WHERE schema = 'undone'::regnamespace");
    expect(left).toEqual([{kind: 'connection', name: 'k'}]);
    expect(
      await world.rows(
        'SELECT FROM mz_sluice.sink_state WHERE sink NOT IN (SELECT id FROM mz_sluice.item UNION SELECT id FROM mz_sluice.dropped_sink)',
      ),
    ).toEqual([]);
    await session.query('DROP TABLE undone.t');
  });

  test('a drop that is rolled back has not happened', async () => {
    await fixture('kept');
    await session.query('BEGIN; DROP TABLE kept.t CASCADE');
    expect(
      await world.rows("SELECT name FROM mz_sluice.item WHERE schema = 'kept'::regnamespace AND kind = 'sink'"),
    ).toHaveLength(1);
    expect(
      (await session.query("SELECT name FROM mz_sinks WHERE schema_id = 'u' || 'kept'::regnamespace::oid")).rows,
    ).toEqual([]);
    await session.query('ROLLBACK');
    expect(
      (await session.query("SELECT name FROM mz_sinks WHERE schema_id = 'u' || 'kept'::regnamespace::oid")).rows,
    ).toHaveLength(1);
  });

  test('unqualified names follow the search_path', async () => {
    await fixture('first', false);
    await fixture('second', false);
    await session.query('SET search_path = second, first');
    const {name} = (await run(session, describeConnection(['k']))) as {name: string};
    expect(name).toBe(`${database}.second.k`);
    expect(await run(session, describeName(['new']))).toEqual({name: `${database}.second.new`, taken: null});
    expect(await run(session, describeName(['first', 't_pkey']))).toEqual({
      name: `${database}.first.t_pkey`,
      taken: 'index',
    });
    await session.query("SET search_path = ''");
    expect(await sqlstate(run(session, describeConnection(['k'])))).toBe('42704');
    expect(await sqlstate(newSecret(session, 'x'))).toBe('3F000');
    await session.query('RESET search_path');
  });

  test('names that are wrong', async () => {
    await fixture('wrong');
    const connection = (...name: string[]) => sqlstate(run(session, describeConnection(name)));
    expect(await connection('elsewhere', 'wrong', 'k')).toBe('0A000');
    expect(await connection('a', database, 'wrong', 'k')).toBe('42601');
    expect(await connection('no_such_schema', 'k')).toBe('3F000');
    expect(await connection('wrong', 's')).toBe('42809');
    expect(await connection('wrong', 't')).toBe('42809');
    expect(await connection('wrong', 'none')).toBe('42704');
    expect(await sqlstate(newSecret(session, 'wrong', '..'))).toBe('42602');
    expect(await sqlstate(newSecret(session, 'wrong', 'x'.repeat(256)))).toBe('42602');
    expect(await sqlstate(newSecret(session, 'pg_catalog', 'x'))).toBe('42501');
    expect(await sqlstate(newSecret(world.admin, 'mz_catalog', 'x'))).toBe('42501');
    expect(await sqlstate(run(session, describeCluster('none')))).toBe('42704');
  });

  test('a name is given once, to items and relations alike', async () => {
    await fixture('clash');
    for (const taken of ['k', 's', 't', 't_pkey']) {
      expect(await sqlstate(newSecret(session, 'clash', taken)), taken).toBe('42710');
    }
    const again = createConnection({name: ['clash', 'k'], ifNotExists: true, options: KAFKA, createSql: []});
    expect(await notices(session, async () => expect(await run(session, again)).toBeNull())).toEqual([
      `42710 connection "${database}.clash.k" already exists, skipping`,
    ]);
    // Names of any length keep their anchors apart, although PostgreSQL's names have 63 bytes.
    await newSecret(session, 'clash', 'ü'.repeat(100));
    await newSecret(session, 'clash', 'ü'.repeat(100) + 'x');
    await newSecret(session, 'clash', `we"ird '$1\\`);
    expect(await run(session, dropItem('secret', ['clash', `we"ird '$1\\`], RESTRICT))).toBe(true);
  });

  test('one of many concurrent creations of a name succeeds', async () => {
    await session.query('CREATE SCHEMA race');
    const sessions = await Promise.all(Array.from({length: 5}, () => world.session(world.owner)));
    const outcomes = await Promise.all(sessions.map(each => sqlstate(newSecret(each, 'race', 'one'))));
    expect(outcomes.filter(code => code === undefined)).toHaveLength(1);
    expect(outcomes.filter(code => code === '42710')).toHaveLength(4);

    // The one that comes second waits for the first one's end, whichever it is.
    const [a, b] = sessions;
    await a.query('BEGIN');
    await newSecret(a, 'race', 'two');
    const second = run(b, createSecret({name: ['race', 'two'], ifNotExists: true}));
    await a.query('ROLLBACK');
    expect(await second).toMatch(/^u\d+$/);
    const clusters = await Promise.all(
      sessions.map(each => sqlstate(run(each, createCluster({name: 'race', size: '25cc', replicationFactor: 1})))),
    );
    expect(clusters.filter(code => code === undefined)).toHaveLength(1);
    expect(clusters.filter(code => code === '42710')).toHaveLength(4);
  });

  /** Until `work` in the backend of this process id waits for a lock. */
  async function untilWaiting(pid: number, work: Promise<unknown>): Promise<void> {
    let isOver = false;
    void work.finally(() => (isOver = true)).catch(() => undefined);
    await poll('the backend to wait for one other', 60_000, async () => {
      expect(isOver).toBe(false);
      const {rows} = await world.admin.query<{by: number}>('SELECT cardinality(pg_blocking_pids($1)) AS by', [pid]);
      return rows[0].by === 1;
    });
  }

  test.each(['connection', 'cluster'] as const)(
    'DROP and CREATE SINK that meet at a %s speak of objects of ours',
    async kind => {
      const schema = `meeting_${kind}`;
      await fixture(schema, false);
      await run(session, createCluster({name: schema, size: '25cc', replicationFactor: 0}));
      const sink = {name: [schema, 's'], relation: [schema, 't'], connection: [schema, 'k'], cluster: schema};
      const drop = kind === 'cluster' ? dropCluster(schema, RESTRICT) : dropItem(kind, [schema, 'k'], RESTRICT);
      const name = kind === 'cluster' ? schema : 'k';
      const other = await world.session(world.owner);
      const {pid} = (await other.query<{pid: number}>('SELECT pg_backend_pid() AS pid')).rows[0];

      await session.query('BEGIN');
      await newSink(session, sink);
      const dropping = run(other, drop);
      await untilWaiting(pid, dropping);
      await session.query('COMMIT');
      await expect(dropping).rejects.toMatchObject({
        code: '2BP01',
        message: `cannot drop ${kind} "${name}": still depended upon by sink "s"`,
      });

      await run(session, dropItem('sink', [schema, 's'], RESTRICT));
      await session.query('BEGIN');
      await run(session, drop);
      const creating = newSink(other, sink);
      await untilWaiting(pid, creating);
      await session.query('COMMIT');
      await expect(creating).rejects.toMatchObject({code: '42704', message: `${kind} "${name}" does not exist`});
    },
  );

  test('DROP SCHEMA and CREATE SECRET that meet leave no secret without a schema', async () => {
    const other = await world.session(world.owner);
    const {pid} = (await other.query<{pid: number}>('SELECT pg_backend_pid() AS pid')).rows[0];
    const secret = createSecret({name: ['met', 'x'], ifNotExists: false});

    await session.query('CREATE SCHEMA met');
    await session.query('BEGIN');
    await run(session, secret);
    const dropping = other.query('DROP SCHEMA met');
    await untilWaiting(pid, dropping);
    await session.query('COMMIT');
    await expect(dropping).rejects.toMatchObject({code: '2BP01'});

    await session.query('BEGIN');
    await session.query('DROP SCHEMA met CASCADE');
    const creating = run(other, secret);
    await untilWaiting(pid, creating);
    await session.query('COMMIT');
    await expect(creating).rejects.toMatchObject({code: '3F000', message: 'schema "met" does not exist'});
    const {rows} = await world.admin.query(`SELECT FROM mz_sluice.item WHERE name = 'x'`);
    expect(rows).toEqual([]);
  });

  test('renames and moves need nobody to follow them', async () => {
    await fixture('before');
    await session.query('ALTER TABLE before.t RENAME COLUMN id TO "Key"');
    await session.query('ALTER TABLE before.t RENAME TO "T 2"');
    await session.query('ALTER SCHEMA before RENAME TO after');
    const {rows} = await session.query(inline(showCreate('sink', ['after', 's'], false)));
    expect(rows[0].create_sql).toContain(
      `FROM "${database}"."after"."T 2" INTO KAFKA CONNECTION "${database}"."after"."k"`,
    );
    expect(rows[0].create_sql).toContain('KEY ("Key")');
    expect(await sqlstate(session.query('DROP TABLE after."T 2"'))).toBe('2BP01');
  });

  test('PostgreSQL itself refuses to drop what a sink needs, and names the sink', async () => {
    await fixture('needed');
    await expect(session.query('DROP TABLE needed.t')).rejects.toMatchObject({
      code: '2BP01',
      detail: expect.stringMatching(/sink u\d+: s" depends on table needed\.t/),
    });
    await expect(session.query('DROP SCHEMA needed')).rejects.toMatchObject({code: '2BP01'});
    await expect(run(session, dropCluster('quickstart', RESTRICT))).rejects.toMatchObject({code: '2BP01'});
  });

  test.each([
    ['DROP TABLE', 'DROP TABLE %.t CASCADE', ['k']],
    ['DROP SCHEMA', 'DROP SCHEMA % CASCADE', []],
  ])('%s … CASCADE takes the sink with it', async (_, drop, left) => {
    const schema = `cascade_${left.length}`;
    await fixture(schema);
    const [{oid}] = await world.rows('SELECT $1::regnamespace::oid', [schema]);
    const [{id, relation}] = await world.rows(
      "SELECT i.id, s.relation FROM mz_sluice.item i JOIN mz_sluice.sink s USING (id) WHERE i.schema = $1 AND i.name = 's'",
      [oid],
    );
    await session.query(drop.replace('%', schema));
    const names = await world.rows('SELECT name FROM mz_sluice.item WHERE schema = $1', [oid]);
    expect(names.map(row => row['name'])).toEqual(left);
    expect(await world.rows('SELECT relation FROM mz_sluice.dropped_sink WHERE id = $1', [id])).toEqual([{relation}]);
    expect(await world.rows('SELECT status FROM mz_sluice.sink_status_history WHERE sink = $1', [id])).toEqual([
      {status: 'dropped'},
    ]);
  });

  test('DROP CONNECTION, SECRET and CLUSTER … CASCADE take what needs them', async () => {
    await fixture('chain', false);
    const secret = await newSecret(session, 'chain', 'password');
    await run(session, sealSecret(secret as string, Buffer.from('sealed')));
    const options = {...KAFKA, saslPassword: {secret: secret as string}};
    await run(session, createConnection({name: ['chain', 'k2'], ifNotExists: false, options, createSql: []}));
    await run(session, createCluster({name: 'chain', size: '1', replicationFactor: 0}));
    await newSink(session, {name: ['chain', 's1'], relation: ['chain', 't'], connection: ['chain', 'k2']});
    await newSink(session, {
      name: ['chain', 's2'],
      relation: ['chain', 't'],
      connection: ['chain', 'k'],
      cluster: 'chain',
    });

    await expect(run(session, dropItem('secret', ['chain', 'password'], RESTRICT))).rejects.toMatchObject({
      code: '2BP01',
      message: 'cannot drop secret "password": still depended upon by connection "k2"',
      hint: 'Use DROP ... CASCADE to drop the dependent objects too.',
    });
    await run(session, dropItem('secret', ['chain', 'password'], CASCADE));
    expect(await sinkNames()).not.toContain('s1');
    expect(await world.rows('SELECT FROM mz_sluice.secret_value WHERE secret = $1', [secret])).toEqual([]);
    await run(session, dropCluster('chain', CASCADE));
    expect(await sinkNames()).not.toContain('s2');
    expect(await run(session, dropCluster('chain', {ifExists: true, cascade: false}))).toBe(false);
  });

  test('DROP OWNED, REASSIGN OWNED and DROP ROLE see items', async () => {
    const [leaver, heir] = [await world.createRole(), await world.createRole()];
    await world.admin.query(`CREATE SCHEMA owned; GRANT ALL ON SCHEMA owned TO ${leaver}, ${heir}`);
    const theirs = await world.session(leaver);
    await newSecret(theirs, 'owned', 'a');
    await expect(world.admin.query(`DROP ROLE ${leaver}`)).rejects.toMatchObject({
      code: '2BP01',
      detail: expect.stringMatching(/owner of view mz_sluice\."secret u\d+: a"/),
    });
    await world.admin.query(`REASSIGN OWNED BY ${leaver} TO ${heir}`);
    expect(await sqlstate(run(theirs, dropItem('secret', ['owned', 'a'], RESTRICT)))).toBe('42501');
    await newSecret(theirs, 'owned', 'b');
    await world.admin.query(`DROP OWNED BY ${leaver}`);
    const left = await world.rows("SELECT name FROM mz_sluice.item WHERE schema = 'owned'::regnamespace");
    expect(left).toEqual([{name: 'a'}]);
  });

  test('without the event trigger a drop is followed by whoever comes next', async () => {
    await fixture('unseen');
    await world.admin.query('ALTER EVENT TRIGGER mz_sluice_follow_drops DISABLE');
    try {
      await session.query('DROP TABLE unseen.t CASCADE');
      expect(
        await world.rows("SELECT FROM mz_sluice.item WHERE schema = 'unseen'::regnamespace AND name = 's'"),
      ).toHaveLength(1);
      const inSchema = "WHERE schema_id = 'u' || 'unseen'::regnamespace::oid";
      expect((await session.query(`SELECT name FROM mz_sinks ${inSchema}`)).rows).toEqual([]);
      expect((await session.query(`SELECT name FROM mz_objects ${inSchema}`)).rows).toEqual([{name: 'k'}]);
      expect(await newSecret(session, 'unseen', 's')).toMatch(/^u\d+$/);
    } finally {
      await world.admin.query('ALTER EVENT TRIGGER mz_sluice_follow_drops ENABLE ALWAYS');
    }
  });

  test('clusters', async () => {
    expect(await run(session, describeCluster())).toEqual({id: 'u1', name: 'quickstart', replicationFactor: 1});
    await run(session, createCluster({name: 'C 2', size: '50cc', replicationFactor: 1}));
    await session.query(`SET sluice.cluster = 'C 2'`);
    expect(await run(session, describeCluster())).toMatchObject({name: 'C 2'});
    await run(session, alterCluster('C 2', {replicationFactor: 0}));
    await run(session, alterCluster('C 2', {size: '100cc'}));
    expect((await session.query(inline(showCreateCluster('C 2')))).rows).toEqual([
      {
        name: 'C 2',
        create_sql: `CREATE CLUSTER "C 2" (MANAGED = true, REPLICATION FACTOR = 0, SIZE = '100cc', SCHEDULE = MANUAL)`,
      },
    ]);
    await session.query('RESET sluice.cluster');
    expect(await sqlstate(run(session, alterCluster('C 2', {replicationFactor: -1})))).toBe('22023');
    expect(await sqlstate(run(session, createCluster({name: 'mz_c', size: '1', replicationFactor: 1})))).toBe('42939');
    await run(session, dropCluster('C 2', RESTRICT));
  });

  test('errors are raised as they were given, and texts without parameters say the same', async () => {
    const [message, hint] = [`it's "100%" \\ $1`, 'Say $2.'];
    for (const setting of ['on', 'off']) {
      await session.query(`SET standard_conforming_strings = ${setting}`);
      const command = raiseError('22023', message, {hint});
      const expected = {code: '22023', message, hint, detail: undefined};
      await expect(run(session, command)).rejects.toMatchObject(expected);
      await expect(session.query(inline(command))).rejects.toMatchObject(expected);
    }
    await session.query('RESET standard_conforming_strings');
    await expect(run(session, raiseError('0A000', 'm', {detail: 'D.'}))).rejects.toMatchObject({detail: 'D.'});
    await expect(run(session, raiseError('0A000', 'm', {detail: 'D.', hint: 'H.'}))).rejects.toMatchObject({
      hint: 'H.',
    });
    await expect(run(session, raiseError('0A000', 'm'))).rejects.toMatchObject({code: '0A000', message: 'm'});
  });
});
