import {setTimeout} from 'node:timers/promises';
import {afterAll, beforeAll, test} from 'vitest';
import {KafkaCluster} from '../../scripts/kafka/broker.ts';
import {LIMIT_MS, OwnWorld} from './own-world.ts';

let cluster: KafkaCluster;
beforeAll(async () => {
  cluster = await KafkaCluster.start(3, {heapMb: 256});
}, LIMIT_MS);
afterAll(() => cluster[Symbol.asyncDispose]());

/** One transaction after the other until `work` is done. */
async function writingWhile(world: OwnWorld, work: () => Promise<void>): Promise<void> {
  const ending = new AbortController();
  const writing = (async () => {
    while (!ending.signal.aborted) {
      await world.write(5);
      await setTimeout(50);
    }
  })();
  try {
    await work();
  } finally {
    ending.abort();
    await writing;
  }
}

test(
  'three brokers are restarted in turn while rows are written, one of them after a kill -9: every row once',
  async () => {
    await using world = await OwnWorld.open({brokers: cluster.address});
    await writingWhile(world, async () => {
      const [first, second, third] = cluster.brokers;
      await first.restart();
      await second.kill();
      await second.start();
      await third.restart();
    });
    await world.level();
  },
  3 * LIMIT_MS,
);
