import {chmod, mkdtemp, rm} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import type pg from 'pg';
import {afterAll, beforeAll, expect, test} from 'vitest';
import {poll} from '../../scripts/process/poll.ts';
import {SluiceProcess} from '../crash/sluice-process.ts';
import {connectionSql, freshTopicName, readTopic, upsertSinkSql} from '../setup/kafka.ts';
import {LIMIT_MS, OwnWorld, type OwnWorldOptions} from './own-world.ts';
import {canMount, SmallDisk} from './small-disk.ts';

let directory: string;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'sluice-disk-'));
});
afterAll(() => rm(directory, {recursive: true, force: true}));

const possible = await canMount(join(tmpdir(), `sluice-mount-${process.pid}`));

const SPILLS: Readonly<Record<string, {options: OwnWorldOptions; error: RegExp}>> = {
  'a transaction that PostgreSQL sends before its commit': {
    options: {settings: {logical_decoding_work_mem: '64kB'}},
    error: /^could not keep a large transaction in ".*spill.*": ENOSPC/,
  },
  'changes of one moment that do not fit into memory': {
    options: {tuning: {sliceBytes: 1024 * 1024}},
    error: /^could not keep changes that do not fit into memory in ".*spill.*": ENOSPC/,
  },
};

test.runIf(possible).each(Object.entries(SPILLS))(
  'no room for %s: the status says where and what to do, and the sink goes on when there is room',
  async (what, {options, error}) => {
    await using disk = await SmallDisk.mount(join(directory, `spill-${what.length}`), 4);
    await using world = await OwnWorld.open({...options, dataDirectory: disk.path});
    await world.write(3);
    await world.level();
    const before = await world.written();
    await world.writeAtOnce(12_000, 1000);
    const status = await world.until(({status}) => status === 'stalled');
    expect(status.error).toMatch(error);
    expect(status.details).toMatchObject({retrying: true, hints: [expect.stringMatching(/^Free space there/)]});
    expect(await world.written()).toEqual(before);
    await disk.leave(100);
    await world.level();
    await world.until(({status}) => status === 'running');
  },
  2 * LIMIT_MS,
);

/** A Sluice with its engine whose files are all on a disk of so many MiB; not started yet. */
async function onSmallDisk(
  mebibytes: number,
  work: (sluice: SluiceProcess, disk: SmallDisk) => Promise<void>,
): Promise<void> {
  const sluice = await SluiceProcess.create();
  // So that the server's files are on that disk, for root too.
  await chmod(sluice.directory, 0o711);
  const disk = await SmallDisk.mount(sluice.dataDirectory, mebibytes);
  try {
    await work(sluice, disk);
  } finally {
    await sluice[Symbol.asyncDispose]().catch(() => undefined);
    await disk[Symbol.asyncDispose]();
    await rm(sluice.directory, {recursive: true, force: true});
  }
}

/** The last answer, of a connection of its own. Where there was no room for the log either, the engine is started again. */
function ask<T extends object>(connect: () => Promise<pg.Client>, ...queries: readonly string[]): Promise<T[]> {
  return poll(
    'an answer of the engine',
    LIMIT_MS,
    async () => {
      try {
        const client = await connect();
        try {
          let rows: T[] = [];
          for (const query of queries) ({rows} = await client.query<T>(query));
          return rows;
        } finally {
          await client.end();
        }
      } catch {
        return undefined;
      }
    },
    200,
  );
}

const idsIn = async (topic: string) =>
  (await readTopic(topic)).map(({key}) => (JSON.parse(String(key)) as {id: number}).id);

const TABLE = 'CREATE TABLE t (id integer PRIMARY KEY, v text)';

test.runIf(possible)(
  'no room for the engine: writers hear of it, and when there is room the sink has what was committed',
  () =>
    onSmallDisk(400, async (sluice, disk) => {
      await sluice.start();
      const client = await sluice.connect();
      const topic = freshTopicName('disk');
      for (const statement of [TABLE, connectionSql(), upsertSinkSql(topic)]) await client.query(statement);
      await disk.leave(4);
      let sure = 0;
      // Until there is no room for the table or for the log, whichever is first.
      const failure = await (async () => {
        for (;;) {
          try {
            await client.query(`INSERT INTO t VALUES ($1, repeat('x', 1000))`, [sure + 1]);
            sure++;
          } catch (error) {
            return error as {code?: string};
          }
        }
      })();
      expect(failure.code === undefined || /^(53100|08|57P)/.test(failure.code), JSON.stringify(failure)).toBe(true);
      expect(sure).toBeGreaterThan(100);
      await client.end().catch(() => undefined);
      await disk.leave(100);
      const rows = await ask<{id: number}>(
        () => sluice.connect(),
        // One that nobody has heard the answer to is not repeated.
        `INSERT INTO t VALUES (1000000, 'after') ON CONFLICT DO NOTHING`,
        'SELECT id FROM t ORDER BY id',
      );
      const ids = rows.map(({id}) => id);
      // The one that failed may have been committed all the same.
      expect([sure + 1, sure + 2]).toContain(ids.length);
      await poll('every row in the topic', LIMIT_MS, async () => (await idsIn(topic)).length >= ids.length, 500);
      expect(await idsIn(topic)).toEqual(ids);
    }),
  2 * LIMIT_MS,
);

test.runIf(possible)(
  'no room for the copy of a large snapshot: the status says so, nothing of it is left, and the sink goes on when there is room',
  () =>
    onSmallDisk(600, async (sluice, disk) => {
      await sluice.start({SLUICE_TUNING: JSON.stringify({spoolBytes: 1})});
      const topic = freshTopicName('spool');
      const askEngine = (query: string) => ask(() => sluice.connectEngine(), query);
      const spools = () => askEngine(`SELECT FROM pg_class WHERE relname LIKE 'spool\\_%' AND relkind = 'r'`);
      const client = await sluice.connect();
      await client.query(TABLE);
      await client.query(connectionSql());
      await client.query(`INSERT INTO t SELECT n, repeat('x', 1000) FROM generate_series(1, 20000) AS n`);
      // Its copy takes as much again, and as much in the log.
      await askEngine('CHECKPOINT');
      await disk.leave(12);
      await client.query(upsertSinkSql(topic));
      await client.end();
      const is = (condition: string) =>
        poll(
          `the sink to be ${condition}`,
          LIMIT_MS,
          async () =>
            (await askEngine(`SELECT FROM mz_internal.mz_sink_statuses WHERE name = 's' AND ${condition}`)).length ===
            1,
          100,
        );
      await is(`status = 'stalled' AND error ~ 'No space left on device' AND details ->> 'retrying' = 'true'`);
      expect(await spools()).toEqual([]);
      expect(await readTopic(topic)).toEqual([]);
      await disk.leave(200);
      await is(`status = 'running'`);
      expect(await idsIn(topic)).toEqual(Array.from({length: 20_000}, (_, i) => i + 1));
      expect(await spools()).toEqual([]);
    }),
  2 * LIMIT_MS,
);
