import {spawn, type ChildProcessByStdio} from 'node:child_process';
import {once} from 'node:events';
import {mkdtemp, readFile, rm} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import type {Readable} from 'node:stream';
import {expect, test} from 'vitest';
import {CRASH_POINTS, type CrashPoint} from '../../../src/base/crash-point.ts';
import {freshTopicName, readTopicUntil} from '../../setup/kafka.ts';
import {changesAt, LAST, type ChildOptions} from './crash-child.ts';
import {KafkaWorld, type KafkaWorldOptions} from './world.ts';

/** How many transactions are visible after the crash at the hit of the point. */
const CRASHES: readonly {readonly point: CrashPoint; readonly hit: number; readonly committed: bigint}[] = [
  {point: 'kafka-after-fence', hit: 1, committed: 0n},
  {point: 'kafka-after-read-progress', hit: 1, committed: 0n},
  {point: 'kafka-after-begin', hit: 1, committed: 0n},
  {point: 'kafka-after-begin', hit: 3, committed: 2n},
  {point: 'kafka-after-produce', hit: 1, committed: 0n},
  {point: 'kafka-after-produce', hit: 4, committed: 3n},
  {point: 'kafka-before-commit', hit: 5, committed: 4n},
  {point: 'kafka-after-commit', hit: 1, committed: 1n},
  {point: 'kafka-after-commit', hit: 8, committed: 8n},
];

const expected = (upTo: bigint): string[] => {
  const lines: string[] = [];
  for (let time = 1n; time <= upTo; time++) {
    for (const [before, after] of changesAt(time))
      lines.push(`${time} ${before?.id ?? after!.id} ${after?.name ?? 'gone'}`);
  }
  return lines.sort();
};

test.each(CRASHES)(
  'killed at $point, time $hit: $committed transactions are visible, and the rest follows once',
  async crash => {
    const directory = await mkdtemp(join(tmpdir(), 'sluice-crash-'));
    try {
      const log = join(directory, 'hits');
      const options = worldOptions();
      await using world = new KafkaWorld(options);
      expect(await run(options, {SLUICE_CRASH_AT: `${crash.point}:${crash.hit}`, SLUICE_CRASH_LOG: log})).toBe(
        'SIGKILL',
      );
      const hits = (await readFile(log, 'utf8')).split('\n').filter(line => line === crash.point).length;
      expect(hits, CRASH_POINTS[crash.point]).toBe(crash.hit);

      const target = world.target();
      expect((await target.open())?.time ?? 0n).toBe(crash.committed);
      await target.close();
      expect(await visible(world)).toEqual(expected(crash.committed));

      expect(await run(options, {})).toBe(0);
      expect(await visible(world)).toEqual(expected(LAST));
    } finally {
      await rm(directory, {recursive: true});
    }
  },
);

/** Every message that a reader of committed data gets, once for each time that he gets it. */
async function visible(world: KafkaWorld): Promise<string[]> {
  const messages = await world.messages();
  return messages
    .map(({key, value, headers}) => {
      const {id} = JSON.parse(String(key)) as {id: number};
      const name = value === null ? 'gone' : (JSON.parse(String(value)) as {name: string}).name;
      return `${String(headers[0].value)} ${id} ${name}`;
    })
    .sort();
}

test('killed while the broker holds what was written: nobody who reads committed data sees it', async () => {
  const options = worldOptions();
  await using world = new KafkaWorld(options);
  const child = start({...options, holdAt: '3'}, {});
  await once(child.stdout, 'data');
  // All of the third transaction has arrived; `read_uncommitted` shows it.
  const written = expected(3n).length;
  await readTopicUntil(world.topic, records => records.length === written, {isolation: 'read_uncommitted'});
  const exit = once(child, 'exit');
  child.kill('SIGKILL');
  await exit;
  expect(await visible(world)).toEqual(expected(2n));
  const target = world.target();
  expect((await target.open())?.time).toBe(2n);
  await target.close();
  expect(await visible(world)).toEqual(expected(2n));
  expect(await run(options, {})).toBe(0);
  expect(await visible(world)).toEqual(expected(LAST));
});

function worldOptions(): KafkaWorldOptions {
  return {sinkId: freshTopicName('u'), topic: freshTopicName('data'), progressTopic: freshTopicName('progress')};
}

async function run(options: ChildOptions, environment: NodeJS.ProcessEnv): Promise<number | NodeJS.Signals> {
  const [code, signal] = (await once(start(options, environment), 'exit')) as [number, NodeJS.Signals | null];
  return signal ?? code;
}

function start(options: ChildOptions, environment: NodeJS.ProcessEnv): ChildProcessByStdio<null, Readable, null> {
  return spawn(
    process.execPath,
    ['--import', 'tsx', join(import.meta.dirname, 'crash-child.ts'), JSON.stringify(options)],
    {stdio: ['ignore', 'pipe', 'inherit'], env: {...process.env, ...environment}},
  );
}
