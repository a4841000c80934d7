import {expect, test} from 'vitest';
import {KafkaCluster} from '../../../scripts/kafka/broker.ts';
import {poll} from '../../../scripts/process/poll.ts';
import {batchOf, insert} from '../batches.ts';
import {progressAt} from '../target-tests.ts';
import {KafkaWorld} from './world.ts';

test('a broker that stands still holds the writer back, not the process, and loses nothing', async () => {
  await using cluster = await KafkaCluster.start();
  await using world = new KafkaWorld({address: cluster.address});
  const target = world.target();
  await target.open();
  // Otherwise the partitions are not part of the transaction yet, and asking for that is what stands still.
  await target.write(batchOf(1n, [insert(0)]));
  await target.commit(progressAt(1n));

  const count = 50_000;
  const batch = batchOf(
    2n,
    Array.from({length: count}, (_, id) => insert(id)),
  );
  cluster.broker.pause();
  let done = false;
  const writing = Promise.resolve(target.write(batch)).then(() => {
    done = true;
  });
  // The queue takes 32 000; from then on only the event loop goes round.
  const before = target.written().messages;
  await poll('a full queue', 20_000, () => target.written().messages - before >= 31_000);
  let turns = 0;
  await poll('turns of the event loop', 20_000, () => ++turns > 20, 1);
  expect(done).toBe(false);
  expect(target.written().messages - before).toBeLessThan(count);

  cluster.broker.resume();
  await writing;
  await target.commit(progressAt(2n));
  expect(target.written().messages - before).toBe(count);
  expect((await world.rows()).size).toBe(count);
});

test('closing does not wait for room', async () => {
  await using cluster = await KafkaCluster.start();
  await using world = new KafkaWorld({address: cluster.address, timeouts: {abort: 500}});
  const target = world.target();
  await target.open();
  cluster.broker.pause();
  const writing = Promise.resolve(
    target.write(
      batchOf(
        1n,
        Array.from({length: 50_000}, (_, id) => insert(id)),
      ),
    ),
  );
  const refused = expect(writing).rejects.toThrow('closed');
  await poll('a full queue', 20_000, () => target.written().messages >= 31_000);
  const started = performance.now();
  await target.close();
  expect(performance.now() - started).toBeLessThan(10_000);
  await refused;
  cluster.broker.resume();
});
