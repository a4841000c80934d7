import {expect, test} from 'vitest';
import {FalseClock} from './false-clock.ts';
import {LIMIT_MS, OwnWorld} from './own-world.ts';

const HOUR_S = 3600;

/** What the messages say when they were committed. */
async function times(world: OwnWorld): Promise<number[]> {
  return (await world.read()).map(({headers}) =>
    Number(headers.find(({name}) => name === 'materialize-timestamp')!.value),
  );
}

test(
  'clocks that are set forward and back, of PostgreSQL, of Sluice and of both: every row once, and times never run back',
  async () => {
    await using ofPostgres = await FalseClock.make();
    await using ofSluice = await FalseClock.make();
    await using world = await OwnWorld.open({
      environment: ofPostgres.environment,
      sluiceEnvironment: ofSluice.environment,
    });
    await world.write(5);
    await world.level();
    for (const [postgres, sluice] of [
      [1, 0],
      [0, 0],
      [-1, 0],
      [-1, -1],
      [-1, 0.9],
      [0, 0],
    ] as const) {
      await ofPostgres.set(postgres * HOUR_S);
      await ofSluice.set(sluice * HOUR_S);
      await world.write(10);
      await world.level();
    }
    const seen = await times(world);
    expect(seen).toEqual(seen.toSorted((a, b) => a - b));
  },
  3 * LIMIT_MS,
);

test(
  'a clock of Sluice that is further ahead than the broker takes: the sink says so, and goes on when it is right',
  async () => {
    await using ofSluice = await FalseClock.make();
    await using world = await OwnWorld.open({
      tuning: {stallCheckMs: 500},
      sluiceEnvironment: ofSluice.environment,
    });
    await world.write(5);
    await world.level();
    const before = await world.written();
    await ofSluice.set(2 * HOUR_S);
    await world.write(5);
    const {details} = await world.stalled('SL103');
    expect(details?.hints).toEqual([expect.stringContaining('set the clock')]);
    expect(await world.written()).toEqual(before);
    await ofSluice.set(0);
    await world.level();
    await world.until(({status}) => status === 'running');
  },
  2 * LIMIT_MS,
);
