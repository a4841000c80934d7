import {expect, test} from 'vitest';
import {poll} from '../../scripts/process/poll.ts';
import {connectTo, LIMIT_MS, OwnWorld} from './own-world.ts';

/** The primary's log is on the standby as far as it is written. */
async function inStep(world: OwnWorld): Promise<void> {
  await poll('the standby', LIMIT_MS, async () => {
    const [{behind}] = await world.query<{behind: boolean}>(
      'SELECT coalesce(bool_or(replay_lsn < pg_current_wal_flush_lsn()), true) AS behind FROM pg_stat_replication WHERE application_name = $1',
      ['walreceiver'],
    );
    return !behind;
  });
}

test(
  'a standby without the slot takes over: the sink stalls, because changes may be lost',
  async () => {
    await using world = await OwnWorld.open({version: 15});
    await world.write(5);
    await world.level();
    const standby = await world.startStandby();
    await world.write(5);
    await world.level();
    await inStep(world);
    const before = await world.written();
    await world.failOver(standby);
    await world.write(5);
    const {details} = await world.stalled('SL023');
    expect(details).toMatchObject({retrying: false, hints: [expect.stringContaining('create the sink again')]});
    expect(await world.written()).toEqual(before);
  },
  2 * LIMIT_MS,
);

test(
  'a standby that lacks what the topic has takes over: the sink stalls for good',
  async () => {
    await using world = await OwnWorld.open({version: 18});
    await world.write(5);
    const standby = await world.startStandby();
    await world.level();
    await inStep(world);
    await standby.kill();
    await world.write(5);
    await world.level();
    const before = await world.written();
    await world.postgres.kill();
    await standby.start();
    await world.failOver(standby);
    // Enough that its log gets past where the old primary was.
    await world.query(`INSERT INTO t SELECT n, 'lost' FROM generate_series(1000, 5000) AS n`);
    const {details} = await world.stalled('SL013');
    expect(details).toMatchObject({retrying: false, hints: [expect.stringContaining('create the sink again')]});
    expect(await world.written()).toEqual(before);
  },
  2 * LIMIT_MS,
);

test(
  'a standby that has kept a copy of the slot takes over: nothing is lost and nothing comes twice',
  async () => {
    await using world = await OwnWorld.open({version: 18});
    await world.write(5);
    await world.level();
    await world.query(`SELECT pg_create_physical_replication_slot('standby')`);
    await world.query(`ALTER SYSTEM SET synchronized_standby_slots = 'standby'`);
    const standby = await world.startStandby({
      primary_slot_name: 'standby',
      sync_replication_slots: 'on',
      hot_standby_feedback: 'on',
      // The primary waits for it, but it waits for nobody.
      synchronized_standby_slots: '',
    });
    await world.write(20);
    await world.level();
    await using client = await connectTo(standby.url);
    await poll('the copy of the slot', LIMIT_MS, async () => {
      const {rowCount} = await client.query(
        'SELECT FROM pg_replication_slots WHERE synced AND NOT temporary AND invalidation_reason IS NULL',
      );
      return rowCount === 1;
    });
    await world.write(20);
    await inStep(world);
    await world.failOver(standby);
    await world.write(20);
    await world.level();
  },
  2 * LIMIT_MS,
);
