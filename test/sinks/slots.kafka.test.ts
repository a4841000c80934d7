import {afterAll, beforeAll, expect, test} from 'vitest';
import {poll} from '../../scripts/process/poll.ts';
import {SinkWorld} from './sink-world.ts';

let world: SinkWorld;
beforeAll(async () => {
  world = await SinkWorld.open();
});
afterAll(() => world[Symbol.asyncDispose]());

const FIRST = {key: {a: 1}, value: {a: 1}};

/** A cluster of its own with a sink that has one row, and a worker that stands still. */
async function stoppedSink(name: string): Promise<{topic: string; slot: string}> {
  await world.sql(
    `CREATE CLUSTER ${name}_cluster (SIZE = '25cc')`,
    `CREATE TABLE ${name}_t (a integer PRIMARY KEY)`,
    `INSERT INTO ${name}_t VALUES (1)`,
  );
  const topic = await world.running({name, key: '(a)', cluster: `${name}_cluster`});
  expect(await world.messages(name, topic)).toEqual([FIRST]);
  const {rows} = await world.engine.query<{slot: string}>(
    `SELECT slot_name AS slot FROM mz_internal.mz_sluice_slots WHERE name = $1`,
    [`${name}_cluster`],
  );
  await world.sluice.killWorkers('SIGSTOP');
  return {topic, slot: rows[0].slot};
}

async function drop(slot: string): Promise<void> {
  await poll('the loss of the slot', 20_000, async () => {
    await world.engine.query('SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE slot_name = $1', [
      slot,
    ]);
    await world.engine.query('SELECT pg_drop_replication_slot($1)', [slot]).catch(() => undefined);
    return (await world.engine.query('SELECT FROM pg_replication_slots WHERE slot_name = $1', [slot])).rowCount === 0;
  });
}

/** New workers look at what has become of their slots; the sink must not write anything that follows a gap. */
async function stalls(name: string, topic: string, code: string): Promise<void> {
  await world.sql(`INSERT INTO ${name}_t VALUES (3)`);
  await world.sluice.killWorkers();
  const {details} = await world.stalled(name, code);
  expect(details).toMatchObject({retrying: false, hints: [expect.stringMatching(/create (them|the sink) again/)]});
  expect(await world.topic(topic)).toEqual([FIRST]);
  await world.sql(`DROP CLUSTER ${name}_cluster CASCADE`);
}

test('a slot that was dropped and made again', async () => {
  const {topic, slot} = await stoppedSink('remade');
  await drop(slot);
  await world.sql(`INSERT INTO remade_t VALUES (2)`);
  await world.engine.query(`SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, [slot]);
  await stalls('remade', topic, 'SL023');
});

test('a slot that is gone when the worker starts', async () => {
  const {topic, slot} = await stoppedSink('slotless');
  await drop(slot);
  await world.sql(`INSERT INTO slotless_t VALUES (2)`);
  await stalls('slotless', topic, 'SL023');
});

test('a slot that was moved forward', async () => {
  const {topic, slot} = await stoppedSink('moved');
  await world.sql(`INSERT INTO moved_t VALUES (2)`);
  await poll('the slot to be free', 20_000, async () => {
    const {rows} = await world.engine.query<{pid: number | null}>(
      'SELECT active_pid AS pid FROM pg_replication_slots WHERE slot_name = $1',
      [slot],
    );
    if (rows[0].pid !== null) await world.engine.query('SELECT pg_terminate_backend($1)', [rows[0].pid]);
    return rows[0].pid === null;
  });
  await world.engine.query('SELECT pg_replication_slot_advance($1, pg_current_wal_lsn())', [slot]);
  await stalls('moved', topic, 'SL023');
});

test('a slot that PostgreSQL has given up because it held back too much', async () => {
  const {topic, slot} = await stoppedSink('lost');
  await world.engine.query(`ALTER SYSTEM SET max_slot_wal_keep_size = '1MB'`);
  await world.engine.query('SELECT pg_reload_conf()');
  await poll('the invalidation of the slot', 40_000, async () => {
    await world.engine.query(`SELECT pg_logical_emit_message(true, 'filler', 'x')`);
    await world.engine.query('SELECT pg_switch_wal()');
    await world.engine.query('CHECKPOINT');
    const {rows} = await world.engine.query<{lost: boolean}>(
      `SELECT wal_status = 'lost' AS lost FROM pg_replication_slots WHERE slot_name = $1`,
      [slot],
    );
    return rows[0].lost;
  });
  await world.engine.query('ALTER SYSTEM RESET max_slot_wal_keep_size');
  await world.engine.query('SELECT pg_reload_conf()');
  await stalls('lost', topic, 'SL021');
});
