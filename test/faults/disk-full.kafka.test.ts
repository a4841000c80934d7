import {chmod, mkdtemp, rm} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {afterAll, beforeAll, expect, test} from 'vitest';
import {poll} from '../../scripts/process/poll.ts';
import {SluiceProcess} from '../crash/sluice-process.ts';
import {freshTopicName, kafkaAddress, readTopic} from '../setup/kafka.ts';
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

test.runIf(possible)(
  'no room for the engine: writers hear of it, and when there is room the sink has what was committed',
  async () => {
    const sluice = await SluiceProcess.create();
    // So that the server's files are on that disk, for root too.
    await chmod(sluice.directory, 0o711);
    const disk = await SmallDisk.mount(sluice.dataDirectory, 400);
    try {
      await sluice.start();
      const client = await sluice.connect();
      const topic = freshTopicName('disk');
      for (const statement of [
        `CREATE CONNECTION kafka TO KAFKA (BROKER '${kafkaAddress()}', SECURITY PROTOCOL 'PLAINTEXT')`,
        'CREATE TABLE t (id integer PRIMARY KEY, v text)',
        `CREATE SINK s FROM t INTO KAFKA CONNECTION kafka (TOPIC '${topic}', TOPIC PARTITION COUNT 1)
         KEY (id) FORMAT JSON ENVELOPE UPSERT`,
      ]) {
        await client.query(statement);
      }
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
      const rows = await poll(
        'writing again',
        LIMIT_MS,
        async () => {
          try {
            const again = await sluice.connect();
            try {
              await again.query(`INSERT INTO t VALUES (1000000, 'after')`);
              return (await again.query<{id: number}>('SELECT id FROM t ORDER BY id')).rows;
            } finally {
              await again.end();
            }
          } catch {
            return undefined;
          }
        },
        200,
      );
      const ids = rows.map(({id}) => id);
      // The one that failed may have been committed all the same.
      expect([sure + 1, sure + 2]).toContain(ids.length);
      const written = async () => (await readTopic(topic)).map(({key}) => (JSON.parse(String(key)) as {id: number}).id);
      await poll('every row in the topic', LIMIT_MS, async () => (await written()).length >= ids.length, 500);
      expect(await written()).toEqual(ids);
    } finally {
      await sluice[Symbol.asyncDispose]().catch(() => undefined);
      await disk[Symbol.asyncDispose]();
      await rm(sluice.directory, {recursive: true, force: true});
    }
  },
  2 * LIMIT_MS,
);

test.runIf(possible)(
  'no room for the copy of a large snapshot: the status says so, nothing of it is left, and the sink goes on when there is room',
  async () => {
    const sluice = await SluiceProcess.create();
    await chmod(sluice.directory, 0o711);
    const disk = await SmallDisk.mount(sluice.dataDirectory, 600);
    try {
      await sluice.start({SLUICE_TUNING: JSON.stringify({spoolBytes: 1})});
      const topic = freshTopicName('spool');
      // Where there is no room for the log either, the engine is started again.
      const ask = <T extends object>(query: string): Promise<T[]> =>
        poll(
          'an answer of the engine',
          LIMIT_MS,
          async () => {
            try {
              const client = await sluice.connectEngine();
              try {
                return (await client.query<T>(query)).rows;
              } finally {
                await client.end();
              }
            } catch {
              return undefined;
            }
          },
          200,
        );
      const client = await sluice.connect();
      await client.query(
        `CREATE CONNECTION kafka TO KAFKA (BROKER '${kafkaAddress()}', SECURITY PROTOCOL 'PLAINTEXT')`,
      );
      await client.query('CREATE TABLE t (id integer PRIMARY KEY, v text)');
      await client.query(`INSERT INTO t SELECT n, repeat('x', 1000) FROM generate_series(1, 20000) AS n`);
      // Its copy takes as much again, and as much in the log.
      await ask('CHECKPOINT');
      await disk.leave(12);
      await client.query(
        `CREATE SINK s FROM t INTO KAFKA CONNECTION kafka (TOPIC '${topic}', TOPIC PARTITION COUNT 1)
         KEY (id) FORMAT JSON ENVELOPE UPSERT`,
      );
      await client.end();
      const is = (condition: string) =>
        poll(
          `the sink to be ${condition}`,
          LIMIT_MS,
          async () =>
            (await ask(`SELECT FROM mz_internal.mz_sink_statuses WHERE name = 's' AND ${condition}`)).length === 1,
          100,
        );
      await is(`status = 'stalled' AND error ~ 'No space left on device' AND details ->> 'retrying' = 'true'`);
      expect(await ask(`SELECT FROM pg_class WHERE relname LIKE 'spool\\_%' AND relkind = 'r'`)).toEqual([]);
      expect(await readTopic(topic)).toEqual([]);
      await disk.leave(200);
      await is(`status = 'running'`);
      const ids = (await readTopic(topic)).map(({key}) => (JSON.parse(String(key)) as {id: number}).id);
      expect(ids).toEqual(Array.from({length: 20_000}, (_, i) => i + 1));
      expect(await ask(`SELECT FROM pg_class WHERE relname LIKE 'spool\\_%' AND relkind = 'r'`)).toEqual([]);
    } finally {
      await sluice[Symbol.asyncDispose]().catch(() => undefined);
      await disk[Symbol.asyncDispose]();
      await rm(sluice.directory, {recursive: true, force: true});
    }
  },
  2 * LIMIT_MS,
);
