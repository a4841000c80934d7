import {afterAll, beforeAll, describe, expect, test} from 'vitest';
import {WorkerCatalog} from '../../src/catalog/worker-catalog.ts';
import {CatalogWorld, VERSIONS} from '../catalog/catalog-world.ts';
import {freshTopicName, kafkaAddress} from '../setup/kafka.ts';
import {StatementSession} from './statement-session.ts';

/** ALTER SINK … SET FROM as the catalog has it; test/sinks/cut-over has what becomes of it. */
describe.each(VERSIONS)('PostgreSQL %i', version => {
  let world: CatalogWorld;
  let session: StatementSession;
  let catalog: WorkerCatalog;
  const show = async (text: string) =>
    (await session.transcript(text)).replaceAll(world.database.address.database, 'materialize');

  beforeAll(async () => {
    world = await CatalogWorld.open(version);
    session = new StatementSession(await world.session(world.owner));
    catalog = new WorkerCatalog(world.admin);
    const setUp = await show(`
      CREATE TABLE t (id integer PRIMARY KEY, v text);
      CREATE TABLE next (v text, id bigint UNIQUE NOT NULL);
      CREATE TABLE third (id integer PRIMARY KEY, v text);
      CREATE TABLE no_key (id integer, v text);
      CREATE TABLE other_key (ident integer PRIMARY KEY);
      CREATE TABLE odd (id integer PRIMARY KEY, b aclitem[]);
      CREATE UNLOGGED TABLE unlogged (id integer PRIMARY KEY);
      CREATE VIEW v AS SELECT 1 AS id;
      CREATE CONNECTION k TO KAFKA (BROKER '${kafkaAddress()}', SECURITY PROTOCOL PLAINTEXT);
      CREATE SINK s FROM t INTO KAFKA CONNECTION k (TOPIC '${freshTopicName()}') KEY (id) FORMAT JSON ENVELOPE UPSERT WITH (SNAPSHOT = false)`);
    expect(setUp).toMatch(/CREATE SINK$/);
  });
  afterAll(() => world[Symbol.asyncDispose]());

  const versions = () =>
    world.rows(
      `SELECT v.version::int, c.relname AS relation, v.key FROM mz_sluice.sink_version v JOIN pg_class c ON c.oid = v.relation ORDER BY v.version`,
    );
  const needs = async () =>
    (
      await world.rows(
        `SELECT r.name FROM mz_internal.mz_object_dependencies d JOIN mz_catalog.mz_sinks s ON s.id = d.object_id
         JOIN mz_catalog.mz_objects r ON r.id = d.referenced_object_id WHERE s.name = 's' ORDER BY r.name`,
      )
    ).map(row => row['name']);
  const sinkId = async () => (await world.rows(`SELECT id FROM mz_sluice.item WHERE name = 's'`))[0]['id'] as string;

  test('what CREATE SINK refuses is refused, and points to the relation', async () => {
    const before = [await versions(), await show('SHOW CREATE SINK s')];
    const answers = await Promise.resolve([
      ['no_such_table', /^ERROR 42P01: relation "no_such_table" does not exist\nLINE 1: .*\n {30}\^$/m],
      ['v', /^ERROR 42809: view materialize.public.v cannot be exported as a sink/],
      ['s', /^ERROR 42809: catalog item 'materialize.public.s' is a sink and so cannot be depended upon/],
      ['no_key', /^ERROR 42P10: upsert key could not be validated as unique[^]*There are no known unique keys/],
      ['other_key', /^ERROR 42703: column referenced in KEY does not exist: id[^]*Columns are ident/],
      ['odd', /^ERROR 0A000: column ".*" of materialize.public.odd has type .*, which a sink cannot write/],
      ['unlogged', /^ERROR 0A000: unlogged table/],
      ['elsewhere.public.t', /^ERROR 0A000|^ERROR 3D000|^ERROR 42/],
      ['mz_catalog.mz_sinks', /^ERROR 0A000: creating a sink directly on a catalog object not yet supported/],
    ] as const);
    for (const [relation, wanted] of answers) {
      expect(await show(`ALTER SINK s SET FROM ${relation}`), relation).toMatch(wanted);
    }
    expect([await versions(), await show('SHOW CREATE SINK s')]).toEqual(before);
  });

  test('only the owner, and only a relation that he may read', async () => {
    const role = await world.createRole();
    const stranger = new StatementSession(await world.session(role));
    await show(`GRANT SELECT ON third TO ${role}`);
    expect(await stranger.transcript('ALTER SINK s SET FROM third')).toBe('ERROR 42501: must be owner of sink s');
    await world.admin.query('CREATE TABLE private (id integer PRIMARY KEY)');
    expect(await show('ALTER SINK s SET FROM private')).toMatch(/^ERROR 42501: permission denied for table private/);
  });

  test('the same relation is nothing; another one waits for the worker, and its place can be taken', async () => {
    expect(await show('ALTER SINK s SET FROM t')).toBe('ALTER SINK');
    expect(await versions()).toEqual([{version: 0, relation: 't', key: [1]}]);

    await session.client.query('BEGIN');
    await session.client.query(`SELECT mz_internal.alter_sink($1, 'next'::regclass)`, [await sinkId()]);
    await session.client.query('ROLLBACK');
    expect(await versions()).toHaveLength(1);

    expect(await show('ALTER SINK s SET FROM next')).toBe(
      `NOTICE 00000: replica identity of table materialize.public.next will be set to FULL
DETAIL: The log then carries the whole old row of every UPDATE and DELETE.
HINT: Dropping the last sink on the table restores what was before.
ALTER SINK`,
    );
    expect(await versions()).toEqual([
      {version: 0, relation: 't', key: [1]},
      {version: 1, relation: 'next', key: [2]},
    ]);
    expect(await needs()).toEqual(['k', 'next', 't']);
    expect(await show('SHOW CREATE SINK s')).toMatch(
      /FROM "materialize"\."public"\."next" INTO .* KEY \("id"\) .* WITH \(SNAPSHOT = false\)/,
    );
    expect(await show('DROP TABLE t')).toMatch(/^ERROR 2BP01/);
    const [definition] = await catalog.sinks('u1');
    expect(definition).toMatchObject({version: 0, relationName: expect.stringMatching(/\.public\.t$/), key: [0]});
    expect(definition.next).toMatchObject({
      version: 1,
      relationName: expect.stringMatching(/\.public\.next$/),
      key: [1],
    });

    await show('ALTER TABLE next RENAME id TO ident; ALTER TABLE next RENAME TO renamed');
    expect(await show('SHOW CREATE SINK s')).toMatch(/"renamed" INTO .* KEY \("ident"\)/);
    expect(await show('ALTER SINK s SET FROM third')).toMatch(
      /^ERROR 42703: column referenced in KEY does not exist: ident/,
    );
    await show('ALTER TABLE renamed RENAME ident TO id; ALTER SINK s SET FROM third');
    expect(await versions()).toEqual([
      {version: 0, relation: 't', key: [1]},
      {version: 2, relation: 'third', key: [1]},
    ]);
    expect(await needs()).toEqual(['k', 't', 'third']);
    expect(await catalog.releasedRelations('u1')).toMatchObject([{sink: await sinkId()}]);
    await show('ALTER SINK s SET FROM t');
    expect(await versions()).toHaveLength(1);
    expect(await needs()).toEqual(['k', 't']);
  });

  test('what the worker has begun is not taken back; what it has finished is', async () => {
    const id = await sinkId();
    await show('ALTER SINK s SET FROM third');
    const version = (await catalog.sinks('u1'))[0].next!.version;
    // It does not wait for somebody who is just taking it back.
    const other = await world.session(world.owner);
    await other.query('BEGIN');
    await other.query(`SELECT mz_internal.alter_sink($1, 't'::regclass)`, [id]);
    expect(await catalog.beginCutOver(id, version)).toBe(false);
    await other.query('ROLLBACK');
    expect(await catalog.beginCutOver(id, version)).toBe(true);
    expect(await catalog.beginCutOver(id, version + 1)).toBe(false);

    await show('ALTER SINK s SET FROM t');
    expect((await versions()).map(row => row['relation'])).toEqual(['t', 'third', 't']);
    expect((await catalog.sinks('u1'))[0].next).toMatchObject({version});
    await catalog.finishCutOver(id, version);
    await catalog.finishCutOver(id, version);
    expect((await versions()).map(row => row['relation'])).toEqual(['third', 't']);
    expect((await catalog.sinks('u1'))[0]).toMatchObject({
      version,
      relationName: expect.stringMatching(/\.public\.third$/),
    });
    for (const released of await catalog.releasedRelations('u1')) await catalog.forgetReleasedRelation(released);
    expect(await needs()).toEqual(['k', 't', 'third']);
    await catalog.finishCutOver(id, version + 1);
    for (const released of await catalog.releasedRelations('u1')) await catalog.forgetReleasedRelation(released);
    expect(await needs()).toEqual(['k', 't']);
    const {rows} = await world.admin.query<{n: number}>(
      `SELECT count(*)::int AS n FROM mz_catalog.mz_audit_events WHERE event_type = 'alter' AND object_type = 'sink'`,
    );
    // next, third, t; third, t: what changes nothing is no event.
    expect(rows[0].n).toBe(5);
  });

  test('a key whose column is gone is said plainly; a sink that is dropped leaves no relation behind', async () => {
    await show(`CREATE TABLE lost (id integer PRIMARY KEY, v text);
      CREATE SINK l FROM lost INTO KAFKA CONNECTION k (TOPIC '${freshTopicName()}') KEY (id) FORMAT JSON ENVELOPE UPSERT;
      ALTER TABLE lost DROP COLUMN id`);
    expect(await show('ALTER SINK l SET FROM t')).toBe(
      'ERROR 55000: a column in the KEY of sink materialize.public.l was dropped\nHINT: Drop the sink and create it again.',
    );
    await world.admin.query('DELETE FROM mz_sluice.released_relation');
    await show('ALTER SINK s SET FROM third; DROP SINK s');
    expect(await world.rows('SELECT FROM mz_sluice.sink_change')).toEqual([]);
    const released = await world.rows(
      `SELECT DISTINCT c.relname FROM mz_sluice.released_relation r JOIN pg_class c ON c.oid = r.relation`,
    );
    expect(released).toContainEqual({relname: 'third'});
  });
});
