import {randomBytes} from 'node:crypto';
import {afterAll, beforeAll, beforeEach, describe, expect, test} from 'vitest';
import {publishRelation} from '../../src/changes/hand-over.ts';
import {World} from './world.ts';

/** TRUNCATE runs functions of users in the middle of ours. */
describe.each([15, 18] as const)('PostgreSQL %i', version => {
  let world: World;
  const owner = `owner_${randomBytes(6).toString('hex')}`;
  const other = `other_${randomBytes(6).toString('hex')}`;
  const warnings: string[] = [];

  beforeAll(async () => {
    world = await World.open({version});
    await world.client.query(`CREATE ROLE ${owner}; CREATE ROLE ${other};
      GRANT ALL ON SCHEMA public TO ${owner}; CREATE SCHEMA trap AUTHORIZATION ${other}; GRANT USAGE ON SCHEMA trap TO PUBLIC;
      SET ROLE ${owner};
      CREATE TABLE t (id int); CREATE TABLE seen (who text, path text); GRANT TRUNCATE ON t TO ${other}; GRANT INSERT ON seen TO ${other};
      CREATE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN INSERT INTO seen VALUES (current_user, current_setting('search_path')); RETURN OLD; END $$;
      CREATE TRIGGER look BEFORE DELETE ON t FOR EACH ROW EXECUTE FUNCTION look();
      ALTER TABLE t ENABLE ALWAYS TRIGGER look;
      RESET ROLE`);
    await publishRelation(world.client, {
      publication: world.name,
      relation: await world.oid('t'),
      waiting: () => undefined,
    });
    world.client.on('notice', ({severity, message}) => {
      if (severity === 'WARNING') warnings.push(message ?? '');
    });
  });
  afterAll(async () => {
    await world.client.query(`RESET ROLE; DROP OWNED BY ${owner}, ${other} CASCADE; DROP ROLE ${owner}, ${other}`);
    await world[Symbol.asyncDispose]();
  });
  beforeEach(async () => {
    warnings.length = 0;
    await world.client.query(
      `RESET ROLE; SET search_path = public, pg_catalog; DELETE FROM t; TRUNCATE seen; INSERT INTO t VALUES (1)`,
    );
  });

  const seen = async () =>
    ((await world.client.query('RESET ROLE; SELECT * FROM public.seen')) as unknown as {rows: unknown[]}[])[1].rows;

  test('the triggers of a table run as its owner, never as Sluice, and under the path of his session', async () => {
    await world.client.query(`SET ROLE ${owner}; TRUNCATE t`);
    expect(await seen()).toEqual([{who: owner, path: 'public, pg_catalog'}]);
    expect(warnings).toEqual([]);
  });

  test('nobody else chooses the path under which they run; what then fails stalls the sinks and not the TRUNCATE', async () => {
    await world.client.query(
      `SET ROLE ${other}; CREATE TABLE trap.seen (who text, path text); GRANT ALL ON trap.seen TO PUBLIC;
       SET search_path = trap, public, pg_catalog; TRUNCATE public.t`,
    );
    expect(warnings).toEqual(['sinks of "public.t" stall, because its rows could not be deleted before TRUNCATE']);
    expect(await seen()).toEqual([]);
    const rows = await world.client.query('SELECT FROM trap.seen UNION ALL SELECT FROM public.t');
    expect(rows.rowCount).toBe(0);
  });

  test('a trigger that keeps rows is found out', async () => {
    await world.client.query(`SET ROLE ${owner};
      CREATE OR REPLACE FUNCTION look() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$; TRUNCATE t`);
    expect(warnings).toHaveLength(1);
    expect((await world.client.query('SELECT FROM t')).rowCount).toBe(0);
  });
});
