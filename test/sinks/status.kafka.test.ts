import {readFile} from 'node:fs/promises';
import {afterAll, beforeAll, expect, test} from 'vitest';
import {poll} from '../../scripts/process/poll.ts';
import {SinkWorld} from './sink-world.ts';

/** Stalled sinks try again five times a second. */
let world: SinkWorld;
beforeAll(async () => {
  world = await SinkWorld.open({stallCheckMs: 200});
});
afterAll(() => world[Symbol.asyncDispose]());

async function sinkStops(): Promise<number> {
  return (await readFile(world.sluice.logFile, 'utf8')).split('sink stopped').length - 1;
}

async function untilTriedAgain(times: number): Promise<void> {
  const before = await sinkStops();
  await poll(`${times} further attempts`, 40_000, async () => (await sinkStops()) >= before + times);
}

test.each([
  ['by the stream', 'streamed', `ALTER TABLE streamed_t ALTER v TYPE text USING v || '!'`, 'SL007'],
  ['by a look at the catalog', 'looked', `ALTER TABLE looked_t DROP COLUMN v`, 'SL001'],
])(
  'a sink that is stalled %s stays stalled, however often it tries, also with another worker',
  async (_, name, change, code) => {
    await world.sql(
      `CREATE TABLE ${name}_t (a integer PRIMARY KEY, v text)`,
      `INSERT INTO ${name}_t VALUES (1, 'one')`,
    );
    const topic = await world.running({name, key: '(a)'});
    await world.caughtUp(name);
    await world.sql(change);
    const {error} = await world.stalled(name, code);
    await untilTriedAgain(3);
    await world.sluice.killWorkers();
    await untilTriedAgain(3);
    expect((await world.status(name)).error).toBe(error);
    expect(await world.topic(topic)).toHaveLength(1);
    const history = await world.history(name);
    expect(history.filter((status, i) => status !== history[i - 1])).toEqual(['starting', 'running', 'stalled']);
    await world.sql(`DROP SINK ${name}`);
  },
);

test('a table of a publication cannot become unlogged', async () => {
  await world.sql(`CREATE TABLE logged_t (a integer PRIMARY KEY)`);
  await world.running({name: 'logged', key: '(a)'});
  expect(await world.refused('ALTER TABLE logged_t SET UNLOGGED')).toMatch(/cannot change table .* to unlogged/);
  await world.sql('DROP SINK logged');
});
