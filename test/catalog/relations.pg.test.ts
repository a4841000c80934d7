import type pg from 'pg';
import {afterAll, beforeAll, describe, expect, test} from 'vitest';
import {describeRelation, type RelationDescription} from '../../src/catalog/commands.ts';
import {CatalogWorld, newConnection, run, sqlstate, VERSIONS} from './catalog-world.ts';

describe.each(VERSIONS)('PostgreSQL %i', version => {
  let world: CatalogWorld;
  let session: pg.Client;
  beforeAll(async () => {
    world = await CatalogWorld.open(version);
    session = await world.session(world.owner);
    await session.query('CREATE SCHEMA s; SET search_path = s');
  });
  afterAll(() => world[Symbol.asyncDispose]());

  const describeIt = async (...name: string[]) => (await run(session, describeRelation(name))) as RelationDescription;

  test.each([
    ['view', 'CREATE VIEW v AS SELECT 1 AS id', 'v', '42809'],
    ['materialized view', 'CREATE MATERIALIZED VIEW m AS SELECT 1 AS id', 'm', '42809'],
    ['index', 'CREATE TABLE i (id integer PRIMARY KEY)', 'i_pkey', '42809'],
    ['sequence', 'CREATE SEQUENCE q', 'q', '42809'],
    ['temporary table', 'CREATE TEMP TABLE tmp (id integer)', 'tmp', '0A000'],
    ['unlogged table', 'CREATE UNLOGGED TABLE u (id integer)', 'u', '0A000'],
    [
      'partition',
      'CREATE TABLE p (id integer) PARTITION BY LIST (id); CREATE TABLE p1 PARTITION OF p FOR VALUES IN (1)',
      'p1',
      '0A000',
    ],
    [
      'partitioned table with an unlogged leaf',
      'CREATE TABLE pu (id integer) PARTITION BY LIST (id); CREATE UNLOGGED TABLE pu1 PARTITION OF pu FOR VALUES IN (1)',
      'pu',
      '0A000',
    ],
    ['parent table', 'CREATE TABLE par (id integer); CREATE TABLE chi () INHERITS (par)', 'par', '0A000'],
    ['child table', 'CREATE TABLE par2 (id integer); CREATE TABLE chi2 () INHERITS (par2)', 'chi2', '0A000'],
    ['missing relation', 'SELECT', 'none', '42P01'],
  ])('a %s is refused', async (_, create, name, code) => {
    await session.query(create);
    await expect(describeIt(name)).rejects.toMatchObject({code});
  });

  test('system relations and items are refused', async () => {
    await expect(describeIt('pg_catalog', 'pg_class')).rejects.toMatchObject({code: '0A000'});
    await expect(describeIt('pg_class')).rejects.toMatchObject({code: '0A000'});
    await expect(describeIt('mz_catalog', 'mz_sinks')).rejects.toMatchObject({code: '0A000'});
    await newConnection(session, 'k');
    await expect(describeIt('k')).rejects.toMatchObject({
      code: '42809',
      message: expect.stringMatching(/^catalog item '.*\.s\.k' is a connection and so cannot be depended upon$/),
    });
    await expect(describeIt('nowhere', 't')).rejects.toMatchObject({code: '3F000'});
  });

  test('foreign tables are refused, also as leaves', async () => {
    await world.admin.query(`
      CREATE FOREIGN DATA WRAPPER nothing; CREATE SERVER nothing FOREIGN DATA WRAPPER nothing;
      CREATE FOREIGN TABLE s.f (id integer) SERVER nothing;
      CREATE TABLE s.pf (id integer) PARTITION BY LIST (id); CREATE FOREIGN TABLE s.pf1 PARTITION OF s.pf FOR VALUES IN (1) SERVER nothing;
      GRANT SELECT ON s.f, s.pf TO PUBLIC`);
    await expect(describeIt('f')).rejects.toMatchObject({code: '42809'});
    await expect(describeIt('pf')).rejects.toMatchObject({code: '0A000'});
  });

  test('generated columns are refused where the log does not carry them', async () => {
    await session.query('CREATE TABLE stored (id integer PRIMARY KEY, g integer GENERATED ALWAYS AS (id * 2) STORED)');
    expect(await sqlstate(describeIt('stored'))).toBe(version >= 18 ? undefined : '0A000');
    if (version < 18) return;
    await session.query(
      'CREATE TABLE virtual (id integer PRIMARY KEY, g integer GENERATED ALWAYS AS (id * 2) VIRTUAL)',
    );
    expect(await sqlstate(describeIt('virtual'))).toBe('0A000');
  });

  test('columns as they are now, dropped ones left out', async () => {
    await session.query(
      'CREATE TABLE cols (a integer, b text NOT NULL, "C c" numeric(5, 2)[], d timestamptz(3)); ALTER TABLE cols DROP COLUMN a',
    );
    const {columns, oid, name} = await describeIt('cols');
    expect(name).toBe(`${world.database.address.database}.s.cols`);
    expect(await world.rows("SELECT 's.cols'::regclass::oid::integer AS oid")).toEqual([{oid}]);
    expect(columns).toEqual([
      {name: 'b', attnum: 2, typeOid: 25, typmod: -1, typeName: 'text', notNull: true},
      {name: 'C c', attnum: 3, typeOid: 1231, typmod: (5 << 16) + 2 + 4, typeName: 'numeric(5,2)[]', notNull: false},
      {name: 'd', attnum: 4, typeOid: 1184, typmod: 3, typeName: 'timestamp(3) with time zone', notNull: false},
    ]);
  });

  test('keys are what no two rows can ever share', async () => {
    await session.query(`
      CREATE TABLE keys (a integer NOT NULL, b integer NOT NULL, c integer, d integer NOT NULL, e integer, PRIMARY KEY (b, a));
      CREATE UNIQUE INDEX two ON keys (d) INCLUDE (e);
      CREATE UNIQUE INDEX nullable ON keys (c);
      CREATE UNIQUE INDEX partial ON keys (d) WHERE d > 0;
      CREATE UNIQUE INDEX expression ON keys (d, (a + b));
      ALTER TABLE keys ADD CONSTRAINT late UNIQUE (a, d) DEFERRABLE;
      CREATE UNIQUE INDEX nulls ON keys (c, e) NULLS NOT DISTINCT;
      CREATE INDEX plain ON keys (a)`);
    expect((await describeIt('keys')).keys).toEqual([['b', 'a'], ['d'], ['c', 'e']]);
  });

  if (version < 18) return;

  test('a NOT NULL constraint that is not validated proves nothing, nor does a key over periods', async () => {
    await session.query(`
      CREATE TABLE unproved (a integer); ALTER TABLE unproved ADD CONSTRAINT present NOT NULL a NOT VALID; CREATE UNIQUE INDEX ON unproved (a);
      CREATE TABLE periods (a int4range, during int4range, PRIMARY KEY (a, during WITHOUT OVERLAPS))`);
    expect(await describeIt('unproved')).toMatchObject({keys: [], columns: [{notNull: false}]});
    expect((await describeIt('periods')).keys).toEqual([]);
    await session.query('ALTER TABLE unproved VALIDATE CONSTRAINT present');
    expect(await describeIt('unproved')).toMatchObject({keys: [['a']], columns: [{notNull: true}]});
  });
});
