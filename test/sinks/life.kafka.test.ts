import {afterAll, beforeAll, expect, test} from 'vitest';
import {poll} from '../../scripts/process/poll.ts';
import {SinkWorld} from './sink-world.ts';

let world: SinkWorld;
beforeAll(async () => {
  world = await SinkWorld.open();
});
afterAll(() => world[Symbol.asyncDispose]());

const row = (a: number) => ({key: {a}, value: {a}});

async function slots(cluster: string): Promise<number> {
  const {rows} = await world.engine.query<{n: number}>(
    'SELECT count(*)::int AS n FROM pg_replication_slots WHERE slot_name LIKE $1',
    [`%_${cluster}`],
  );
  return rows[0].n;
}

test('SNAPSHOT = false: only what comes after the creation', async () => {
  await world.sql(`CREATE TABLE later_t (a integer PRIMARY KEY)`, `INSERT INTO later_t VALUES (1)`);
  const topic = await world.running({name: 'later', key: '(a)', with: 'SNAPSHOT = false'});
  await world.sql(`INSERT INTO later_t VALUES (2)`, `DELETE FROM later_t WHERE a = 1`);
  expect(await world.messages('later', topic)).toEqual([row(2), {key: {a: 1}, value: null}]);
});

test('a sink that is created while a transaction is open waits, says for whom, and has its row once', async () => {
  await world.sql(`CREATE TABLE held_t (a integer PRIMARY KEY)`, `INSERT INTO held_t VALUES (1)`);
  const other = await world.sluice.connect();
  await other.query('BEGIN');
  await other.query('INSERT INTO held_t VALUES (2)');
  const topic = await world.create({name: 'held', key: '(a)'});
  const {details} = await world.until('held', status => status.details?.waiting_for !== undefined);
  expect(details?.waiting_for).toMatch(/pid [0-9]+/);
  await other.query('COMMIT');
  await other.end();
  await world.until('held', ({status}) => status === 'running');
  expect(await world.messages('held', topic)).toEqual([row(1), row(2)]);
});

test('a paused cluster, its statistics, and a DROP SINK that leaves nothing behind', async () => {
  await world.sql(
    `CREATE CLUSTER resting (SIZE = '25cc')`,
    `CREATE TABLE rest_t (a integer PRIMARY KEY)`,
    `INSERT INTO rest_t VALUES (1)`,
  );
  const topic = await world.running({name: 'rest', key: '(a)', cluster: 'resting'});
  const [{id}] = await world.sql(`SELECT id FROM mz_clusters WHERE name = 'resting'`);
  await world.sql(`ALTER CLUSTER resting SET (REPLICATION FACTOR = 0)`);
  await world.until('rest', ({status}) => status === 'paused');
  await world.sql(`INSERT INTO rest_t VALUES (2)`, `ALTER CLUSTER resting SET (REPLICATION FACTOR = 1)`);
  expect(await world.messages('rest', topic)).toEqual([row(1), row(2)]);
  await poll('the counters', 10_000, async () => {
    const {rows} = await world.engine.query<{staged: string; committed: string}>(
      `SELECT messages_staged::text AS staged, messages_committed::text AS committed
       FROM mz_internal.mz_sink_statistics t JOIN mz_catalog.mz_sinks s USING (id) WHERE s.name = 'rest'`,
    );
    return rows[0].staged === '2' && rows[0].committed === '2';
  });
  expect(await world.refused('DROP TABLE rest_t')).toMatch(/^2BP01: /);
  await world.sql(`ALTER CLUSTER resting SET (REPLICATION FACTOR = 0)`, 'DROP SINK rest');
  await poll('the end of the slot', 20_000, async () => (await slots(String(id))) === 0);
  await poll('the old replica identity', 20_000, async () => {
    const {rows} = await world.engine.query<{d: boolean}>(
      `SELECT relreplident = 'd' AS d FROM pg_class WHERE relname = 'rest_t'`,
    );
    return rows[0].d;
  });
  expect(await world.topic(topic)).toEqual([row(1), row(2)]);
  await world.sql('DROP TABLE rest_t', 'DROP CLUSTER resting');
});

test('a slot that is dropped behind our back', async () => {
  await world.sql(`CREATE CLUSTER robbed (SIZE = '25cc')`, `CREATE TABLE rob_t (a integer PRIMARY KEY)`);
  const topic = await world.running({name: 'rob', key: '(a)', cluster: 'robbed'});
  await poll('the loss of the slot', 20_000, async () => {
    const {rows} = await world.engine.query<{slot: string; pid: number | null}>(
      `SELECT slot_name AS slot, active_pid AS pid FROM mz_internal.mz_sluice_slots v JOIN pg_replication_slots r USING (slot_name) WHERE v.name = 'robbed'`,
    );
    if (rows.length === 0) return true;
    await world.engine.query('SELECT pg_terminate_backend($1)', [rows[0].pid]);
    await world.engine.query('SELECT pg_drop_replication_slot($1)', [rows[0].slot]).catch(() => undefined);
    return false;
  });
  const {details} = await world.stalled('rob', 'SL020');
  expect(details?.hints).toEqual([expect.stringContaining('create them again')]);
  expect(await world.topic(topic)).toEqual([]);
});
