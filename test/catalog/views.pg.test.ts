import {readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import type pg from 'pg';
import {afterAll, beforeAll, describe, expect, test} from 'vitest';
import {createCluster} from '../../src/catalog/commands.ts';
import {updating} from '../sql/case-file.ts';
import {CatalogWorld, newConnection, newSecret, newSink, run, VERSIONS} from './catalog-world.ts';

/** Every relation that clients may read, with names, types and order of its columns as they know them. A line each. */
const RELATIONS = join(import.meta.dirname, '../cases/catalog/relations.txt');

describe.each(VERSIONS)('PostgreSQL %i', version => {
  let world: CatalogWorld;
  let owner: pg.Client;
  let reader: pg.Client;
  let readerRole: string;
  beforeAll(async () => {
    world = await CatalogWorld.open(version);
    owner = await world.session(world.owner);
    readerRole = await world.createRole();
    reader = await world.session(readerRole);
    await owner.query(
      'CREATE SCHEMA s; CREATE TABLE s.t (gone text, id integer PRIMARY KEY, v varchar(10) DEFAULT $$x$$); ALTER TABLE s.t DROP COLUMN gone',
    );
    await newSecret(owner, 's', 'x');
    await newConnection(owner, 's', 'k');
    await newSink(owner, {name: ['s', 'z'], relation: ['s', 't'], connection: ['s', 'k']});
  });
  afterAll(() => world[Symbol.asyncDispose]());

  /** As `reader`, who has been granted nothing. One value per row where one column is asked for. */
  const read = async (text: string): Promise<unknown[]> => {
    const {rows} = await reader.query<Record<string, unknown>>(text);
    return rows.map(row => (Object.keys(row).length === 1 ? Object.values(row)[0] : row));
  };

  test('relations and columns are the ones that clients know, and everybody may read them', async () => {
    const lines = (await read(`
      SELECT c.oid::regclass || ': ' || string_agg(quote_ident(a.attname) || ' ' || format_type(a.atttypid, NULL), ', ' ORDER BY a.attnum)
      FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
      WHERE c.relnamespace IN ('mz_catalog'::regnamespace, 'mz_internal'::regnamespace) AND c.relkind = 'v'
      GROUP BY c.oid ORDER BY c.oid::regclass::text COLLATE "C"`)) as string[];
    const text = `${lines.join('\n').replace(/\bmz_catalog\.(?=[a-z_0-9]+(\[\])?[,\n])/g, '')}\n`;
    if (updating && version === VERSIONS[0]) writeFileSync(RELATIONS, text);
    expect(text).toBe(readFileSync(RELATIONS, 'utf8'));
    for (const line of lines) await read(`TABLE ${line.slice(0, line.indexOf(':'))}`);
  });

  test('text is of the default collation, so that it mixes with everything else', async () => {
    const other = await world.rows(
      `SELECT attrelid::regclass || '.' || attname AS column FROM pg_attribute JOIN pg_class c ON c.oid = attrelid
       WHERE c.relnamespace IN ('mz_catalog'::regnamespace, 'mz_internal'::regnamespace) AND attcollation NOT IN (0, 100) ORDER BY 1`,
    );
    expect(other.map(({column}) => column)).toEqual([]);
  });

  test('objects of PostgreSQL and ours, joined as clients join them', async () => {
    const objects = await read(
      `SELECT o.name, o.type, s.name AS schema, d.name AS database, r.name AS owner
       FROM mz_objects o JOIN mz_schemas s ON s.id = o.schema_id JOIN mz_databases d ON d.id = s.database_id
       JOIN mz_roles r ON r.id = o.owner_id WHERE o.id LIKE 'u%' ORDER BY o.name`,
    );
    const rest = {schema: 's', database: world.database.address.database, owner: world.owner};
    expect(objects).toEqual([
      {name: 'k', type: 'connection', ...rest},
      {name: 't', type: 'table', ...rest},
      {name: 't_pkey', type: 'index', ...rest},
      {name: 'x', type: 'secret', ...rest},
      {name: 'z', type: 'sink', ...rest},
    ]);
    expect(await read('SELECT count(*)::integer - count(DISTINCT id)::integer FROM mz_objects')).toEqual([0]);
    expect(
      await read("SELECT count(*)::integer FROM mz_objects WHERE name LIKE '%sluice%' AND name NOT LIKE 'mz_sluice%'"),
    ).toEqual([0]);
  });

  test('columns of a table: positions without gaps, types without modifiers', async () => {
    expect(
      await read(
        `SELECT c.name, c.position::integer, c.nullable, c.type, c.default, c.type_oid::integer, c.type_mod
         FROM mz_columns c JOIN mz_tables t USING (id) WHERE t.name = 't' AND t.id LIKE 'u%' ORDER BY position`,
      ),
    ).toEqual([
      {name: 'id', position: 1, nullable: false, type: 'integer', default: null, type_oid: 23, type_mod: -1},
      {
        name: 'v',
        position: 2,
        nullable: true,
        type: 'character varying',
        default: "'x'::character varying",
        type_oid: 1043,
        type_mod: 14,
      },
    ]);
  });

  test('a sink, its connection, its cluster', async () => {
    const [sink] = await read(
      `SELECT s.type, s.envelope_type, s.format, s.key_format, s.value_format, ks.topic, c.name AS connection, kc.brokers, cl.name AS cluster
       FROM mz_sinks s JOIN mz_kafka_sinks ks USING (id) JOIN mz_connections c ON c.id = s.connection_id
       JOIN mz_kafka_connections kc ON kc.id = c.id JOIN mz_clusters cl ON cl.id = s.cluster_id`,
    );
    expect(sink).toEqual({
      type: 'kafka',
      envelope_type: 'upsert',
      format: 'json',
      key_format: 'json',
      value_format: 'json',
      topic: 'topic',
      connection: 'k',
      brokers: ['127.0.0.1:9092'],
      cluster: 'quickstart',
    });
    expect(await read('SELECT create_sql FROM mz_connections')).toEqual([
      `CREATE CONNECTION "${world.database.address.database}"."s"."k" TO KAFKA (BROKER '127.0.0.1:9092')`,
    ]);
    await run(owner, createCluster({name: 'three', size: '25cc', replicationFactor: 3}));
    expect(
      await read(
        `SELECT r.name FROM mz_cluster_replicas r JOIN mz_clusters c ON c.id = r.cluster_id WHERE c.name = 'three' ORDER BY r.name`,
      ),
    ).toEqual(['r1', 'r2', 'r3']);
  });

  test('privileges are items of role ids and letters', async () => {
    await owner.query(`GRANT SELECT, UPDATE ON s.t TO ${readerRole}; GRANT USAGE ON SCHEMA s TO PUBLIC`);
    await world.grantUsage('s', 'k', readerRole);
    const [id, his] = (await read(
      `SELECT id FROM mz_roles WHERE name IN ('${world.owner}', '${readerRole}') ORDER BY name = '${readerRole}'`,
    )) as [string, string];
    const of = async (view: string, name: string) =>
      (await read(`SELECT privileges::text[] FROM ${view} WHERE name = '${name}' AND id LIKE 'u%'`))[0] as string[];
    expect((await of('mz_tables', 't')).sort()).toEqual([`${id}=arwd/${id}`, `${his}=rw/${id}`].sort());
    expect((await of('mz_connections', 'k')).sort()).toEqual([`${id}=U/${id}`, `${his}=U/${id}`].sort());
    expect(await of('mz_secrets', 'x')).toEqual([`${id}=U/${id}`]);
    expect(await of('mz_schemas', 's')).toEqual([`p=U/${id}`, `${id}=UC/${id}`]);
    expect(await of('mz_clusters', 'quickstart')).toEqual([`p=U/${id}`, `${id}=UC/${id}`]);
    expect(await of('mz_databases', world.database.address.database)).toContain(`${id}=C/${id}`);
  });

  test('dependencies and comments', async () => {
    expect(
      await read(
        `SELECT o.name || ' needs ' || r.name FROM mz_internal.mz_object_dependencies d
         JOIN mz_objects o ON o.id = d.object_id JOIN mz_objects r ON r.id = d.referenced_object_id WHERE o.type = 'sink' ORDER BY 1`,
      ),
    ).toEqual(['z needs k', 'z needs t']);
    await owner.query(
      `COMMENT ON TABLE s.t IS 'a table'; COMMENT ON COLUMN s.t.v IS 'a column'; COMMENT ON SCHEMA s IS 'a schema';
       CREATE TYPE s.e AS ENUM ('x'); COMMENT ON TYPE s.e IS 'a type';
       CREATE FUNCTION s.f() RETURNS integer LANGUAGE sql RETURN 1; COMMENT ON FUNCTION s.f IS 'a function'`,
    );
    expect(
      await read(
        `SELECT object_type, object_sub_id, comment FROM mz_internal.mz_comments WHERE comment LIKE 'a %' AND id LIKE 'u%' ORDER BY comment`,
      ),
    ).toEqual([
      {object_type: 'table', object_sub_id: 2, comment: 'a column'},
      {object_type: 'function', object_sub_id: null, comment: 'a function'},
      {object_type: 'schema', object_sub_id: null, comment: 'a schema'},
      {object_type: 'table', object_sub_id: null, comment: 'a table'},
      {object_type: 'type', object_sub_id: null, comment: 'a type'},
    ]);
    expect(
      await read(
        `SELECT name || ': ' || comment FROM mz_objects JOIN mz_internal.mz_comments USING (id) WHERE type IN ('type', 'function') ORDER BY 1`,
      ),
    ).toEqual(['e: a type', 'f: a function']);
  });

  test('functions about the environment', async () => {
    const [{id, version: text, number, up, superuser}] = (await read(
      `SELECT mz_environment_id() AS id, mz_version() AS version, mz_version_num() AS number, mz_uptime() > interval '0' AS up, mz_is_superuser() AS superuser`,
    )) as [{id: string; version: string; number: number; up: boolean; superuser: boolean}];
    expect(id).toMatch(/^sluice-local-[0-9a-f-]{36}-0$/);
    // dbt takes the first word, strips the v and compares versions.
    expect(text).toMatch(/^v\d+\.\d+\.\d+ \(\w+\)$/);
    expect({number, up, superuser}).toEqual({number: 2600100, up: true, superuser: false});
  });

  test('the size of a row', async () => {
    // The third is compressed.
    const rows = `(VALUES (1, 'a'), (2, NULL), (3, repeat('x', 10000))) AS t (id, name)`;
    const sizes = await read(`SELECT mz_row_size(t) AS size, pg_column_size(t) AS expected FROM ${rows} ORDER BY id`);
    expect(sizes).toHaveLength(3);
    for (const {size, expected} of sizes as {size: number; expected: number}[]) expect(size).toBe(expected);
    expect(await read(`SELECT mz_row_size(ROW(1::bigint)) AS one, mz_row_size(NULL::mz_clusters) AS none`)).toEqual([
      {one: 32, none: null},
    ]);
    await expect(read('SELECT mz_row_size(1)')).rejects.toMatchObject({code: '42883'});
  });
});
