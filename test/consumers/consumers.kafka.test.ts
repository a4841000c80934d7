import {beforeAll, describe, expect, test, vi} from 'vitest';
import {batchOf, insert, remove, type ItemChange} from '../targets/batches.ts';
import {KafkaWorld} from '../targets/kafka/world.ts';
import {progressAt} from '../targets/target-tests.ts';
import {readTopicUntil} from '../setup/kafka.ts';
import {READERS, type SeenMessage} from './readers.ts';

// Java takes its time on a busy machine.
vi.setConfig({testTimeout: 240_000, hookTimeout: 240_000});

const KEYS = 30;
const name = (id: number, version: string) => `${version} of ${id}: ü€😀 "quoted"`;
const key = (id: number) => JSON.stringify({id});
const value = (id: number, version: string | null) =>
  JSON.stringify({id, name: version === null ? null : name(id, version)});

/** What is committed, in order: every key in three versions, then some of them deleted and one null. */
const COMMITTED: readonly (readonly [time: bigint, changes: readonly ItemChange[]])[] = [
  ...(['first', 'second', 'third'] as const).map(
    (version, i) => [BigInt(i + 1), Array.from({length: KEYS}, (_, id) => insert(id, name(id, version)))] as const,
  ),
  [4n, [remove(1), remove(2), insert(3, null)]],
  [5n, [insert(1, name(1, 'fourth'))]],
];

/** The same, as messages of each key. */
function expected(id: number): unknown[] {
  const seen = (time: number, content: string | null) => [content, [['materialize-timestamp', String(time)]]];
  const versions = ['first', 'second', 'third'].map((version, i) => seen(i + 1, value(id, version)));
  if (id === 1) return [...versions, seen(4, null), seen(5, value(1, 'fourth'))];
  if (id === 2) return [...versions, seen(4, null)];
  return id === 3 ? [...versions, seen(4, value(3, null))] : versions;
}

const ofKey = (messages: readonly SeenMessage[], id: number) =>
  messages.filter(message => message.key === key(id)).map(({value: content, headers}) => [content, headers]);

/** A topic in which a writer was fenced while it had written something that nobody has committed. */
async function write(world: KafkaWorld): Promise<void> {
  for (const [time, changes] of COMMITTED) {
    const target = world.target();
    await target.open();
    await target.write(batchOf(time, changes));
    if (time === 3n) {
      // Its messages have to be with the broker before the next writer fences it.
      const written = COMMITTED.slice(0, 3).flatMap(([, all]) => all).length;
      await readTopicUntil(world.topic, records => records.length === written, {isolation: 'read_uncommitted'});
      const successor = world.target();
      await successor.open();
      await successor.write(batchOf(time, changes));
      await successor.commit(progressAt(time));
      await successor.close();
    } else await target.commit(progressAt(time));
    await target.close();
  }
}

describe('one topic, several readers', () => {
  // Of the compressions that Kafka knows, kafkajs brings gzip along and none of the others.
  const world = new KafkaWorld({target: {compression: 'gzip'}});
  let reference: SeenMessage[];

  beforeAll(async () => {
    await write(world);
    reference = await READERS['kcat'](world.topic, 'read_committed');
  });

  test('under read_committed there is every change once, in order, with its time', () => {
    expect(new Set(reference.map(({partition}) => partition)).size).toBe(3);
    for (let id = 0; id < KEYS; id++) expect(ofKey(reference, id)).toEqual(expected(id));
    expect(reference).toHaveLength(3 * KEYS + 4);
  });

  test.each(Object.keys(READERS))('%s reads under read_committed what the others read', async reader => {
    expect(await READERS[reader](world.topic, 'read_committed')).toEqual(reference);
  });

  test.each(Object.keys(READERS))('%s reads under read_uncommitted what was given up as well', async reader => {
    const seen = await READERS[reader](world.topic, 'read_uncommitted');
    const offsets = new Set(reference.map(({partition, offset}) => `${partition} ${offset}`));
    expect(seen.filter(({partition, offset}) => offsets.has(`${partition} ${offset}`))).toEqual(reference);
    const more = seen.filter(({partition, offset}) => !offsets.has(`${partition} ${offset}`));
    expect(more).toHaveLength(KEYS);
    // A reader that counts them has the third version of every key twice.
    for (let id = 0; id < KEYS; id++) {
      const third = value(id, 'third');
      expect(ofKey(seen, id).filter(([content]) => content === third)).toHaveLength(2);
    }
  });
});

test('the compression of sinks by default is one that kafkajs cannot read by itself', async () => {
  await using world = new KafkaWorld();
  await write(world);
  const {kcat, kafkajs, ...others} = READERS;
  const reference = await kcat(world.topic, 'read_committed');
  for (const read of Object.values(others)) expect(await read(world.topic, 'read_committed')).toEqual(reference);
  await expect(kafkajs(world.topic, 'read_committed')).rejects.toThrow('LZ4 compression not implemented');
});
