import {tmpdir} from 'node:os';
import {expect, test} from 'vitest';
import {createSlot, dropSlot} from '../../src/changes/slot.ts';
import {ClusterLog} from '../../src/cluster/cluster-log.ts';
import {Connections} from '../../src/engine/connections.ts';
import {Stall} from '../../src/sinks/errors.ts';
import {World} from '../changes/world.ts';

test('a slot that was dropped and made again does not go on from an older progress', async () => {
  await using world = await World.open();
  const connections = new Connections(world.address, {applicationName: 'test'});
  try {
    const open = () =>
      ClusterLog.open({
        engine: world.address,
        connections,
        slot: world.name,
        spoolDirectory: tmpdir(),
        waiting: () => Promise.resolve(),
      });
    const log = await open();
    const endLsn = await world.confirmedLsn();
    const progress = {...log.identity, endLsn, time: 1n, timeClosed: false, version: 0};
    const verdict = (on: ClusterLog) =>
      on.verify('s', progress).then(
        () => 'goes on',
        (error: unknown) => (error instanceof Stall ? error.code : error),
      );
    expect(await verdict(log)).toBe('goes on');
    await world.client.query('CREATE TABLE meanwhile (id int)');
    await dropSlot(world.client, world.name);
    await createSlot(world.client, world.name);
    expect(await verdict(log)).toBe('SL023');
    expect(await verdict(await open())).toBe('SL023');
  } finally {
    await connections.close();
  }
});
