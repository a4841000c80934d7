import type pg from 'pg';
import {afterAll, beforeAll, describe, expect, test} from 'vitest';
import type {SqlError} from '../../src/base/sql-error.ts';
import {CatalogWorld, VERSIONS} from '../catalog/catalog-world.ts';
import {StatementSession} from './statement-session.ts';

describe.each(VERSIONS)('PostgreSQL %i', version => {
  let world: CatalogWorld;
  let owner: StatementSession;
  beforeAll(async () => {
    world = await CatalogWorld.open(version);
    owner = new StatementSession(await world.session(world.owner));
    await owner.transcript(`
      CREATE SCHEMA "a B"; CREATE SCHEMA his;
      CREATE TABLE "a B".t (id integer PRIMARY KEY, v text);
      CREATE SECRET "a B".pw AS 'x';
      CREATE CONNECTION "a B".k TO KAFKA (BROKER '127.0.0.1:1', SECURITY PROTOCOL PLAINTEXT) WITH (VALIDATE = false)`);
  });
  afterAll(() => world[Symbol.asyncDispose]());

  const refusal = async (session: StatementSession, text: string): Promise<SqlError> => {
    const error: unknown = await session.run(text).then(
      () => new Error('the statement ran'),
      (reason: unknown) => reason,
    );
    return error as SqlError;
  };

  /** Does what the hints say until something else than a privilege is missing: what was missing, and what was wrong then. */
  async function whatIsMissing(text: string): Promise<{denied: string[]; then: string}> {
    const role = await world.createRole();
    const session = new StatementSession(await world.session(role));
    const denied: string[] = [];
    for (;;) {
      const {code, message, hint} = await refusal(session, text);
      if (code !== '42501') return {denied, then: code};
      const grant = /^Its owner can run (GRANT (\w+) ON .* TO \S+)\.$/.exec(hint ?? '');
      expect(grant, `${message}: ${hint}`).not.toBeNull();
      denied.push(`${grant![2]}: ${message}`);
      expect(denied.length).toBeLessThan(20);
      await owner.run(grant![1]);
    }
  }

  test('CREATE SINK says what is missing before it calls any broker', async () => {
    const text = `CREATE SINK his.s FROM "a B".t INTO KAFKA CONNECTION "a B".k (TOPIC 't') KEY (id) FORMAT JSON ENVELOPE UPSERT`;
    expect(await whatIsMissing(text)).toEqual({
      denied: [
        'USAGE: permission denied for schema a B',
        'USAGE: permission denied for connection k',
        'CREATE: permission denied for schema his',
        'CREATE: permission denied for cluster quickstart',
        'SELECT: permission denied for table t',
      ],
      then: '58000',
    });
  });

  test('a cluster that is named is the one that counts', async () => {
    await owner.run('CREATE CLUSTER "c D"');
    const text = `CREATE SINK his.s IN CLUSTER "c D" FROM "a B".t INTO KAFKA CONNECTION "a B".k (TOPIC 't') KEY (id) FORMAT JSON ENVELOPE UPSERT`;
    const {denied} = await whatIsMissing(text);
    expect(denied).toContain('CREATE: permission denied for cluster c D');
    expect(denied).not.toContain('CREATE: permission denied for cluster quickstart');
    await owner.run('DROP CLUSTER "c D"');
  });

  test('CREATE CONNECTION needs USAGE on its secrets', async () => {
    const options = `SECURITY PROTOCOL = SASL_PLAINTEXT, SASL MECHANISMS = 'PLAIN', SASL USERNAME = 'u', SASL PASSWORD = SECRET "a B".pw`;
    const text = `CREATE CONNECTION his.k TO KAFKA (BROKER '127.0.0.1:1', ${options})`;
    expect(await whatIsMissing(text)).toEqual({
      denied: ['USAGE: permission denied for schema a B', 'USAGE: permission denied for secret pw'],
      // Passwords do not run yet.
      then: '0A000',
    });
  });

  test('VALIDATE CONNECTION needs USAGE, CREATE SECRET the right to create in the schema', async () => {
    expect(await whatIsMissing('VALIDATE CONNECTION "a B".k')).toEqual({
      denied: ['USAGE: permission denied for schema a B', 'USAGE: permission denied for connection k'],
      then: '58000',
    });
    expect(await whatIsMissing(`CREATE SECRET his.z AS 'x'`)).toMatchObject({
      denied: ['CREATE: permission denied for schema his'],
    });
  });

  test('what only owners may do cannot be granted', async () => {
    const role = await world.createRole();
    await owner.run(`GRANT USAGE ON SCHEMA "a B" TO ${role}`);
    const session = new StatementSession(await world.session(role));
    for (const [text, what] of [
      ['DROP CONNECTION "a B".k', 'connection k'],
      ['ALTER CONNECTION "a B".k RENAME TO l', 'connection k'],
      [`ALTER CONNECTION "a B".k SET (BROKER '127.0.0.1:2') WITH (VALIDATE = false)`, 'connection k'],
      [`ALTER SECRET "a B".pw AS 'y'`, 'secret pw'],
      [`COMMENT ON SECRET "a B".pw IS 'y'`, 'secret pw'],
      ['GRANT USAGE ON SECRET "a B".pw TO PUBLIC', 'secret pw'],
      ['GRANT USAGE ON ALL SECRETS TO PUBLIC', 'secret pw'],
      ['ALTER CLUSTER quickstart SET (REPLICATION FACTOR 0)', 'cluster quickstart'],
      ['DROP CLUSTER quickstart', 'cluster quickstart'],
      ['GRANT USAGE ON ALL CLUSTERS TO PUBLIC', 'cluster quickstart'],
    ]) {
      expect(await refusal(session, text), text).toMatchObject({code: '42501', message: `must be owner of ${what}`});
    }
    expect(await refusal(session, 'CREATE CLUSTER c')).toMatchObject({
      code: '42501',
      message: 'permission denied to create cluster',
    });
  });

  test('everybody sees the privileges of a new cluster: its owner has both, nobody else any', async () => {
    await owner.run('CREATE CLUSTER fresh');
    const session: pg.Client = await world.session(await world.createRole());
    const {rows} = await session.query<{privileges: string}>(
      `SELECT privileges::text FROM mz_clusters WHERE name = 'fresh'`,
    );
    expect(rows[0].privileges).toMatch(/^\{u(\d+)=UC\/u\1\}$/);
    expect((await owner.run(`SHOW PRIVILEGES ON CLUSTER LIKE 'fresh'`)).rows.map(row => row.at(-1))).toEqual([
      'CREATE',
      'USAGE',
    ]);
    await owner.run('DROP CLUSTER fresh');
  });
});
