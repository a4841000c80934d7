import {execFile} from 'node:child_process';
import {writeFile, rm} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {promisify} from 'node:util';
import {expect, test} from 'vitest';
import {migrate} from '../../src/catalog/migrate.ts';
import {uninstall} from '../../src/cli/uninstall.ts';
import {connect} from '../../src/engine/connect.ts';
import {createTestDatabase, type TestDatabase} from '../setup/postgres.ts';

const connectTo = ({address}: TestDatabase) => connect(address, {applicationName: 'test'});

/** As pg_upgrade leaves it: schemas have numbers that others had. */
test('on another server items are in the schemas that their anchors name, default privileges in those of the name', async () => {
  await using database = await createTestDatabase();
  const client = await connectTo(database);
  await migrate(client);
  await client.query('CREATE SCHEMA one; CREATE SCHEMA two; CREATE SCHEMA gone; CREATE SCHEMA old_name');
  const create = (schema: string, name: string) =>
    client.query(`SELECT mz_internal.create_secret(ARRAY['${schema}', '${name}'], ARRAY['public'], false)`);
  for (const schema of ['one', 'two', 'public']) await create(schema, 'same');
  await create('two', 'other');
  for (const schema of ['one', 'two', 'gone', 'old_name'])
    await client.query(
      `SELECT mz_internal.alter_default_privileges('secret', NULL, ARRAY['${schema}'], '{USAGE}', '{public}', false)`,
    );
  await client.query('ALTER SCHEMA old_name RENAME TO new_name');
  await client.query('SELECT mz_sluice.note_schema_names()');
  const items = async () =>
    (
      await client.query<{nspname: string | null; name: string; id: string}>(
        `SELECT n.nspname, i.name, i.id FROM mz_sluice.item i LEFT JOIN pg_namespace n ON n.oid = i.schema ORDER BY i.id`,
      )
    ).rows;
  const privileges = async () =>
    (
      await client.query<{nspname: string | null}>(
        `SELECT n.nspname FROM mz_sluice.default_privilege d LEFT JOIN pg_namespace n ON n.oid = d.schema ORDER BY d.anchor`,
      )
    ).rows.map(({nspname}) => nspname);
  const before = await items();
  expect(before).toHaveLength(4);
  expect(await privileges()).toEqual(['one', 'two', 'gone', 'new_name']);

  await client.query(`
    UPDATE mz_sluice.item SET schema = CASE WHEN schema = 'one'::regnamespace THEN 4000000000 WHEN schema = 'two'::regnamespace THEN 'one'::regnamespace::oid
      ELSE schema END;
    UPDATE mz_sluice.item SET schema = 'two'::regnamespace WHERE schema = 4000000000;
    UPDATE mz_sluice.default_privilege SET schema = (4000000000 - schema::bigint)::oid;
    DROP SCHEMA gone;
    INSERT INTO mz_sluice.clock (slot, system, timeline, lsn, time) VALUES ('theirs', 1, 1, '0/1', 1);
  `);
  expect(await items()).not.toEqual(before);
  // The same server still: nobody touches anything.
  await migrate(client);
  expect(await items()).not.toEqual(before);
  await client.query('UPDATE mz_sluice.server SET system = 1');
  await migrate(client);
  expect(await items()).toEqual(before);
  expect(await privileges()).toEqual(['one', 'two', null, 'new_name']);
  expect((await client.query('SELECT FROM mz_sluice.clock')).rowCount).toBe(0);
  await client.end();
});

test('state that came with a dump is refused, and uninstall takes it out without a look at what it notes of tables', async () => {
  await using database = await createTestDatabase({version: 15});
  await using copy = await createTestDatabase({version: 15});
  const client = await connectTo(database);
  await migrate(client);
  await client.end();
  const {stdout} = await promisify(execFile)('pg_dump', [database.url], {maxBuffer: 2 ** 26});
  const file = join(tmpdir(), `sluice-dump-${copy.address.database}.sql`);
  await writeFile(file, stdout);
  await promisify(execFile)('psql', ['-qX', '-v', 'ON_ERROR_STOP=1', '-f', file, copy.url]);
  await rm(file);
  const restored = await connectTo(copy);
  await expect(migrate(restored)).rejects.toMatchObject({code: '55000', hint: expect.stringContaining('uninstall')});
  // By chance a table of that number, which another one had there.
  await restored.query(
    'CREATE TABLE public.theirs (id int PRIMARY KEY); ALTER TABLE public.theirs REPLICA IDENTITY FULL',
  );
  await restored.query(`INSERT INTO mz_sluice.identity_before VALUES ('public.theirs'::regclass, 'n', NULL)`);
  await uninstall({config: {postgres: copy.url, yes: true, force: false}, out: {write: () => true}});
  const {rows} = await restored.query(`SELECT relreplident FROM pg_class WHERE oid = 'public.theirs'::regclass`);
  expect(rows).toEqual([{relreplident: 'f'}]);
  await migrate(restored);
  await restored.end();
});
