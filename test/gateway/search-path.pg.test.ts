import pg from 'pg';
import {afterAll, beforeAll, describe, expect, test} from 'vitest';
import {GatewayWorld} from './gateway-world.ts';

describe.each([15, 18] as const)('PostgreSQL %i', version => {
  let world: GatewayWorld;
  let admin: pg.Client;
  let role: string;

  beforeAll(async () => {
    world = await GatewayWorld.open(version, 'SELECT', {searchPath: 'of_server, public'});
    role = decodeURIComponent(new URL(world.through).username);
    admin = new pg.Client({connectionString: world.superuser});
    await admin.connect();
    await admin.query(`CREATE SCHEMA mz_catalog; CREATE VIEW mz_catalog.ours AS SELECT 1 AS one;
      GRANT USAGE ON SCHEMA mz_catalog TO PUBLIC; GRANT SELECT ON mz_catalog.ours TO PUBLIC`);
  });
  afterAll(async () => {
    await admin.end();
    await world[Symbol.asyncDispose]();
  });

  /** The path of a new session through the gateway, which must find what is in mz_catalog. */
  async function path(options?: string, statement = 'SELECT'): Promise<string> {
    const client = new pg.Client({connectionString: world.through, options});
    await client.connect();
    await client.query(statement);
    expect((await client.query('SELECT one FROM ours')).rows).toEqual([{one: 1}]);
    const {rows} = await client.query<{path: string}>(`SELECT current_setting('search_path') AS path`);
    await client.end();
    return rows[0].path;
  }

  test('mz_catalog comes behind what the session would have without Sluice, whoever has set that', async () => {
    const database = new URL(world.superuser).pathname.slice(1);
    expect(await path()).toBe('of_server, public, mz_catalog');
    await admin.query(`ALTER DATABASE ${database} SET search_path = "Of Database", public`);
    expect(await path()).toBe('"Of Database", public, mz_catalog');
    await admin.query(`ALTER ROLE ${role} SET search_path = of_role`);
    expect(await path()).toBe('of_role, mz_catalog');
    await admin.query(`ALTER ROLE ${role} IN DATABASE ${database} SET search_path = "of ""both\\"`);
    expect(await path()).toBe('"of ""both\\", mz_catalog');
    await admin.query(
      `ALTER ROLE ${role} IN DATABASE ${database} RESET ALL; ALTER ROLE ${role} RESET ALL; ALTER DATABASE ${database} RESET ALL`,
    );
  });

  test('what the client asks for wins, and RESET brings back the default', async () => {
    expect(await path('-c search_path=x')).toBe('x, mz_catalog');
    expect(await path('-c work_mem=1MB')).toBe('of_server, public, mz_catalog');
    expect(await path(undefined, 'SET search_path = y, mz_catalog; RESET search_path')).toBe(
      'of_server, public, mz_catalog',
    );
    expect(await path(undefined, 'DISCARD ALL')).toBe('of_server, public, mz_catalog');
  });

  test('a session straight to PostgreSQL knows nothing of it', async () => {
    const client = new pg.Client({connectionString: world.superuser});
    await client.connect();
    expect((await client.query('SHOW search_path')).rows).toEqual([{search_path: '"$user", public'}]);
    await client.end();
  });
});
