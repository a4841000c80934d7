import type pg from 'pg';
import {afterAll, beforeAll, describe, expect, test} from 'vitest';
import {grantOnSystem} from '../../src/catalog/change-commands.ts';
import {createCluster, createSecret} from '../../src/catalog/commands.ts';
import {CatalogWorld, newConnection, run, sqlstate, VERSIONS} from './catalog-world.ts';

const WORDS = [
  'USAGE',
  ' usage\t',
  'Usage With Grant Option, USAGE',
  'CREATE',
  'create, usage',
  'CREATE WITH GRANT OPTION',
  'SELECT',
  'USAGE WITH  GRANT OPTION',
  'USAGE,',
  '',
  null,
];

describe.each(VERSIONS)('PostgreSQL %i', version => {
  let world: CatalogWorld;
  const sessions = new Map<string, pg.Client>();
  const roles: Record<string, string> = {};

  // A connection and a cluster of ours, and next to them of PostgreSQL's a server and a schema, with the same owner and the same grants.
  beforeAll(async () => {
    world = await CatalogWorld.open(version);
    Object.assign(roles, {
      owner: world.owner,
      stranger: await world.createRole(),
      granted: await world.createRole(),
      member: await world.createRole(),
      heir: await world.createRole('NOINHERIT'),
      superuser: await world.createRole('SUPERUSER'),
    });
    await world.admin.query(`GRANT ${roles['owner']} TO ${roles['member']}, ${roles['heir']}`);
    for (const name of ['owner', 'stranger', 'superuser']) sessions.set(name, await world.session(roles[name]));
    const owner = sessions.get('owner')!;
    await owner.query('CREATE SCHEMA s; GRANT USAGE ON SCHEMA s TO PUBLIC');
    await newConnection(owner, 's', 'K 1');
    await run(owner, createSecret({name: ['s', 'x'], ifNotExists: false}));
    await run(owner, createCluster({name: 'c', size: '1', replicationFactor: 1}));
    await world.grantUsage('s', 'K 1', roles['granted']);
    await world.grantCreateOnCluster('c', roles['granted']);
    await world.grantUsage('s', 'x', 'public');
    await world.admin.query(`CREATE FOREIGN DATA WRAPPER w; CREATE SERVER "K 1" FOREIGN DATA WRAPPER w`);
    await world.admin.query(`ALTER SERVER "K 1" OWNER TO ${roles['superuser']}`);
    await world.admin.query(`REASSIGN OWNED BY ${roles['superuser']} TO ${roles['owner']}`);
    await owner.query(`GRANT USAGE ON FOREIGN SERVER "K 1" TO ${roles['granted']}`);
    await owner.query(`CREATE SCHEMA c; GRANT CREATE ON SCHEMA c TO ${roles['granted']}`);
  });
  afterAll(async () => {
    await world.admin.query('DROP FOREIGN DATA WRAPPER w CASCADE');
    await world[Symbol.asyncDispose]();
  });

  /** What the session is told by each call: the value, or the error's code with what it says of the privilege. */
  async function told(session: pg.Client, calls: readonly string[]): Promise<Map<string, string>> {
    const {rows} = await session.query<{call: string; answer: string}>(
      'SELECT call, pg_temp.told(call) AS answer FROM unnest($1::text[]) AS call',
      [calls],
    );
    return new Map(rows.map(({call, answer}) => [call, answer]));
  }
  beforeAll(async () => {
    for (const session of sessions.values()) {
      await session.query(`CREATE FUNCTION pg_temp.told(call text, OUT answer text) LANGUAGE plpgsql AS $$ BEGIN
        EXECUTE 'SELECT coalesce((' || call || ')::text, ''null'')' INTO answer;
      EXCEPTION WHEN OTHERS THEN answer := sqlstate || CASE sqlstate WHEN '22023' THEN sqlerrm ELSE '' END;
      END $$`);
    }
  });

  const literal = (value: string | null, type: string): string =>
    `${value === null ? 'NULL' : `'${value.replaceAll("'", "''")}'`}::${type}`;

  /** Every way to ask about any role, with and without a role of this name or OID. */
  async function askedRoles(): Promise<string[]> {
    const names = Object.values(roles);
    const found = await world.rows('SELECT oid::text FROM pg_roles WHERE rolname = ANY ($1)', [names]);
    return [
      '',
      ...[...names, 'public', 'nobody_at_all', null].map(name => `${literal(name, 'name')}, `),
      ...[...found.map(row => row['oid'] as string), '4000000000', null].map(oid => `${literal(oid, 'oid')}, `),
    ];
  }

  /** Pairs of objects, ours and PostgreSQL's, that are in the same hands. */
  async function compare(
    ours: string,
    theirs: string,
    objects: readonly (readonly [string | null, string | null])[],
    type: string,
  ): Promise<void> {
    let held = 0;
    const asked = await askedRoles();
    for (const [name, session] of sessions) {
      const pairs = objects.flatMap(([our, their]) =>
        asked.flatMap(role =>
          WORDS.map(word => {
            const call = (object: string | null) => `(${role}${literal(object, type)}, ${literal(word, 'text')})`;
            return {our: ours + call(our), their: theirs + call(their)};
          }),
        ),
      );
      const expected = await told(
        session,
        pairs.map(({their}) => their),
      );
      const answers = await told(
        session,
        pairs.map(({our}) => our),
      );
      for (const {our, their} of pairs) {
        expect(answers.get(our), `${name}: ${our}`).toBe(expected.get(their));
        if (answers.get(our) === 'true') held++;
      }
    }
    expect(held).toBeGreaterThan(50);
  }

  test('of connections it answers like PostgreSQL of its servers', async () => {
    const [{our, their}] = await world.rows(
      `SELECT (SELECT oid::text FROM mz_catalog.mz_connections) AS our, (SELECT oid::text FROM pg_foreign_server) AS their`,
    );
    const byOid = [
      [our as string, their as string],
      [null, null],
    ] as const;
    await compare('has_connection_privilege', 'has_server_privilege', byOid, 'oid');
    const byName = [
      ['s."K 1"', 'K 1'],
      ['s.none', 'none'],
      [null, null],
    ] as const;
    await compare('has_connection_privilege', 'has_server_privilege', byName, 'text');
  });

  test('of clusters it answers like PostgreSQL of its schemas', async () => {
    await compare(
      'has_cluster_privilege',
      'has_schema_privilege',
      [
        ['c', 'c'],
        [null, null],
      ],
      'text',
    );
    await expect(world.admin.query(`SELECT mz_catalog.has_cluster_privilege('none', 'USAGE')`)).rejects.toMatchObject({
      code: '42704',
    });
  });

  test('of secrets, along the search path and by OID; another kind of object is none', async () => {
    const {rows} = await sessions
      .get('stranger')!
      .query<{answers: (boolean | null)[]}>(
        `
      SET search_path = s, mz_catalog;
      SELECT ARRAY[has_secret_privilege('x', 'USAGE'), has_secret_privilege('X', 'usage with grant option'),
        has_secret_privilege(oid, 'USAGE'), has_connection_privilege(oid, 'USAGE'), has_secret_privilege(0, 'USAGE'),
        has_secret_privilege('${world.owner}', oid, 'USAGE WITH GRANT OPTION')] AS answers FROM mz_secrets`,
      )
      // Of two statements in one string the last one's.
      .then(results => (results as unknown as (typeof results)[])[1]);
    expect(rows).toEqual([{answers: [true, false, true, null, null, true]}]);
  });

  test('of the system it answers what the statements allow', async () => {
    const creator = await world.createRole('CREATEDB');
    const session = await world.session(creator);
    const has = async (privilege: string) => {
      const {rows} = await session.query<{has: boolean}>('SELECT has_system_privilege($1) AS has', [privilege]);
      return rows[0].has;
    };
    const mayCreateClusters = async (): Promise<boolean> => {
      await session.query('BEGIN');
      const code = await sqlstate(run(session, createCluster({name: 'tried', size: '1', replicationFactor: 1})));
      await session.query('ROLLBACK');
      return code === undefined;
    };
    const database = world.database.address.database;
    const grant = (revoke: boolean) =>
      run(sessions.get('owner')!, grantOnSystem({privileges: ['CREATECLUSTER'], grantees: [{name: creator}], revoke}));
    for (const [change, expected] of [
      [() => Promise.resolve(), false],
      [() => grant(false), true],
      [() => grant(true), false],
      [() => world.admin.query(`GRANT CREATE ON DATABASE ${database} TO ${creator}`), true],
      [() => world.admin.query(`REVOKE CREATE ON DATABASE ${database} FROM ${creator}`), false],
    ] as const) {
      await change();
      expect(await has('CREATECLUSTER')).toBe(expected);
      expect(await mayCreateClusters()).toBe(expected);
    }
    expect(await has('createdb')).toBe(true);
    expect(await has('CREATEROLE')).toBe(false);
    expect(await has('CREATENETWORKPOLICY, CREATEDB')).toBe(true);
    expect(await has('CREATEDB WITH GRANT OPTION, CREATECLUSTER WITH GRANT OPTION')).toBe(false);
    await expect(has('USAGE')).rejects.toMatchObject({code: '22023', message: 'unrecognized privilege type: "USAGE"'});
    const {rows} = await session.query(
      `SELECT has_system_privilege($1::name, 'CREATECLUSTER WITH GRANT OPTION') AS owner, has_system_privilege('public', 'CREATECLUSTER') AS everybody`,
      [world.owner],
    );
    expect(rows).toEqual([{owner: true, everybody: false}]);
  });
});
