import pg from 'pg';
import {expect, test} from 'vitest';
import {migrate} from '../../src/catalog/migrate.ts';
import {createTestDatabase, type TestDatabase} from '../setup/postgres.ts';
import {VERSIONS} from './catalog-world.ts';

async function withSession<T>(database: TestDatabase, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({connectionString: database.url});
  await client.connect();
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}

test.each(VERSIONS)('PostgreSQL %i: many starts at once migrate once', async version => {
  await using database = await createTestDatabase({version});
  await Promise.all(Array.from({length: 6}, () => withSession(database, migrate)));
  await withSession(database, async client => {
    const {rows} = await client.query<{version: number}>('SELECT version FROM mz_sluice.migration ORDER BY version');
    expect(rows.length).toBeGreaterThan(1);
    expect(rows.map(row => row.version)).toEqual(rows.map((_, at) => at + 1));
    const clusters = await client.query('SELECT id, name FROM mz_catalog.mz_clusters');
    expect(clusters.rows).toEqual([{id: 'u1', name: 'quickstart'}]);
  });
});

test('a newer state is refused and left alone', async () => {
  await using database = await createTestDatabase();
  await withSession(database, async client => {
    await migrate(client);
    await client.query("INSERT INTO mz_sluice.migration (version, name) VALUES (9999, 'from the future')");
    await expect(migrate(client)).rejects.toMatchObject({code: '55000', message: expect.stringContaining('9999')});
    const locks = await client.query("SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()");
    expect(locks.rowCount).toBe(0);
  });
});

test('a migration that fails leaves nothing, and the next start succeeds', async () => {
  await using database = await createTestDatabase();
  await withSession(database, async client => {
    await client.query('CREATE SCHEMA mz_internal');
    await expect(migrate(client)).rejects.toMatchObject({code: '42P06'});
    const left = await client.query("SELECT nspname FROM pg_namespace WHERE nspname LIKE 'mz\\_%'");
    expect(left.rows).toEqual([{nspname: 'mz_internal'}]);
    await client.query('DROP SCHEMA mz_internal');
    await migrate(client);
  });
});

test('settings of the database stay as they are', async () => {
  await using database = await createTestDatabase();
  await withSession(database, async client => {
    await migrate(client);
    const {rows} = await client.query(
      'SELECT FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase WHERE datname = current_database()',
    );
    expect(rows).toEqual([]);
  });
});
