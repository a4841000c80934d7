import {tmpdir} from 'node:os';
import {expect, test} from 'vitest';
import {createSlot, dropSlot} from '../../src/changes/slot.ts';
import {ClusterLog} from '../../src/cluster/cluster-log.ts';
import {Connections} from '../../src/engine/connections.ts';
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
        waiting: () => undefined,
      });
    const log = await open();
    const endLsn = await world.confirmedLsn();
    const progress = {...log.identity, endLsn, time: 1n, timeClosed: false, version: 0};
    await expect(log.verify('s', progress)).resolves.toBeUndefined();
    await world.client.query('CREATE TABLE meanwhile (id int)');
    await dropSlot(world.client, world.name);
    await createSlot(world.client, world.name);
    await expect(log.verify('s', progress)).rejects.toMatchObject({code: 'SL023'});
    await expect((await open()).verify('s', progress)).rejects.toMatchObject({code: 'SL023'});
  } finally {
    await connections.close();
  }
});
