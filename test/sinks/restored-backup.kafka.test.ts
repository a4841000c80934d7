import {execFile} from 'node:child_process';
import {chmod} from 'node:fs/promises';
import {promisify} from 'node:util';
import type pg from 'pg';
import {afterEach, beforeEach, expect, test, vi} from 'vitest';
import {poll} from '../../scripts/process/poll.ts';
import {SluiceProcess} from '../crash/sluice-process.ts';
import {connectionSql, freshTopicName, readTopicUntil} from '../setup/kafka.ts';
import {tuningEnvironment} from '../setup/tuning.ts';

// Several waits of a minute each may follow one another on a busy machine.
vi.setConfig({testTimeout: 300_000, hookTimeout: 300_000});

let sluice: SluiceProcess;
let client: pg.Client;
let topic: string;

const shell = async (script: string) => await promisify(execFile)('sh', ['-ec', script], {cwd: sluice.directory});
const start = async () => {
  await sluice.start(tuningEnvironment());
  client = await sluice.connect();
};
const stop = async () => {
  await client.end();
  await sluice.stop();
};
const createSink = async (name: string, into = topic) =>
  await client.query(
    `CREATE SINK ${name} FROM t INTO KAFKA CONNECTION kafka (TOPIC '${into}') KEY (id) FORMAT JSON ENVELOPE UPSERT`,
  );
const keys = async (count: number, of = topic) => {
  const records = await readTopicUntil(of, found => found.length >= count, {limitMs: 60_000});
  return records.map(({key}) => String(key));
};
const status = async (name: string, wanted: 'running' | 'stalled') =>
  await poll(`sink ${name} to be ${wanted}`, 60_000, async () => {
    const {rows} = await client.query<{status: string; details: {code?: string; retrying?: boolean} | null}>(
      'SELECT status, details FROM mz_internal.mz_sink_statuses WHERE name = $1',
      [name],
    );
    return rows[0].status === wanted && {code: rows[0].details?.code, retrying: rows[0].details?.retrying};
  });

beforeEach(async () => {
  sluice = await SluiceProcess.create();
  // So that the server's files are in the data directory, for root too.
  await chmod(sluice.directory, 0o711);
  topic = freshTopicName();
  await start();
  await client.query(connectionSql());
  await client.query('CREATE TABLE t (id int PRIMARY KEY, note text)');
  await client.query('INSERT INTO t VALUES (1)');
  await createSink('s');
  await status('s', 'running');
  expect(await keys(1)).toEqual(['{"id":1}']);
  await stop();
  await shell('cp -a data copy');
});
afterEach(async () => {
  await client.end();
  await sluice[Symbol.asyncDispose]();
});

test('a backup of the latest state goes on', async () => {
  await shell('rm -r data; mv copy data');
  await start();
  await client.query('INSERT INTO t VALUES (2)');
  expect(await keys(2)).toEqual(['{"id":1}', '{"id":2}']);
});

// With few rows the restored log soon reaches the position that the sink had got to, with other transactions.
test.each([1, 20_000])(
  'an older backup stalls the sink for good, also where only %d rows were lost; a new one begins anew',
  async lost => {
    await start();
    await client.query('INSERT INTO t SELECT n FROM generate_series(2, 1 + $1::int) AS n', [lost]);
    await createSink('later', `${topic}-later`);
    await status('later', 'running');
    await keys(1 + lost);
    await keys(1 + lost, `${topic}-later`);
    await stop();
    await shell('rm -r data; mv copy data');
    await start();
    await client.query(`INSERT INTO t VALUES (2, 'restored')`);
    expect(await status('s', 'stalled')).toEqual({code: 'SL014', retrying: false});
    await client.query(`INSERT INTO t SELECT n, 'more' FROM generate_series(3, 20000) AS n`);
    await stop();
    await start();
    expect(await status('s', 'stalled')).toEqual({code: 'SL014', retrying: false});
    await client.query(`INSERT INTO t VALUES (100000, 'after')`);

    // Its number was that of a sink that is lost, whose progress and topic are still there.
    await client.query('DROP SINK s');
    await createSink('s', `${topic}-later`);
    expect(await status('s', 'stalled')).toMatchObject({retrying: false});
    await client.query('DROP SINK s');
    await createSink('s', `${topic}-new`);
    await status('s', 'running');
    const written = await keys(20_001, `${topic}-new`);
    expect(new Set(written).size).toBe(20_001);
    expect(written).toHaveLength(20_001);
  },
);

test('an older backup, from before the sink went over to another table, stalls it for good', async () => {
  await start();
  await client.query('CREATE TABLE next_t (id int PRIMARY KEY, note text)');
  await client.query('ALTER SINK s SET FROM next_t');
  await poll('the sink to have gone over', 60_000, async () => {
    const {rowCount} = await client.query(
      `SELECT FROM mz_internal.mz_materialization_dependencies d JOIN mz_catalog.mz_tables t ON t.id = d.dependency_id
       WHERE t.name = 'next_t'`,
    );
    return rowCount === 1;
  });
  await client.query('INSERT INTO next_t VALUES (2)');
  expect(await keys(2)).toEqual(['{"id":1}', '{"id":2}']);
  await stop();
  await shell('rm -r data; mv copy data');
  await start();
  // The restored log has to come to the position that the sink had got to, with other transactions.
  await client.query(`INSERT INTO t SELECT n, 'restored' FROM generate_series(2, 20000) AS n`);
  expect(await status('s', 'stalled')).toEqual({code: 'SL014', retrying: false});
  await stop();
  await start();
  expect(await status('s', 'stalled')).toEqual({code: 'SL014', retrying: false});
  expect(await keys(2)).toEqual(['{"id":1}', '{"id":2}']);
});
