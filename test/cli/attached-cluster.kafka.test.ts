import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import type pg from 'pg';
import {afterAll, beforeAll, expect, test} from 'vitest';
import {poll} from '../../scripts/process/poll.ts';
import {readTopic} from '../setup/kafka.ts';
import {AttachedWorld, type Command} from './attached-world.ts';

let world: AttachedWorld;
let client: pg.Client;
let topic: string;
let written = 0;

const runCluster = (name: string, spill: string, environment: Readonly<Record<string, string>> = {}) =>
  world.command(
    ['cluster', name, '--postgres', world.database.url, '--data-dir', join(world.directory, spill)],
    environment,
  );

beforeAll(async () => {
  world = await AttachedWorld.open(18);
  await world.admin.query(`CREATE TABLE t (id int PRIMARY KEY); ALTER TABLE t OWNER TO ${world.app}`);
  const first = await runCluster('quickstart', 'spill');
  expect(await first.ended()).toBe('code 1');
  expect(await first.printed()).toContain('Sluice is not set up in this database');
  const sluice = await world.start(['--clusters', 'none', '--internal-listen', '127.0.0.1:0']);
  await world.admin.query(`DO $$ BEGIN
    EXECUTE (SELECT format('GRANT TRIGGER ON %s TO ${world.app}', anchor::regclass) FROM mz_sluice.cluster); END $$`);
  client = await world.through(sluice, world.app);
}, 300_000);
afterAll(() => world[Symbol.asyncDispose](), 60_000);

/** Writes a row, and resolves when the topic has all rows once. */
async function flows(): Promise<void> {
  await client.query('INSERT INTO t VALUES ($1)', [++written]);
  await world.caughtUp('t_sink');
  const ids = (await readTopic(topic)).map(({value}) => (JSON.parse(value!.toString()) as {id: number}).id);
  expect(ids.sort((a, b) => a - b)).toEqual(Array.from({length: written}, (_, i) => i + 1));
}

/** Of the process that does the work, not of its parent. */
async function workerOf(command: Command): Promise<number> {
  return await poll('the worker process', 30_000, () => {
    const pids = readFileSync(`/proc/${command.child.pid}/task/${command.child.pid}/children`, 'utf8').split(' ');
    return pids
      .filter(Boolean)
      .map(Number)
      .find(pid => readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('worker-main'));
  });
}

test('a cluster that does not exist is an error', async () => {
  const wrong = await runCluster('nosuch', 'spill');
  expect(await wrong.ended()).toBe('code 1');
  expect(await wrong.printed()).toMatch(/cluster "nosuch" does not exist\nHINT: {2}Clusters are quickstart\./);
}, 300_000);

test('beside a start that runs none; the second one waits, and takes over from one that is killed and from one that hangs', async () => {
  const first = await runCluster('quickstart', 'spill-1');
  await first.says(/worker owns the cluster/);
  topic = (await world.createSinks(client, ['t'])).get('t')!;
  await flows();

  const second = await runCluster('quickstart', 'spill-2');
  await second.says(/another worker owns the cluster, waiting/);

  await first.child.end('SIGKILL');
  await second.says(/worker owns the cluster\b(?!,)/);
  await flows();

  // Parent and worker stop moving, with their connections open.
  const third = await runCluster('quickstart', 'spill-3');
  await third.says(/another worker owns the cluster, waiting/);
  const stopped = [second.child.pid, await workerOf(second)];
  for (const pid of stopped) process.kill(pid, 'SIGSTOP');
  await third.says(/worker owns the cluster\b(?!,)/);
  await flows();

  // The one that hung finds out, and waits in its turn.
  for (const pid of stopped) process.kill(pid, 'SIGCONT');
  await poll('the old owner to wait', 100_000, async () => (await second.printed()).split('waiting').length > 2);
  await flows();
  await third.end();
  await flows();
}, 400_000);
