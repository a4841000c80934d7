import {execFile} from 'node:child_process';
import {appendFile} from 'node:fs/promises';
import {join} from 'node:path';
import {parseArgs, promisify} from 'node:util';
import {CrashRun} from '../test/crash/crash-run.ts';

/**
 * Kills a running Sluice a given number of times, in runs of their own servers and seed, each of which first kills it once at every named point:
 *
 *     npm run crash -- --kills 10000 [--random-kills-per-run 80] [--seed 4711]
 *
 * Every run that was right adds a line to test/crash/runs.jsonl. The first that was not ends the script and says its seed.
 */
const {values} = parseArgs({
  options: {
    kills: {type: 'string', default: '1000'},
    'random-kills-per-run': {type: 'string', default: '80'},
    seed: {type: 'string', default: String(Date.now() % 1_000_000)},
  },
});
const runs = join(import.meta.dirname, '../test/crash/runs.jsonl');
const wanted = Number(values.kills);
const randomKills = Number(values['random-kills-per-run']);

const {stdout: commit} = await promisify(execFile)('git', ['rev-parse', '--short', 'HEAD'], {
  cwd: import.meta.dirname,
});
for (let seed = Number(values.seed), killed = 0; killed < wanted; seed++) {
  const {kills, total, problems, transactions, ledgerRows, messages} = await CrashRun.run({
    seed,
    randomKills,
    say: line => console.log(line),
  });
  if (problems.length > 0) {
    console.error(problems.join('\n'));
    throw new Error(`a topic is not what the ledger says: npm run crash -- --seed ${seed}`);
  }
  killed += total;
  const counted = {sum: total, transactions, ledgerRows, messages, kills: Object.fromEntries(kills)};
  const line = {at: new Date().toISOString(), commit: commit.trim(), seed, randomKills, ...counted};
  await appendFile(runs, `${JSON.stringify(line)}\n`);
  console.log(`${killed} of ${wanted} kills: every topic was what its ledger says`);
}
