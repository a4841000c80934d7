import type pg from 'pg';
import {afterAll, beforeAll, describe, expect, test} from 'vitest';
import {
  alterConnection,
  alterDefaultPrivileges,
  commentOn,
  grantOn,
  grantOnSystem,
  renameObject,
  setOwner,
} from '../../src/catalog/change-commands.ts';
import {
  createCluster,
  describeConnection,
  describeSecret,
  dropItem,
  showCreate,
  type ConnectionDescription,
} from '../../src/catalog/commands.ts';
import {WorkerCatalog} from '../../src/catalog/worker-catalog.ts';
import {CatalogWorld, KAFKA, newConnection, newSecret, newSink, run, sqlstate, VERSIONS} from './catalog-world.ts';

const RESTRICT = {ifExists: false, cascade: false};

describe.each(VERSIONS)('PostgreSQL %i', version => {
  let world: CatalogWorld;
  let owner: pg.Client;
  let role: string;
  let session: pg.Client;

  // Schema s with table t, connection k and sink z, where everybody may look. `role` has been given nothing.
  beforeAll(async () => {
    world = await CatalogWorld.open(version);
    owner = await world.session(world.owner);
    role = await world.createRole();
    session = await world.session(role);
    await owner.query('CREATE SCHEMA s; GRANT USAGE ON SCHEMA s TO PUBLIC; CREATE TABLE s.t (id integer PRIMARY KEY)');
    await newConnection(owner, 's', 'k');
    await newSink(owner, {name: ['s', 'z'], relation: ['s', 't'], connection: ['s', 'k']});
  });
  afterAll(() => world[Symbol.asyncDispose]());

  const to = (name: string) => ({ifExists: false, owner: {name}});
  const usage = (revoke = false) => ({privileges: ['USAGE'], grantees: [{name: role}], revoke});
  const ownerOf = async (name: string): Promise<unknown> =>
    (
      await owner.query('SELECT r.name FROM mz_objects o JOIN mz_roles r ON r.id = o.owner_id WHERE o.name = $1', [
        name,
      ])
    ).rows[0];

  test('a new name is in every text, in the anchor, and nowhere else is the old one', async () => {
    expect(await run(owner, renameObject('connection', ['s', 'k'], {ifExists: false, to: 'K 2'}))).toBe(true);
    expect(await run(owner, renameObject('sink', ['s', 'z'], {ifExists: false, to: 'z2'}))).toBe(true);
    const {rows} = await owner.query<{create_sql: string}>(showCreate('sink', ['s', 'z2'], false));
    expect(rows[0].create_sql).toMatch(/^CREATE SINK ".*"."s"."z2" .* KAFKA CONNECTION ".*"."s"."K 2" /);
    await expect(owner.query('DROP TABLE s.t')).rejects.toMatchObject({detail: expect.stringContaining(': z2"')});
    const [definition] = await new WorkerCatalog(world.admin).sinks('u1');
    expect(definition.name).toMatch(/\.s\.z2$/);
    await run(owner, renameObject('sink', ['s', 'z2'], {ifExists: false, to: 'z'}));
    await run(owner, renameObject('connection', ['s', 'K 2'], {ifExists: false, to: 'k'}));
  });

  test('renaming needs CREATE on the schema, as for tables', async () => {
    await world.admin.query(`CREATE SCHEMA narrow; GRANT USAGE, CREATE ON SCHEMA narrow TO ${role}`);
    await newSecret(session, 'narrow', 'x');
    await world.admin.query(`REVOKE CREATE ON SCHEMA narrow FROM ${role}`);
    expect(await sqlstate(run(session, renameObject('secret', ['narrow', 'x'], {ifExists: false, to: 'y'})))).toBe(
      '42501',
    );
    expect(await run(session, dropItem('secret', ['narrow', 'x'], RESTRICT))).toBe(true);
  });

  test('an owner gives to whom he could be, and who could have created it', async () => {
    const name = ['s', 'k'];
    await expect(run(owner, setOwner('connection', name, to(role)))).rejects.toMatchObject({
      code: '42501',
      message: `must be able to SET ROLE "${role}"`,
    });
    await world.admin.query(`GRANT ${role} TO ${world.owner}`);
    await expect(run(owner, setOwner('connection', name, to(role)))).rejects.toMatchObject({
      code: '42501',
      message: 'permission denied for schema s',
    });
    await owner.query(`GRANT CREATE ON SCHEMA s TO ${role}`);
    expect(await run(owner, setOwner('connection', name, to(role)))).toBe(true);
    expect(await ownerOf('k')).toEqual({name: role});
    expect(await run(session, commentOn('connection', name, 'mine'))).not.toBeUndefined();
    // The member of the role is an owner too; a grantee of his privileges is not.
    expect(await run(owner, setOwner('connection', name, to(world.owner)))).toBe(true);
    await world.admin.query(`REVOKE ${role} FROM ${world.owner}`);
    await owner.query(`REVOKE CREATE ON SCHEMA s FROM ${role}`);
    expect(await sqlstate(run(session, commentOn('connection', name, 'mine')))).toBe('42501');
    await run(owner, commentOn('connection', name, null));
  });

  test('GRANT lets use, REVOKE no longer, and neither lets change or grant', async () => {
    const describe = describeConnection(['s', 'k']);
    expect(await sqlstate(run(session, describe))).toBe('42501');
    await run(owner, grantOn('connection', ['s', 'k'], usage()));
    expect(await sqlstate(run(session, describe))).toBeUndefined();
    for (const command of [
      describeConnection(['s', 'k'], 'owner'),
      grantOn('connection', ['s', 'k'], usage()),
      renameObject('connection', ['s', 'k'], {ifExists: false, to: 'mine'}),
      dropItem('connection', ['s', 'k'], {ifExists: false, cascade: true}),
    ]) {
      expect(await sqlstate(run(session, command)), command.text).toBe('42501');
    }
    await run(owner, grantOn('connection', ['s', 'k'], usage(true)));
    expect(await sqlstate(run(session, describe))).toBe('42501');
  });

  test('CREATECLUSTER lets a role create clusters, and default privileges say who may use them', async () => {
    const name = `c_${role}`;
    const create = createCluster({name, size: '1', replicationFactor: 1});
    expect(await sqlstate(run(session, create))).toBe('42501');
    const grantee = [{name: role}];
    await run(owner, grantOnSystem({privileges: ['CREATECLUSTER'], grantees: grantee, revoke: false}));
    await run(
      session,
      alterDefaultPrivileges(
        'cluster',
        {roles: [], schemas: []},
        {privileges: ['CREATE'], grantees: [{name: world.owner}], revoke: false},
      ),
    );
    await run(session, create);
    const {rows} = await owner.query(
      'SELECT grantee, privilege_type FROM mz_internal.mz_show_all_privileges WHERE name = $1 AND grantor <> grantee',
      [name],
    );
    expect(rows).toEqual([{grantee: world.owner, privilege_type: 'CREATE'}]);
    await run(owner, grantOnSystem({privileges: [], grantees: grantee, revoke: true}));
    expect(await sqlstate(run(session, createCluster({name: 'more', size: '1', replicationFactor: 1})))).toBe('42501');
  });

  test('a changed connection needs what its new options name, and no longer what the old ones did', async () => {
    await newConnection(owner, 's', 'changing');
    const {id} = (await run(owner, describeConnection(['s', 'changing']))) as ConnectionDescription;
    const secret = await newSecret(owner, 's', 'needed');
    const change = (options: object) =>
      alterConnection(id, {...KAFKA, ...options}, ['CREATE CONNECTION ', {ref: 'self'}]);
    await run(owner, grantOn('connection', ['s', 'changing'], usage()));
    await run(owner, change({saslPassword: {secret}}));
    expect(await sqlstate(run(owner, dropItem('secret', ['s', 'needed'], RESTRICT)))).toBe('2BP01');
    // What was granted and who owns it stays.
    expect(await sqlstate(run(session, describeConnection(['s', 'changing'])))).toBeUndefined();
    const {rows} = await owner.query(
      'SELECT c.create_sql, d.referenced_object_id FROM mz_connections c JOIN mz_internal.mz_object_dependencies d ON d.object_id = c.id WHERE c.id = $1',
      [id],
    );
    expect(rows).toEqual([
      {create_sql: expect.stringMatching(/^CREATE CONNECTION ".*"."s"."changing"$/), referenced_object_id: secret},
    ]);
    for (const frozen of [{type: 'aws'}, {progressTopic: 'p'}, {progressTopicReplicationFactor: 1}]) {
      expect(await sqlstate(run(owner, change(frozen)))).toBe('0A000');
    }
    expect(await sqlstate(run(owner, change({saslPassword: {secret: 'u99999'}})))).toBe('42704');
    await run(owner, change({}));
    expect(await run(owner, dropItem('secret', ['s', 'needed'], RESTRICT))).toBe(true);
    await run(owner, dropItem('connection', ['s', 'changing'], RESTRICT));
  });

  test('REASSIGN OWNED hands everything over, DROP OWNED takes what is left with its dependents', async () => {
    const leaver = await world.createRole();
    const heir = await world.createRole();
    const leaving = await world.session(leaver);
    await world.admin.query(`CREATE SCHEMA leaving AUTHORIZATION ${leaver}`);
    await newSecret(leaving, 'leaving', 'inherited');
    await run(
      leaving,
      alterDefaultPrivileges(
        'secret',
        {roles: [], schemas: []},
        {privileges: [], grantees: [{name: 'public'}], revoke: false},
      ),
    );
    const privilegesOfK = () => world.rows("SELECT privileges::text FROM mz_catalog.mz_connections WHERE name = 'k'");
    const before = await privilegesOfK();
    await run(owner, grantOn('connection', ['s', 'k'], {privileges: [], grantees: [{name: leaver}], revoke: false}));
    expect(await privilegesOfK()).not.toEqual(before);
    expect(await sqlstate(world.admin.query(`DROP ROLE ${leaver}`))).toBe('2BP01');
    await world.admin.query(`REASSIGN OWNED BY ${leaver} TO ${heir}`);
    expect(await ownerOf('inherited')).toEqual({name: heir});
    await world.admin.query(`DROP OWNED BY ${leaver}`);
    expect(await privilegesOfK()).toEqual(before);
    expect(
      await sqlstate(run(await world.session(heir), describeSecret(['leaving', 'inherited'], 'owner'))),
    ).toBeUndefined();
    await world.admin.query(`DROP OWNED BY ${heir} CASCADE`);
    expect(await ownerOf('inherited')).toBeUndefined();
    expect(await world.rows('SELECT FROM mz_catalog.mz_default_privileges WHERE object_type = $1', ['secret'])).toEqual(
      [],
    );
  });
});
