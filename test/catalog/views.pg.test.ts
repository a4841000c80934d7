import type pg from 'pg';
import {afterAll, beforeAll, describe, expect, test} from 'vitest';
import {createCluster} from '../../src/catalog/commands.ts';
import {CatalogWorld, newConnection, newSecret, newSink, run, VERSIONS} from './catalog-world.ts';

/** Names and order as clients know them. */
const COLUMNS: Record<string, string> = {
  'mz_catalog.mz_databases': 'id oid name owner_id privileges',
  'mz_catalog.mz_schemas': 'id oid database_id name owner_id privileges',
  'mz_catalog.mz_objects': 'id oid schema_id name type owner_id cluster_id privileges',
  'mz_catalog.mz_relations': 'id oid schema_id name type owner_id cluster_id privileges',
  'mz_catalog.mz_tables': 'id oid schema_id name owner_id privileges create_sql redacted_create_sql source_id',
  'mz_catalog.mz_views': 'id oid schema_id name definition owner_id privileges create_sql redacted_create_sql',
  'mz_catalog.mz_columns': 'id name position nullable type default type_oid type_mod',
  'mz_catalog.mz_sinks':
    'id oid schema_id name type connection_id size envelope_type format key_format value_format cluster_id owner_id create_sql redacted_create_sql',
  'mz_catalog.mz_kafka_sinks': 'id topic',
  'mz_catalog.mz_connections': 'id oid schema_id name type owner_id privileges create_sql redacted_create_sql',
  'mz_catalog.mz_kafka_connections': 'id brokers sink_progress_topic',
  'mz_catalog.mz_secrets': 'id oid schema_id name owner_id privileges',
  'mz_catalog.mz_clusters':
    'id name owner_id privileges managed size replication_factor disk availability_zones introspection_debugging introspection_interval',
  'mz_catalog.mz_cluster_replicas': 'id name cluster_id size availability_zone owner_id disk',
  'mz_catalog.mz_roles': 'id oid name inherit rolcanlogin rolsuper autoprovisionsource',
  'mz_internal.mz_sink_statuses': 'id name type last_status_change_at status error details',
  'mz_internal.mz_sink_status_history': 'occurred_at sink_id status error details replica_id',
  'mz_internal.mz_sink_statistics': 'id replica_id messages_staged messages_committed bytes_staged bytes_committed',
  'mz_internal.mz_sink_statistics_raw': 'id replica_id messages_staged messages_committed bytes_staged bytes_committed',
  'mz_internal.mz_frontiers': 'object_id read_frontier write_frontier',
  'mz_internal.mz_wallclock_global_lag': 'object_id lag',
  'mz_internal.mz_object_dependencies': 'object_id referenced_object_id',
  'mz_internal.mz_comments': 'id object_type object_sub_id comment',
  'mz_internal.mz_sluice_lag': 'sink_id name cluster_id end_lsn lag_bytes lag_seconds updated_at',
  'mz_internal.mz_sluice_slots':
    'cluster_id name slot_name active restart_lsn confirmed_flush_lsn wal_status safe_wal_size retained_bytes',
};

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
    const views = await read(
      `SELECT format('%s.%s', n.nspname, c.relname) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
       WHERE n.nspname IN ('mz_catalog', 'mz_internal') AND c.relkind = 'v' ORDER BY 1`,
    );
    expect(views).toEqual(Object.keys(COLUMNS).sort());
    for (const [view, columns] of Object.entries(COLUMNS)) {
      const {fields} = await reader.query(`TABLE ${view}`);
      expect(fields.map(field => field.name).join(' '), view).toBe(columns);
    }
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
      "COMMENT ON TABLE s.t IS 'a table'; COMMENT ON COLUMN s.t.v IS 'a column'; COMMENT ON SCHEMA s IS 'a schema'",
    );
    expect(
      await read(
        `SELECT object_type, object_sub_id, comment FROM mz_internal.mz_comments WHERE comment LIKE 'a %' AND id LIKE 'u%' ORDER BY comment`,
      ),
    ).toEqual([
      {object_type: 'table', object_sub_id: 2, comment: 'a column'},
      {object_type: 'schema', object_sub_id: null, comment: 'a schema'},
      {object_type: 'table', object_sub_id: null, comment: 'a table'},
    ]);
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
});
