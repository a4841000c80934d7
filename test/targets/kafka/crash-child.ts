import {batchOf, insert, remove, type ItemChange} from '../batches.ts';
import {progressAt} from '../target-tests.ts';
import {KafkaWorld, type KafkaWorldOptions} from './world.ts';

/** The crash test's writer: goes on where the target says, to the end of a script that is a function of the time alone. */
export const LAST = 8n;

export function changesAt(time: bigint): ItemChange[] {
  const id = Number(time);
  const earlier = time > 2n ? [remove(id - 2, `from ${time - 2n}`)] : [];
  return [insert(id, `from ${time}`), insert(1000, `from ${time}`), ...earlier];
}

export interface ChildOptions extends KafkaWorldOptions {
  /** Write this transaction, say "holding", and wait for the end. */
  readonly holdAt?: string | undefined;
}

if (process.argv[2] !== undefined) {
  const {holdAt, ...options} = JSON.parse(process.argv[2]) as ChildOptions;
  const world = new KafkaWorld(options);
  const target = world.target();
  const progress = await target.open();
  for (let time = (progress?.time ?? 0n) + 1n; time <= LAST; time++) {
    await target.write(batchOf(time, changesAt(time)));
    if (String(time) === holdAt) {
      process.stdout.write('holding\n');
      setInterval(() => undefined, 1000);
      await new Promise(() => undefined);
    }
    await target.commit(progressAt(time));
  }
  await target.close();
}
