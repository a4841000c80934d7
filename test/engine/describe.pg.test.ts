import {randomBytes} from 'node:crypto';
import type pg from 'pg';
import {afterAll, beforeAll, describe, expect, test} from 'vitest';
import {connect} from '../../src/engine/connect.ts';
import {describeRelation} from '../../src/engine/describe-relation.ts';
import {describeTypes, unsendablePart} from '../../src/engine/describe-types.ts';
import {createTestDatabase} from '../setup/postgres.ts';
import type {TestDatabase} from '../setup/postgres.ts';

describe.each([15, 18] as const)('PostgreSQL %i', version => {
  let database: TestDatabase;
  let client: pg.Client;
  beforeAll(async () => {
    database = await createTestDatabase({version});
    client = await connect(database.address, {applicationName: 'test'});
    await client.query('CREATE SCHEMA s');
  });
  afterAll(async () => {
    await client.end();
    await database.drop();
  });

  const oidOf = async (kind: 'regtype' | 'regclass', name: string) => {
    const {rows} = await client.query<{oid: number}>(`SELECT $1::text::${kind}::oid AS oid`, [name]);
    return rows[0].oid;
  };
  const typeOf = async (name: string) => {
    const oid = await oidOf('regtype', name);
    return (await describeTypes(client, [oid])).get(oid);
  };
  const relation = async (name: string) => (await describeRelation(client, await oidOf('regclass', name)))!;
  const keys = async (name: string) => (await relation(name)).uniqueKeys;
  const fresh = () => `s.t${randomBytes(4).toString('hex')}`;

  describe('types', () => {
    test('all kinds, nested in one another', async () => {
      await client.query(`
        CREATE TYPE s.mood AS ENUM ('sad', 'happy');
        ALTER TYPE s.mood ADD VALUE 'so so' BEFORE 'happy';
        CREATE TYPE s.pair AS (m s.mood[], gone int, n numeric(5, 2));
        ALTER TYPE s.pair DROP ATTRIBUTE gone;
        CREATE DOMAIN s.pairs AS s.pair[] CHECK (cardinality(VALUE) < 9);
        CREATE TYPE s.span AS RANGE (subtype = date, multirange_type_name = s.spans)`);
      expect(await typeOf('s.pairs')).toMatchObject({
        kind: 'domain',
        schema: 's',
        name: 'pairs',
        binary: true,
        base: {
          kind: 'array',
          name: '_pair',
          delimiter: ',',
          element: {
            kind: 'composite',
            fields: [
              {
                name: 'm',
                typmod: -1,
                type: {kind: 'array', element: {kind: 'enum', labels: ['sad', 'so so', 'happy']}},
              },
              {name: 'n', typmod: (5 << 16) + 2 + 4, type: {kind: 'base', oid: 1700, name: 'numeric'}},
            ],
          },
        },
      });
      expect(await typeOf('s.spans')).toMatchObject({
        kind: 'multirange',
        range: {kind: 'range', name: 'span', subtype: {kind: 'base', name: 'date', schema: 'pg_catalog'}},
      });
    });

    test('a domain keeps the modifier of its base, a box array its semicolon', async () => {
      await client.query('CREATE DOMAIN s.price AS numeric(7, 3)');
      expect(await typeOf('s.price')).toMatchObject({kind: 'domain', typmod: (7 << 16) + 3 + 4});
      expect(await typeOf('box[]')).toMatchObject({kind: 'array', delimiter: ';'});
    });

    test('what has elements but is no true array is a base type', async () => {
      for (const name of ['int2vector', 'oidvector', 'point', 'name', 'record', 'anyarray']) {
        expect(await typeOf(name), name).toMatchObject({kind: 'base', name});
      }
    });

    test('the row type of a table', async () => {
      await client.query(
        'CREATE TABLE s.rows_of (a int NOT NULL, gone text, b text[]); ALTER TABLE s.rows_of DROP gone',
      );
      expect(await typeOf('s.rows_of')).toMatchObject({kind: 'composite', fields: [{name: 'a'}, {name: 'b'}]});
    });

    test('many at once, unknown ones left out, none at all', async () => {
      const types = await describeTypes(client, [23, 4_000_000_000, 25, 23]);
      expect([...types.keys()]).toEqual([23, 25]);
      expect(await describeTypes(client, [])).toEqual(new Map());
    });

    test('every type that PostgreSQL brings can be described', async () => {
      const {rows} = await client.query<{oid: number}>('SELECT oid FROM pg_type');
      const types = await describeTypes(
        client,
        rows.map(row => row.oid),
      );
      expect(types.size).toBe(rows.length);
    });

    test('a type without send function is not binary, and what contains it cannot be sent', async () => {
      const item = await typeOf('aclitem');
      expect(item).toMatchObject({binary: false});
      expect(unsendablePart(item!)).toBeUndefined();
      await client.query('CREATE TYPE s.with_acl AS (a int, acl aclitem[])');
      expect(unsendablePart((await typeOf('s.with_acl'))!)).toMatchObject({name: 'aclitem'});
      expect(unsendablePart((await typeOf('s.pairs'))!)).toBeUndefined();
      // That PostgreSQL really refuses is why the function exists.
      await expect(client.query(`SELECT array_send('{=r/${database.address.user}}'::aclitem[])`)).rejects.toMatchObject(
        {
          code: '42883',
        },
      );
    });
  });

  describe('relations', () => {
    test('columns: order, modifiers, NOT NULL, generated, dropped ones, storage', async () => {
      const t = fresh();
      await client.query(`
        CREATE TABLE ${t} (id bigint PRIMARY KEY, gone int, v varchar(10), g int GENERATED ALWAYS AS (1) STORED);
        ALTER TABLE ${t} DROP gone`);
      const {columns} = await relation(t);
      expect(columns).toMatchObject([
        {attnum: 1, name: 'id', typmod: -1, notNull: true, generated: 'no', toastable: false, type: {name: 'int8'}},
        {attnum: 3, name: 'v', typmod: 14, notNull: false, generated: 'no', toastable: true, type: {name: 'varchar'}},
        {attnum: 4, name: 'g', notNull: false, generated: 'stored', toastable: false, type: {name: 'int4'}},
      ]);
    });

    // Only 18 knows them.
    if (version === 18)
      test('virtual columns, and NOT NULL that has not been validated', async () => {
        const t = fresh();
        await client.query(`
        CREATE TABLE ${t} (a int, b int GENERATED ALWAYS AS (a + 1) VIRTUAL);
        INSERT INTO ${t} VALUES (NULL);
        ALTER TABLE ${t} ADD CONSTRAINT a_is NOT NULL a NOT VALID;
        CREATE UNIQUE INDEX ON ${t} (a)`);
        const {columns, uniqueKeys} = await relation(t);
        expect(columns).toMatchObject([{notNull: false}, {generated: 'virtual'}]);
        expect(uniqueKeys).toEqual([]);
        await client.query(`DELETE FROM ${t}; ALTER TABLE ${t} VALIDATE CONSTRAINT a_is`);
        expect((await relation(t)).columns[0].notNull).toBe(true);
        expect(await keys(t)).toHaveLength(1);
      });

    if (version === 18)
      test('a key WITHOUT OVERLAPS is none of ours', async () => {
        const t = fresh();
        await client.query(`CREATE TABLE ${t} (e int4range, r int4range, PRIMARY KEY (e, r WITHOUT OVERLAPS))`);
        expect(await keys(t)).toEqual([]);
      });

    test('which unique indexes prove a key', async () => {
      const t = fresh();
      await client.query(`
        CREATE TABLE ${t} (a int NOT NULL, b int NOT NULL, c int, d int NOT NULL, PRIMARY KEY (b, a));
        CREATE UNIQUE INDEX included ON ${t} (d) INCLUDE (c);
        CREATE UNIQUE INDEX nulls_equal ON ${t} (c) NULLS NOT DISTINCT;
        CREATE UNIQUE INDEX nulls_differ ON ${t} (c);
        CREATE UNIQUE INDEX part ON ${t} (a) WHERE b > 0;
        CREATE UNIQUE INDEX expression ON ${t} ((a + b));
        CREATE INDEX plain ON ${t} (a);
        ALTER TABLE ${t} ADD CONSTRAINT late UNIQUE (a, d) DEFERRABLE`);
      expect(await keys(t)).toEqual([
        {name: expect.stringMatching(/_pkey$/), primary: true, columns: [2, 1]},
        {name: 'included', primary: false, columns: [4]},
        {name: 'nulls_equal', primary: false, columns: [3]},
      ]);
    });

    test('replica identity and the columns that it logs', async () => {
      const t = fresh();
      await client.query(
        `CREATE TABLE ${t} (a int NOT NULL, b int NOT NULL, PRIMARY KEY (b)); CREATE UNIQUE INDEX i ON ${t} (a, b)`,
      );
      expect(await relation(t)).toMatchObject({replicaIdentity: 'd', identityColumns: [2]});
      await client.query(`ALTER TABLE ${t} REPLICA IDENTITY USING INDEX i`);
      expect(await relation(t)).toMatchObject({replicaIdentity: 'i', identityColumns: [1, 2]});
      await client.query(`ALTER TABLE ${t} REPLICA IDENTITY FULL`);
      expect(await relation(t)).toMatchObject({replicaIdentity: 'f', identityColumns: []});
    });

    test('a partitioned table and its leaves, two levels deep', async () => {
      const t = fresh();
      await client.query(`
        CREATE TABLE ${t} (a int, b int NOT NULL, PRIMARY KEY (a, b)) PARTITION BY RANGE (a);
        CREATE TABLE ${t}_low PARTITION OF ${t} FOR VALUES FROM (0) TO (10) PARTITION BY LIST (b);
        CREATE TABLE ${t}_low_rest PARTITION OF ${t}_low DEFAULT;
        CREATE UNLOGGED TABLE ${t}_high PARTITION OF ${t} FOR VALUES FROM (10) TO (20);
        ALTER TABLE ${t}_high REPLICA IDENTITY FULL`);
      const root = await relation(t);
      const name = t.slice(2);
      expect(root).toMatchObject({kind: 'p', partitionRoot: undefined, inheritanceChildren: []});
      expect(root.leaves).toMatchObject([
        {name: `${name}_low_rest`, schema: 's', kind: 'r', persistence: 'p', replicaIdentity: 'd'},
        {name: `${name}_high`, kind: 'r', persistence: 'u', replicaIdentity: 'f'},
      ]);
      expect(root.uniqueKeys).toEqual([{name: `${name}_pkey`, primary: true, columns: [1, 2]}]);
      expect(await relation(`${t}_low_rest`)).toMatchObject({
        partitionRoot: root.oid,
        leaves: [],
        inheritanceParents: [],
      });
    });

    test('a unique index that one partition lacks proves nothing', async () => {
      const t = fresh();
      await client.query(`
        CREATE TABLE ${t} (a int NOT NULL) PARTITION BY RANGE (a);
        CREATE TABLE ${t}_1 PARTITION OF ${t} DEFAULT;
        CREATE UNIQUE INDEX ON ONLY ${t} (a)`);
      expect(await keys(t)).toEqual([]);
    });

    test('inheritance, row security, persistence, kinds', async () => {
      const t = fresh();
      await client.query(`
        CREATE UNLOGGED TABLE ${t} (a int);
        CREATE TABLE ${t}_child () INHERITS (${t});
        ALTER TABLE ${t} ENABLE ROW LEVEL SECURITY;
        ALTER TABLE ${t} FORCE ROW LEVEL SECURITY;
        CREATE VIEW ${t}_view AS SELECT * FROM ${t}`);
      const parent = await relation(t);
      const child = await relation(`${t}_child`);
      expect(parent).toMatchObject({
        schema: 's',
        name: t.slice(2),
        owner: database.address.user,
        kind: 'r',
        persistence: 'u',
        rowSecurity: true,
        forceRowSecurity: true,
        inheritanceChildren: [child.oid],
        inheritanceParents: [],
      });
      expect(child).toMatchObject({inheritanceParents: [parent.oid], rowSecurity: false, forceRowSecurity: false});
      expect(await relation(`${t}_view`)).toMatchObject({kind: 'v', uniqueKeys: [], columns: [{name: 'a'}]});
    });

    test('no such relation', async () => {
      expect(await describeRelation(client, 4_000_000_000)).toBeUndefined();
    });

    test('rows as arrays of text, as a statement gets them', async () => {
      const t = fresh();
      await client.query(`CREATE TABLE ${t} (a int PRIMARY KEY)`);
      const {oid} = await relation(t);
      const session = {
        query: async (text: string, values: string[]) => await client.query({text, values, rowMode: 'array'}),
      };
      expect(await describeRelation(session, oid)).toEqual(await describeRelation(client, oid));
    });
  });
});
