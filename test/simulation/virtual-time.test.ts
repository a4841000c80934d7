import {readFileSync} from 'node:fs';
import {dirname, join, relative} from 'node:path';
import {afterEach, expect, test, vi} from 'vitest';
import {scenarioOf} from './scenario.ts';
import {simulate} from './simulate.ts';
import {VirtualTime} from './time.ts';

afterEach(() => vi.restoreAllMocks());

test('events come in the order of their times, and those of one time in the order in which they were planned', async () => {
  const time = new VirtualTime();
  const heard: string[] = [];
  for (const [ms, name] of [
    [5, 'c'],
    [1, 'a'],
    [5, 'd'],
    [2, 'b'],
    [9, 'never'],
  ] as const) {
    const forget = time.after(ms, () => heard.push(`${name}${time.now()}`));
    if (name === 'never') forget();
  }
  await time.run(() => false);
  expect(heard).toEqual(['a1', 'b2', 'c5', 'd5']);
});

test.each([3, 14, 159])('seed %i gives the same run again', async seed => {
  const [first, second] = [await simulate(scenarioOf(seed)), await simulate(scenarioOf(seed))];
  expect(second).toEqual(first);
  expect((await simulate(scenarioOf(seed + 1))).hash).not.toBe(first.hash);
});

test('nothing that is simulated asks for the real time or for chance', async () => {
  const used: string[] = [];
  const trap = (name: string) => () => {
    used.push(name);
    return 0 as never;
  };
  vi.spyOn(globalThis, 'setTimeout').mockImplementation(trap('setTimeout'));
  vi.spyOn(globalThis, 'setInterval').mockImplementation(trap('setInterval'));
  vi.spyOn(Date, 'now').mockImplementation(trap('Date.now'));
  vi.spyOn(performance, 'now').mockImplementation(trap('performance.now'));
  vi.spyOn(Math, 'random').mockImplementation(trap('Math.random'));
  const {violation} = await simulate(scenarioOf(8));
  vi.restoreAllMocks();
  expect(used).toEqual([]);
  expect(violation).toBeUndefined();
});

/** What brings the real world in, each behind an argument that the simulation gives otherwise. */
const DOORS = new Set([
  'src/base/clock.ts',
  'src/targets/kafka/librdkafka-client.ts',
  'src/sinks/consolidation-spill.ts',
]);
const REAL =
  /node:timers|\bset(Timeout|Interval|Immediate)\(|\bDate\.now\b|\bnew Date\(\)|\bperformance\.now\b|\bMath\.random\b/;

test('no file that is simulated has a way to the real time or to chance', () => {
  const root = join(import.meta.dirname, '../..');
  const files = new Set<string>();
  const visit = (file: string): void => {
    const name = relative(root, file);
    if (files.has(name) || DOORS.has(name)) return;
    files.add(name);
    const source = readFileSync(file, 'utf8');
    for (const [, path] of source.matchAll(/^(?:import|export)\b(?! type)[^;]*? from '(\.[^']+)';/gm))
      visit(join(dirname(file), path));
  };
  for (const entry of [
    'sinks/sink-runner.ts',
    'sinks/stream-host.ts',
    'targets/kafka/kafka-target.ts',
    'changes/clock-record.ts',
  ]) {
    visit(join(root, 'src', entry));
  }
  expect([...files]).toEqual(
    expect.arrayContaining(['src/sinks/pump.ts', 'src/sinks/intake.ts', 'src/changes/ack-gate.ts']),
  );
  expect([...files].filter(file => REAL.test(readFileSync(join(root, file), 'utf8')))).toEqual([]);
});
