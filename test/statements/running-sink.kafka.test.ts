import {afterAll, beforeAll, expect, test} from 'vitest';
import {kafkaAddress} from '../setup/kafka.ts';
import {SinkWorld} from '../sinks/sink-world.ts';

/** What ALTER, GRANT and the like do to a sink that runs: it goes on, with each row once. */
let world: SinkWorld;
beforeAll(async () => {
  world = await SinkWorld.open();
});
afterAll(() => world[Symbol.asyncDispose]());

const row = (a: number) => ({key: {a}, value: {a}});

test('renames, owners, comments and swaps leave a running sink alone', async () => {
  await world.sql('CREATE TABLE calm_t (a integer PRIMARY KEY)', 'CREATE CLUSTER calm', 'CREATE CLUSTER other');
  const topic = await world.running({name: 'calm', key: '(a)', cluster: 'calm'});
  let n = 0;
  for (const statement of [
    'ALTER SINK calm RENAME TO calm2',
    'ALTER CONNECTION kafka RENAME TO kafka2',
    'ALTER CLUSTER calm SWAP WITH other',
    'ALTER CLUSTER other RENAME TO third',
    'ALTER SINK calm2 OWNER TO CURRENT_USER',
    `COMMENT ON SINK calm2 IS 'quiet'`,
    'GRANT USAGE ON CONNECTION kafka2 TO PUBLIC',
    'ALTER TABLE calm_t RENAME TO calm_renamed_t',
    'ALTER CONNECTION kafka2 RENAME TO kafka',
  ]) {
    await world.sql(statement);
    const [{name}] = await world.sql(`SELECT name FROM mz_tables WHERE name LIKE 'calm%'`);
    await world.sql(`INSERT INTO ${name as string} VALUES (${n++})`);
  }
  expect(await world.messages('calm2', topic)).toEqual(Array.from({length: n}, (_, a) => row(a)));
  const [{create_sql: text}] = await world.sql('SHOW CREATE SINK calm2');
  expect(text).toMatch(/IN CLUSTER "third" FROM ".*"\."public"\."calm_renamed_t"/);
  const history = await world.sql(
    `SELECT DISTINCT h.status FROM mz_internal.mz_sink_status_history h JOIN mz_sinks s ON s.id = h.sink_id WHERE s.name = 'calm2' AND h.status NOT IN ('starting', 'running')`,
  );
  expect(history).toEqual([]);
  await world.sql('DROP SINK calm2', 'DROP TABLE calm_renamed_t', 'DROP CLUSTER third, calm');
});

test('ALTER CONNECTION restarts its sinks where they were', async () => {
  await world.sql('CREATE TABLE moved_t (a integer PRIMARY KEY)', 'INSERT INTO moved_t VALUES (1)');
  const topic = await world.running({name: 'moved', key: '(a)'});
  await world.sql(
    `ALTER CONNECTION kafka SET (BROKERS ('${kafkaAddress()}', '127.0.0.1:1'))`,
    'INSERT INTO moved_t VALUES (2)',
    `ALTER CONNECTION kafka SET (BROKER '${kafkaAddress()}')`,
    'INSERT INTO moved_t VALUES (3)',
  );
  expect(await world.messages('moved', topic)).toEqual([row(1), row(2), row(3)]);
  // What cannot be reached is refused, and leaves the sink as it is.
  expect(await world.refused(`ALTER CONNECTION kafka SET (BROKER '127.0.0.1:1')`)).toMatch(/^58000: /);
  await world.sql('INSERT INTO moved_t VALUES (4)');
  expect(await world.messages('moved', topic)).toEqual([row(1), row(2), row(3), row(4)]);
  await world.sql('DROP SINK moved', 'DROP TABLE moved_t');
});

test('replicas that come and go pause and resume', async () => {
  await world.sql(
    'CREATE CLUSTER named REPLICAS (one (SIZE = $$25cc$$))',
    'CREATE TABLE rep_t (a integer PRIMARY KEY)',
  );
  const topic = await world.running({name: 'rep', key: '(a)', cluster: 'named'});
  await world.sql('DROP CLUSTER REPLICA named.one');
  await world.until('rep', ({status}) => status === 'paused');
  await world.sql('INSERT INTO rep_t VALUES (1)', `CREATE CLUSTER REPLICA named.two (SIZE = '50cc')`);
  expect(await world.messages('rep', topic)).toEqual([row(1)]);
  await world.sql('DROP SINK rep', 'DROP TABLE rep_t', 'DROP CLUSTER named');
});
