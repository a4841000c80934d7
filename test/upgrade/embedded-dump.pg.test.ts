import {execFile} from 'node:child_process';
import {chmod, mkdtemp, readFile, rm} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {promisify} from 'node:util';
import {expect, test} from 'vitest';
import {createLogger} from '../../src/base/log.ts';
import {migrate} from '../../src/catalog/migrate.ts';
import {ensureAnnouncements} from '../../src/changes/announcements.ts';
import {ensurePublication} from '../../src/changes/publication.ts';
import {connect} from '../../src/engine/connect.ts';
import {EngineSupervisor} from '../../src/engine/embedded.ts';
import {createTestDatabase} from '../setup/postgres.ts';
import {NewerPostgres} from './newer-postgres.ts';

/** The commands of the page, with the addresses that it leaves out. */
async function commandsOf(page: string): Promise<string> {
  const text = await readFile(join(import.meta.dirname, '../../docs', page), 'utf8');
  return /^```sh\n(pg_dump -Fc[^]*?)^```$/m.exec(text)![1];
}

test('the embedded engine is dumped as docs/upgrade.md says, and restored without an error', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'sluice-dump-'));
  await chmod(directory, 0o711);
  await using newer = await NewerPostgres.copy();
  await using restored = await createTestDatabase();
  const engine = await EngineSupervisor.start({
    dataDir: join(directory, 'data'),
    log: createLogger({level: 'silent', name: 'test'}),
  });
  try {
    const client = await connect(engine.address, {applicationName: 'test'});
    await migrate(client);
    await ensureAnnouncements(client);
    await ensurePublication(client, 'sluice_5_u1', false);
    await client.query(
      'CREATE TABLE public.kept AS SELECT 42 AS answer; CREATE PUBLICATION theirs FOR TABLE public.kept',
    );
    await client.end();

    const {host, port, user, password, database} = engine.address;
    const script = (await commandsOf('upgrade.md'))
      .replace('shop.dump …', `shop.dump -h ${host} -p ${port} -U ${user} ${database}`)
      .replace('-d … shop.dump', `--no-owner -d ${restored.url} shop.dump`);
    expect(script).not.toContain('…');
    await promisify(execFile)('bash', ['-euo', 'pipefail', '-c', script], {
      cwd: directory,
      env: {PATH: `${newer.programs}:${process.env['PATH']}`, PGPASSWORD: password},
    });
  } finally {
    await engine.stop();
    await rm(directory, {recursive: true});
  }
  const client = await connect(restored.address, {applicationName: 'test'});
  const {rows} = await client.query(
    `SELECT (SELECT answer FROM public.kept), (SELECT array_agg(pubname::text) FROM pg_publication) AS publications`,
  );
  expect(rows).toEqual([{answer: 42, publications: ['theirs']}]);
  await client.end();
});
