import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {mkdir, readFile, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {parseArgs} from 'node:util';
import {judge} from '../test/simulation/check-seeds.ts';
import {scenarioOf, type Scenario} from '../test/simulation/scenario.ts';
import {shrink} from '../test/simulation/shrink.ts';
import {simulate} from '../test/simulation/simulate.ts';

/**
 * Simulates many seeds, or one again:
 *
 *     npm run simulate -- --seeds 100000 --from 1 --jobs 2
 *     npm run simulate -- --seed 4711 --trace
 *     npm run simulate -- --file test/regressions/late-copy.json --trace
 *
 * A seed that shows something wrong is made as small as it goes and kept under test/regressions, where every run of the tests
 * plays it again.
 */
const {values} = parseArgs({
  options: {
    seeds: {type: 'string', default: '1000'},
    from: {type: 'string', default: '1'},
    jobs: {type: 'string', default: '1'},
    seed: {type: 'string'},
    file: {type: 'string'},
    trace: {type: 'boolean', default: false},
    shrink: {type: 'boolean', default: true},
  },
  allowNegative: true,
});

const regressions = join(import.meta.dirname, '../test/regressions');

async function one(scenario: Scenario, trace: boolean): Promise<boolean> {
  const outcome = await simulate(scenario, trace);
  for (const line of outcome.trace) process.stdout.write(line);
  const {transactions, faults, messages, virtualMs, hash} = outcome;
  const wrong = judge(outcome);
  if (trace || wrong !== undefined) {
    console.log({seed: scenario.seed, wrong, transactions, faults, messages, virtualSeconds: virtualMs / 1000, hash});
  }
  return wrong === undefined;
}

async function keep(seed: number): Promise<void> {
  const {violation} = await simulate(scenarioOf(seed));
  if (violation === undefined) return;
  const small = await shrink(scenarioOf(seed), violation.rule, line => console.log(line));
  const file = join(regressions, `seed-${seed}.json`);
  await mkdir(regressions, {recursive: true});
  await writeFile(file, `${JSON.stringify({note: violation.message, ...small}, undefined, 2)}\n`);
  console.log(`kept as ${file}: rename it after what it shows`);
}

async function range(from: number, count: number): Promise<number> {
  let wrong = 0;
  const started = performance.now();
  for (let seed = from; seed < from + count; seed++) {
    if (!(await one(scenarioOf(seed), false))) {
      wrong++;
      if (values.shrink) await keep(seed);
    }
    const done = seed + 1 - from;
    if (done % 1000 === 0) {
      const perSeed = ((performance.now() - started) / done).toFixed(0);
      console.log(`seeds ${from} to ${seed}: ${wrong} wrong, ${perSeed} ms each`);
    }
  }
  return wrong;
}

/** One process after the other in each job: after some ten thousand seeds a process takes twice as long for each. */
const SEEDS_PER_PROCESS = 2500;

/** Returns how many processes have failed. */
async function parallel(from: number, count: number, jobs: number): Promise<number> {
  const share = Math.min(SEEDS_PER_PROCESS, Math.ceil(count / jobs));
  const end = from + count;
  let next = from;
  let failed = 0;
  const job = async (): Promise<void> => {
    while (next < end) {
      const first = next;
      next = Math.min(end, first + share);
      if ((await rangeElsewhere(first, next - first)) !== 0) failed++;
    }
  };
  await Promise.all(Array.from({length: jobs}, job));
  return failed;
}

async function rangeElsewhere(from: number, count: number): Promise<number> {
  const arguments_ = ['--import', 'tsx', import.meta.filename, '--from', String(from), '--seeds', String(count)];
  if (!values.shrink) arguments_.push('--no-shrink');
  const [code] = (await once(spawn(process.execPath, arguments_, {stdio: 'inherit'}), 'exit')) as [number | null];
  return code ?? 1;
}

if (values.file !== undefined) {
  const scenario = JSON.parse(await readFile(values.file, 'utf8')) as Scenario;
  const {violation, trace} = await simulate(scenario, values.trace);
  for (const line of trace) process.stdout.write(line);
  console.log(violation?.message ?? 'nothing wrong');
  process.exitCode = violation === undefined ? 0 : 1;
} else if (values.seed !== undefined) {
  const seed = Number(values.seed);
  if (!(await one(scenarioOf(seed), values.trace))) {
    if (values.shrink) await keep(seed);
    process.exitCode = 1;
  }
} else {
  const [from, count] = [Number(values.from), Number(values.seeds)];
  const jobs = Math.max(1, Number(values.jobs) || 1);
  const alone = jobs === 1 && count <= SEEDS_PER_PROCESS;
  const wrong = await (alone ? range(from, count) : parallel(from, count, jobs));
  console.log(wrong === 0 ? `${count} seeds from ${from} on: nothing wrong` : 'SOMETHING IS WRONG');
  process.exitCode = wrong === 0 ? 0 : 1;
}
