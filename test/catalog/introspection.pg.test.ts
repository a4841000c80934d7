import {execFile} from 'node:child_process';
import {join} from 'node:path';
import {promisify} from 'node:util';
import pg from 'pg';
import {afterAll, beforeAll, describe, expect, test} from 'vitest';
import {grantOn} from '../../src/catalog/change-commands.ts';
import {migrate} from '../../src/catalog/migrate.ts';
import {planStatement} from '../../src/statements/plan.ts';
import {GatewayWorld} from '../gateway/gateway-world.ts';
import {psqlEnvironment} from '../gateway/psql-environment.ts';
import {readCases, updating, writeCases} from '../sql/case-file.ts';
import {newConnection, newSecret, newSink, run, VERSIONS} from './catalog-world.ts';

const QUERIES = join(import.meta.dirname, '../cases/catalog/introspection.txt');

/** A database with a table, a view, a secret, a connection and a sink of a user who has been given no more than he needs. */
async function openWorld(version: (typeof VERSIONS)[number]): Promise<{world: GatewayWorld; session: pg.Client}> {
  const world = await GatewayWorld.open(
    version,
    `CREATE TABLE t (id int PRIMARY KEY, name text DEFAULT 'x'); COMMENT ON TABLE t IS 'mine'; CREATE VIEW v AS SELECT * FROM t`,
    {plan: planStatement},
  );
  const admin = new pg.Client({connectionString: world.superuser});
  await admin.connect();
  await migrate(admin);
  const role = new URL(world.through).username;
  await run(
    admin,
    grantOn('cluster', ['quickstart'], {privileges: ['CREATE'], grantees: [{name: role}], revoke: false}),
  );
  await admin.end();
  const session = new pg.Client({connectionString: world.through});
  await session.connect();
  await newSecret(session, 'public', 'x');
  await newConnection(session, 'public', 'k');
  await newSink(session, {name: ['public', 'z'], relation: ['public', 't'], connection: ['public', 'k']});
  return {world, session};
}

describe.each(VERSIONS)('PostgreSQL %i, through the gateway', version => {
  const cases = readCases(QUERIES);
  const answers: typeof cases = [];
  let world: GatewayWorld;
  let session: pg.Client;
  beforeAll(async () => ({world, session} = await openWorld(version)));
  afterAll(async () => {
    await session.end();
    await world[Symbol.asyncDispose]();
    if (updating && version === VERSIONS[0] && answers.length === cases.length) writeCases(QUERIES, answers);
  });

  test.each(cases)('line $line: $input', async one => {
    const results = [await session.query(one.input)].flat();
    const expected = results.map(({rows}) => (rows.length > 0 ? 'rows' : 'no rows')).join(', ');
    answers.push({...one, expected});
    if (!updating) expect(expected).toBe(one.expected);
  });

  test('psql describes our relations like any others', async () => {
    const psql = async (...commands: string[]): Promise<string> => {
      const {stdout, stderr} = await promisify(execFile)(
        'psql',
        ['-X', '-v', 'ON_ERROR_STOP=1', ...commands.flatMap(command => ['-c', command])],
        {env: psqlEnvironment(world.through)},
      );
      expect(stderr).not.toContain('ERROR');
      return stdout;
    };
    expect(await psql('\\d mz_sinks')).toMatch(/View "mz_catalog.mz_sinks"[^]* connection_id +\| text/);
    expect(await psql('\\d mz_internal.mz_sink_statistics')).toMatch(/messages_committed +\| mz_catalog\.uint8|uint8/);
    expect(await psql('\\dn')).toMatch(/mz_catalog[^]*mz_internal[^]*public/);
    expect(await psql('\\dt')).toMatch(/public \| t /);
    expect(await psql('\\dv mz_internal.*')).toContain('mz_sink_statuses');
    expect(await psql('\\df mz_version')).toContain('mz_catalog');
    expect(await psql('\\dD mz_catalog.*')).toContain('mz_timestamp');
    expect(await psql('\\sv mz_sinks')).toContain('CREATE OR REPLACE VIEW mz_catalog.mz_sinks');
    // The user's own things are what they would be without us.
    const own = ['\\d t', '\\d+ v', '\\dp t', '\\dd', '\\des', '\\dRp', '\\di', '\\ds', '\\ddp'];
    const through = await psql(...own);
    expect(through).toContain('"t_pkey" PRIMARY KEY, btree (id)');
  });
});
