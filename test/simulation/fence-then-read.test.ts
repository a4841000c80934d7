import {expect, test} from 'vitest';
import type {KafkaClient} from '../../src/targets/kafka/client.ts';
import {batchOf, insert} from '../targets/batches.ts';
import {progressAt} from '../targets/target-tests.ts';
import {ModelWorld} from './model-world.ts';

test('an older writer that commits just when its successor has read the progress comes too late', async () => {
  const world = new ModelWorld(0);
  const older = world.target();
  await older.open();
  await older.commit(progressAt(1n));
  await older.write(batchOf(2n, [insert(2)]));

  let outcome: unknown;
  const successor = world.target(
    {},
    client =>
      ({
        connectProducer: (...settings) => client.connectProducer(...settings),
        connectReader: async () => {
          const reader = await client.connectReader();
          return {
            read: async (...request: Parameters<typeof reader.read>) => {
              const done = await reader.read(...request);
              outcome = await older.commit(progressAt(2n)).then(
                () => 'committed',
                (error: unknown) => (error as Error).name,
              );
              return done;
            },
            close: () => reader.close(),
          };
        },
      }) satisfies KafkaClient,
  );
  expect(await successor.open()).toEqual(progressAt(1n));
  expect(outcome).toBe('Fenced');
  expect(await world.rows()).toEqual(new Map());
  await older.close();
  await successor.close();
});
