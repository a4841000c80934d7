import type pg from 'pg';
import {afterAll, beforeAll, describe, expect, test} from 'vitest';
import {
  alterConnection,
  alterDefaultPrivileges,
  alterSink,
  commentOn,
  createReplica,
  dropReplica,
  grantOn,
  grantOnAll,
  grantOnSystem,
  renameObject,
  renameReplica,
  setOwner,
  swapClusters,
} from '../../src/catalog/change-commands.ts';
import {
  alterCluster,
  createCluster,
  createConnection,
  createSecret,
  createSink,
  createUnmanagedCluster,
  describeCluster,
  describeConnection,
  describeName,
  describeRelation,
  describeSecret,
  describeSink,
  dropCluster,
  dropItem,
  raiseError,
  sealSecret,
  showCreate,
  showCreateCluster,
  type Command,
  type NewSink,
} from '../../src/catalog/commands.ts';
import {WorkerCatalog} from '../../src/catalog/worker-catalog.ts';
import {
  CatalogWorld,
  KAFKA,
  newConnection,
  newSecret,
  newSink,
  run,
  sqlstate,
  TARGET,
  VERSIONS,
} from './catalog-world.ts';

const RESTRICT = {ifExists: false, cascade: false};

describe.each(VERSIONS)('PostgreSQL %i', version => {
  let world: CatalogWorld;
  let owner: pg.Client;
  let stranger: pg.Client;
  let strangerRole: string;
  let secret: string;
  let connection: string;
  let sinkId: string;
  let relation: number;

  // Schema s, where everybody may look and nobody but the owner create: table t, secret x, connection k, sink z.
  beforeAll(async () => {
    world = await CatalogWorld.open(version);
    owner = await world.session(world.owner);
    strangerRole = await world.createRole();
    stranger = await world.session(strangerRole);
    await owner.query(
      'CREATE SCHEMA s; GRANT USAGE ON SCHEMA s TO PUBLIC; CREATE TABLE s.t (id integer PRIMARY KEY, v text)',
    );
    secret = (await newSecret(owner, 's', 'x')) as string;
    await run(owner, sealSecret(secret, Buffer.from('sealed bytes')));
    connection = (await newConnection(owner, 's', 'k')) as string;
    sinkId = (await newSink(owner, {name: ['s', 'z'], relation: ['s', 't'], connection: ['s', 'k']})) as string;
    relation = ((await run(owner, describeRelation(['s', 't']))) as {oid: number}).oid;
    // Where the stranger may create.
    await world.admin.query(`CREATE SCHEMA his AUTHORIZATION ${strangerRole}`);
  });
  afterAll(() => world[Symbol.asyncDispose]());

  const sink = (change: Partial<NewSink> = {}): Command =>
    createSink({
      name: ['his', 'sink'],
      ifNotExists: false,
      cluster: 'u1',
      relation,
      connection,
      keyEnforced: true,
      envelope: 'debezium',
      snapshot: true,
      target: TARGET,
      createSql: [],
      ...change,
    });
  const connectionWith = (options: object, name = 'new'): Command =>
    createConnection({name: ['his', name], ifNotExists: false, options: {...KAFKA, ...options}, createSql: []});

  const nameOf = {connection: ['s', 'k'], secret: ['s', 'x'], sink: ['s', 'z'], cluster: ['quickstart']};
  const defaults = (of: Parameters<typeof alterDefaultPrivileges>[1]): Command =>
    alterDefaultPrivileges('secret', of, {privileges: ['USAGE'], grantees: [{name: 'public'}], revoke: false});

  /** What each function of mz_internal answers to a role that has been given nothing. */
  const refused: Record<string, [Command, string | undefined][]> = {};
  beforeAll(() => {
    Object.assign(refused, {
      raise_error: [[raiseError('22012', 'm'), '22012']],
      describe_name: [
        [describeName(['s', 'n']), '42501'],
        [describeName(['his', 'n']), undefined],
      ],
      describe_relation: [[describeRelation(['s', 't']), '42501']],
      describe_item: [
        [describeConnection(['s', 'k']), '42501'],
        [describeSecret(['s', 'x'], 'usage'), '42501'],
        [describeSecret(['s', 'x'], 'owner'), '42501'],
        [describeSink(['s', 'z']), '42501'],
        [{text: "SELECT mz_internal.describe_item(NULL, '{s,k}', '{}', NULL)", values: []}, '42501'],
      ],
      describe_cluster: [[describeCluster(), '42501']],
      create_secret: [[createSecret({name: ['s', 'n'], ifNotExists: false}), '42501']],
      seal_secret: [
        [sealSecret(secret, Buffer.from('mine')), '42501'],
        [sealSecret('u99999', Buffer.from('mine')), '42704'],
      ],
      create_connection: [
        [createConnection({name: ['s', 'n'], ifNotExists: false, options: KAFKA, createSql: []}), '42501'],
        [connectionWith({saslPassword: {secret}}), '42501'],
      ],
      alter_connection: [
        [alterConnection(connection, KAFKA, []), '42501'],
        [alterConnection('u99999', KAFKA, []), '42704'],
        [alterConnection(secret, KAFKA, []), '42704'],
      ],
      alter_sink: [
        [alterSink(sinkId, relation), '42501'],
        [alterSink('u99999', relation), '42704'],
        [alterSink(connection, relation), '42704'],
      ],
      create_sink: [[sink(), '42501']],
      rename_object: [
        [renameObject('sink', ['s', 'z'], {ifExists: false, to: 'mine'}), '42501'],
        [renameObject('secret', ['s', 'x'], {ifExists: true, to: 'mine'}), '42501'],
        [renameObject('cluster', ['quickstart'], {ifExists: false, to: 'mine'}), '42501'],
        [{text: "SELECT mz_internal.rename_object(NULL, '{s,k}', '{}', false, 'mine')", values: []}, '42501'],
      ],
      set_owner: (['connection', 'secret', 'sink', 'cluster'] as const).map(kind => [
        setOwner(kind, nameOf[kind], {ifExists: false, owner: {session: 'current_user'}}),
        '42501',
      ]),
      comment_on: (['connection', 'secret', 'sink', 'cluster'] as const).map(kind => [
        commentOn(kind, nameOf[kind], 'mine'),
        '42501',
      ]),
      grant_on: [
        ...(['connection', 'secret', 'cluster'] as const).map((kind): [Command, string] => [
          grantOn(kind, nameOf[kind], {privileges: [], grantees: [{session: 'current_user'}], revoke: false}),
          '42501',
        ]),
        [{text: "SELECT mz_internal.grant_on('sink', '{s,z}', '{}', '{}', '{public}', false)", values: []}, '0LP01'],
        [{text: "SELECT mz_internal.grant_on(NULL, '{s,z}', '{}', '{}', '{public}', false)", values: []}, '0LP01'],
        [
          {text: "SELECT mz_internal.grant_on('secret', '{s,x}', '{}', '{SELECT}', '{public}', false)", values: []},
          '0LP01',
        ],
      ],
      grant_on_all: [
        ...(['connection', 'secret', 'cluster'] as const).map((kind): [Command, string] => [
          grantOnAll(kind, [], {privileges: [], grantees: [{session: 'current_user'}], revoke: false}),
          '42501',
        ]),
        [{text: "SELECT mz_internal.grant_on_all('sink', '{}', '{}', '{public}', false)", values: []}, '0LP01'],
        // Nothing there is his, and nothing there is anybody's.
        [grantOnAll('secret', ['his'], {privileges: [], grantees: [{name: 'public'}], revoke: false}), undefined],
      ],
      grant_on_system: [
        [grantOnSystem({privileges: ['CREATECLUSTER'], grantees: [{session: 'current_user'}], revoke: false}), '42501'],
      ],
      alter_default_privileges: [
        [defaults({roles: 'all', schemas: []}), '42501'],
        [defaults({roles: [{name: world.owner}], schemas: []}), '42501'],
        [defaults({roles: [], schemas: ['closed']}), '3F000'],
        // About his own objects everybody may decide.
        [defaults({roles: [], schemas: []}), undefined],
      ],
      create_unmanaged_cluster: [[createUnmanagedCluster({name: 'n', replicas: []}), '42501']],
      create_replica: [[createReplica('quickstart', 'r9', '1'), '42501']],
      drop_replica: [
        [dropReplica('quickstart', 'r1', false), '42501'],
        [dropReplica('quickstart', 'r1', true), '42501'],
      ],
      rename_replica: [[renameReplica('quickstart', 'r1', 'r2'), '42501']],
      swap_clusters: [[swapClusters('quickstart', 'quickstart'), '42501']],
      drop_item: [
        [dropItem('sink', ['s', 'z'], RESTRICT), '42501'],
        [dropItem('connection', ['s', 'k'], {ifExists: true, cascade: true}), '42501'],
        [dropItem('secret', ['s', 'x'], RESTRICT), '42501'],
      ],
      create_cluster: [[createCluster({name: 'n', size: '1', replicationFactor: 1}), '42501']],
      alter_cluster: [[alterCluster('quickstart', {replicationFactor: 0}), '42501']],
      drop_cluster: [[dropCluster('quickstart', {ifExists: false, cascade: true}), '42501']],
      // As in Materialize and for PostgreSQL's own definitions, everybody may read them.
      show_create: [[showCreate('sink', ['s', 'z'], false), undefined]],
      require_cluster: [[{text: "SELECT mz_internal.require_cluster('quickstart')", values: []}, undefined]],
      require_database: [[{text: "SELECT mz_internal.require_database('elsewhere')", values: []}, '0A000']],
      relation_sql: [[{text: "SELECT mz_internal.relation_sql('s.t'::regclass, false)", values: []}, undefined]],
      type_sql: [[{text: "SELECT mz_internal.type_sql('s.t'::regtype, true)", values: []}, undefined]],
      show_create_cluster: [[showCreateCluster('quickstart'), undefined]],
    } satisfies typeof refused);
  });

  test('a role that has been given nothing is refused by every function', async () => {
    const functions = await world.rows(
      'SELECT proname FROM pg_proc WHERE pronamespace = \'mz_internal\'::regnamespace ORDER BY proname COLLATE "C"',
    );
    expect(Object.keys(refused).sort()).toEqual(functions.map(row => row['proname']));
    for (const [name, cases] of Object.entries(refused)) {
      for (const [command, code] of cases) {
        await stranger.query('BEGIN');
        expect(await sqlstate(run(stranger, command)), `${name}: ${command.text} ${command.values.join()}`).toBe(code);
        await stranger.query('ROLLBACK');
      }
    }
  });

  test('without USAGE on the schema nothing in it can be named', async () => {
    await owner.query('CREATE SCHEMA closed; CREATE TABLE closed.t (id integer PRIMARY KEY)');
    await newConnection(owner, 'closed', 'k');
    await world.grantUsage('closed', 'k', strangerRole);
    await owner.query(`GRANT SELECT ON closed.t TO ${strangerRole}`);
    for (const command of [
      describeConnection(['closed', 'k']),
      describeRelation(['closed', 't']),
      showCreate('connection', ['closed', 'k'], true),
      dropItem('connection', ['closed', 'k'], RESTRICT),
    ]) {
      expect(await sqlstate(run(stranger, command)), command.text).toBe('42501');
    }
  });

  test('a sink needs CREATE on schema and cluster, USAGE on the connection, SELECT on every column', async () => {
    const role = await world.createRole();
    const session = await world.session(role);
    await world.admin.query('CREATE SCHEMA needs');
    await owner.query('CREATE TABLE s.t2 (id integer PRIMARY KEY, v text)');
    const oid = ((await run(owner, describeRelation(['s', 't2']))) as {oid: number}).oid;
    await newConnection(owner, 's', 'k2');
    const {id} = (await run(owner, describeConnection(['s', 'k2']))) as {id: string};
    const command = sink({name: ['needs', 'sink'], relation: oid, connection: id});
    // In the order of the checks, so that each missing right is the one that is complained about.
    const missing: [string, () => Promise<unknown>][] = [
      ['cluster quickstart', () => world.grantCreateOnCluster('quickstart', role)],
      ['connection k2', () => world.grantUsage('s', 'k2', role)],
      ['table t2', () => owner.query(`GRANT SELECT (id) ON s.t2 TO ${role}`)],
      ['table t2', () => owner.query(`GRANT SELECT (v) ON s.t2 TO ${role}`)],
      ['schema needs', () => world.admin.query(`GRANT USAGE, CREATE ON SCHEMA needs TO ${role}`)],
    ];
    for (const [what, grant] of missing) {
      await expect(run(session, command)).rejects.toMatchObject({
        code: '42501',
        message: `permission denied for ${what}`,
      });
      await grant();
    }
    expect(await run(session, command)).toMatch(/^u\d+$/);
    expect(await run(session, dropItem('sink', ['needs', 'sink'], RESTRICT))).toBe(true);
    for (const revoke of [
      `GRANT SELECT ON s.t2 TO ${role}`,
      `REVOKE SELECT (v) ON s.t2 FROM ${role}`,
      `REVOKE SELECT ON s.t2 FROM ${role}`,
    ]) {
      await owner.query(revoke);
    }
    expect(await sqlstate(run(session, command))).toBe('42501');
  });

  test('a role that reads and writes every table cannot use connections, secrets or clusters', async () => {
    const role = await world.createRole();
    await world.admin.query(
      `GRANT pg_read_all_data, pg_write_all_data TO ${role}; GRANT USAGE, CREATE ON SCHEMA his TO ${role}`,
    );
    const session = await world.session(role);
    expect(await sqlstate(run(session, describeRelation(['s', 't'])))).toBeUndefined();
    expect(await sqlstate(run(session, describeConnection(['s', 'k'])))).toBe('42501');
    expect(await sqlstate(run(session, connectionWith({saslPassword: {secret}}, 'stolen')))).toBe('42501');
    await world.grantUsage('s', 'k', role);
    await expect(run(session, sink())).rejects.toMatchObject({message: 'permission denied for cluster quickstart'});
  });

  test('row-level security lets only those sink a table who see all of it', async () => {
    await owner.query(
      'CREATE TABLE s.secured (id integer PRIMARY KEY); ALTER TABLE s.secured ENABLE ROW LEVEL SECURITY',
    );
    await owner.query('GRANT SELECT ON s.secured TO PUBLIC');
    const all = await world.session(await world.createRole('BYPASSRLS'));
    const command = describeRelation(['s', 'secured']);
    expect(await sqlstate(run(owner, command))).toBeUndefined();
    expect(await sqlstate(run(stranger, command))).toBe('42501');
    expect(await sqlstate(run(all, command))).toBeUndefined();
    await owner.query('ALTER TABLE s.secured FORCE ROW LEVEL SECURITY');
    expect(await sqlstate(run(owner, command))).toBe('42501');
    expect(await sqlstate(run(all, command))).toBeUndefined();
  });

  test('a secret is usable only where it was granted, wherever the definition hides it', async () => {
    const hidden = [
      {saslPassword: {secret}},
      {deep: [{deeper: [[{secret}]]}]},
      {a: {secret: {secret}}},
      {sshTunnel: {connection}},
    ];
    for (const [at, options] of hidden.entries()) {
      expect(await sqlstate(run(stranger, connectionWith(options, `n${at}`))), JSON.stringify(options)).toMatch(
        /^42(501|704)$/,
      );
    }
    await world.grantUsage('s', 'x', strangerRole);
    expect(await run(stranger, connectionWith({saslPassword: {secret}}))).toMatch(/^u\d+$/);
    await expect(run(owner, dropItem('secret', ['s', 'x'], RESTRICT))).rejects.toMatchObject({code: '2BP01'});
    await run(stranger, dropItem('connection', ['his', 'new'], RESTRICT));
  });

  test('our tables and inner functions are out of reach', async () => {
    const relations = await world.rows(
      `SELECT format('%I', relname) AS name FROM pg_class WHERE relnamespace = 'mz_sluice'::regnamespace AND relkind IN ('r', 'v', 'S')`,
    );
    expect(relations.length).toBeGreaterThan(20);
    for (const {name} of relations)
      expect(await sqlstate(owner.query(`TABLE mz_sluice.${name as string}`))).toBe('42501');
    expect(await sqlstate(owner.query('SELECT mz_sluice.sweep()'))).toBe('42501');
    expect(await sqlstate(owner.query('CREATE VIEW mz_catalog.v AS SELECT 1'))).toBe('42501');
    expect(await sqlstate(owner.query('CREATE VIEW mz_internal.v AS SELECT 1'))).toBe('42501');
    // Sealed values are nowhere in what everybody may read.
    const views = await world.rows(
      `SELECT oid::regclass::text AS view FROM pg_class WHERE relnamespace IN ('mz_catalog'::regnamespace, 'mz_internal'::regnamespace) AND relkind = 'v'`,
    );
    for (const {view} of views) {
      const {rows} = await owner.query(`SELECT v::text AS line FROM ${view as string} AS v`);
      expect(JSON.stringify(rows)).not.toContain(Buffer.from('sealed bytes').toString('hex'));
    }
  });

  test('every function that runs as Sluice has a fixed search_path or a parsed body, and PUBLIC cannot run the private ones', async () => {
    const loose = await world.rows(
      `SELECT oid::regprocedure::text AS name FROM pg_proc
       WHERE pronamespace IN ('mz_sluice'::regnamespace, 'mz_catalog'::regnamespace, 'mz_internal'::regnamespace)
         AND prosqlbody IS NULL AND proconfig IS DISTINCT FROM ARRAY['search_path=pg_catalog, pg_temp']`,
    );
    expect(loose).toEqual([]);
    const open = await world.rows(
      `SELECT proname FROM pg_proc WHERE pronamespace = 'mz_sluice'::regnamespace AND has_function_privilege('public', oid, 'EXECUTE') ORDER BY 1`,
    );
    expect(open.map(row => row['proname'])).toEqual([
      'acl',
      'has_privileges',
      'object_asked_for',
      'print_sql',
      'role_asked_for',
      'role_id',
      'schema_id',
      'slot_name',
      'type_id',
    ]);
  });

  test("a caller's objects and settings change nothing", async () => {
    const session = await world.session(strangerRole);
    await session.query(`
      CREATE TEMP TABLE pg_class (oid oid, relname name, relnamespace oid, relowner oid, relkind "char");
      CREATE FUNCTION pg_temp.has_table_privilege(oid, oid, text) RETURNS boolean LANGUAGE sql RETURN true;
      CREATE FUNCTION his.has_schema_privilege(oid, oid, text) RETURNS boolean LANGUAGE sql RETURN true;
      CREATE FUNCTION his.pg_has_role(oid, oid, text) RETURNS boolean LANGUAGE sql RETURN true;
      SET search_path = pg_temp, his, pg_catalog`);
    expect(await sqlstate(run(session, describeConnection(['s', 'k'])))).toBe('42501');
    expect(await sqlstate(run(session, dropItem('connection', ['s', 'k'], RESTRICT)))).toBe('42501');
    expect(await sqlstate(run(session, createSecret({name: ['s', 'n'], ifNotExists: false})))).toBe('42501');
  });

  test('the acting role is the session’s, through SET ROLE and through functions of others', async () => {
    const member = await world.createRole();
    await world.admin.query(`GRANT ${world.owner} TO ${member}`);
    const session = await world.session(member);
    await session.query(`SET ROLE ${world.owner}`);
    expect(await newSecret(session, 's', 'as_owner')).toMatch(/^u\d+$/);
    await run(owner, dropItem('secret', ['s', 'as_owner'], RESTRICT));

    // Had the owner been taken for the one who acts, everybody who can call his function could drop what is his.
    await owner.query(`CREATE FUNCTION s.trap() RETURNS boolean LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog
      AS $$ SELECT mz_internal.drop_item('sink', '{s,z}', '{}', false, false) $$`);
    expect(await sqlstate(stranger.query('SELECT s.trap()'))).toBe('42501');
  });

  test.each(['ANALYZE his.bait', 'REINDEX TABLE his.bait', 'REFRESH MATERIALIZED VIEW his.bait_view'])(
    'what a table’s owner has %s run acts for nobody else',
    async command => {
      const victim = (await newSecret(owner, 's', 'victim')) as string;
      await stranger.query(`
        CREATE TABLE his.bait (id integer);
        INSERT INTO his.bait VALUES (1);
        CREATE FUNCTION his.evil(integer) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS $$
        BEGIN
          PERFORM mz_internal.drop_item('secret', '{s,victim}', '{}', false, true);
          RETURN 1;
        EXCEPTION WHEN OTHERS THEN
          RETURN 0;
        END $$;
        CREATE INDEX ON his.bait (his.evil(id));
        CREATE MATERIALIZED VIEW his.bait_view AS SELECT his.evil(id) FROM his.bait`);
      // As autovacuum would.
      await world.admin.query(command);
      expect(await world.rows('SELECT id FROM mz_catalog.mz_secrets WHERE id = $1', [victim])).toHaveLength(1);
      await stranger.query('DROP TABLE his.bait CASCADE; DROP FUNCTION his.evil');
      await run(owner, dropItem('secret', ['s', 'victim'], RESTRICT));
    },
  );

  test('default privileges of Sluice’s role give nothing away', async () => {
    await world.admin.query('ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO PUBLIC');
    try {
      await newConnection(owner, 's', 'quiet');
    } finally {
      await world.admin.query('ALTER DEFAULT PRIVILEGES REVOKE ALL ON TABLES FROM PUBLIC');
    }
    expect(await sqlstate(run(stranger, describeConnection(['s', 'quiet'])))).toBe('42501');
  });

  test('a definition that no statement would have made harms only its own sink', async () => {
    const forge = (name: string, definition: string, createSql: string) =>
      sqlstate(
        owner.query('SELECT mz_internal.create_sink($1, $2, false, $3, $4, $5, $6, $7, $8)', [
          ['s', name],
          [],
          'u1',
          relation,
          connection,
          null,
          definition,
          createSql,
        ]),
      );
    expect(await forge('f1', '{}', '[]')).toBe('22023');
    expect(await forge('f2', '[]', '[]')).toBe('22023');
    expect(await forge('f3', '{"target": {"type": "kafka"}}', '{"no": "list"}')).toBeDefined();
    expect(await forge('f4', '{"target": {"type": "kafka"}}', '[{"ref": "relation", "oid": "x"}]')).toBeDefined();
    expect(await forge('f5', `{"target": {"type": "kafka", "x": "${'x'.repeat(1 << 20)}"}}`, '[]')).toBe('54000');
    // Storable, and useless: the sink stalls, its neighbours and all views go on.
    expect(
      await forge('f6', '{"target": {"type": "kafka", "topic": {}}}', '[{"ref": "item", "id": "u0"}, 1, null]'),
    ).toBeUndefined();

    const catalog = new WorkerCatalog(world.admin);
    expect((await catalog.sinks('u1')).map(each => each.name)).toEqual([expect.stringMatching(/\.s\.z$/)]);
    const {rows} = await stranger.query("SELECT status, error FROM mz_internal.mz_sink_statuses WHERE name = 'f6'");
    expect(rows).toEqual([{status: 'stalled', error: expect.stringContaining('has no usable')}]);
    for (const view of ['mz_sinks', 'mz_kafka_sinks', 'mz_connections', 'mz_kafka_connections', 'mz_objects']) {
      await stranger.query(`TABLE ${view}`);
    }
    await run(owner, dropItem('sink', ['s', 'f6'], RESTRICT));
  });
});
