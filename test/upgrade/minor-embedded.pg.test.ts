import {fork} from 'node:child_process';
import {once} from 'node:events';
import {chmod, mkdtemp, rm} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {expect, test, vi} from 'vitest';
import {createLogger} from '../../src/base/log.ts';
import {connect} from '../../src/engine/connect.ts';
import {EngineSupervisor} from '../../src/engine/embedded.ts';
import {NewerPostgres} from './newer-postgres.ts';

/** What the npm package would have after an update. */
const installed = vi.hoisted(() => ({directory: '', release: ''}));
vi.mock('../../src/engine/binaries.ts', async importOriginal => ({
  ...(await importOriginal<typeof import('../../src/engine/binaries.ts')>()),
  findBinaries: () => Promise.resolve(installed),
}));

const log = createLogger({level: 'silent', name: 'test'});

async function ask(engine: EngineSupervisor, text: string): Promise<unknown> {
  const client = await connect(engine.address, {applicationName: 'test'});
  try {
    return (await client.query<Record<string, unknown>>(text)).rows;
  } finally {
    await client.end();
  }
}

const STATE = `SELECT (SELECT answer FROM public.kept), confirmed_flush_lsn::text AS confirmed, wal_status, (SELECT system_identifier::text FROM pg_control_system()) AS system
  FROM pg_replication_slots`;

test('a start with newer binaries ends the server that runs with the older ones, and uses the same data', async () => {
  const root = await mkdtemp(join(tmpdir(), 'sluice-minor-'));
  await chmod(root, 0o711);
  const dataDir = join(root, 'data');
  await using newer = await NewerPostgres.copy();
  const {findBinaries} =
    await vi.importActual<typeof import('../../src/engine/binaries.ts')>('../../src/engine/binaries.ts');
  const {chooseServerUser} = await import('../../src/engine/server-user.ts');
  Object.assign(installed, await findBinaries(chooseServerUser()));
  const first = await EngineSupervisor.start({dataDir, log});
  const [{server_version: older}] = (await ask(first, 'SHOW server_version')) as {server_version: string}[];
  await ask(first, 'CREATE TABLE public.kept AS SELECT 42 AS answer');
  await ask(first, `SELECT pg_create_logical_replication_slot('kept', 'pgoutput')`);
  const state = await ask(first, STATE);
  await first.stop();

  // A Sluice of before the update is killed; its server lives on.
  const holder = fork(join(import.meta.dirname, '../engine/hold-engine.ts'), [dataDir], {
    execArgv: ['--import', 'tsx'],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const [said] = (await once(holder, 'message')) as [string];
  const ended = once(holder, 'exit');
  holder.kill('SIGKILL');
  await ended;
  expect(said).toBe('up');

  Object.assign(installed, {directory: newer.programs, release: 'newer'});
  const second = await EngineSupervisor.start({dataDir, log});
  const [{server_version: version}] = (await ask(second, 'SHOW server_version')) as {server_version: string}[];
  expect(version).not.toBe(older);
  expect(await ask(second, STATE)).toEqual(state);
  await second.stop();
  await rm(root, {recursive: true});
});
