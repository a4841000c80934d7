import {parseArgs} from 'node:util';
import {fuzz} from './fuzz.ts';
import {smallestRange} from './smallest-range.ts';
import type {SessionRange} from './smallest-range.ts';

/**
 * `npm run fuzz -- --sessions N --seed S [--first I]`: as the test does, as long as wanted. With `--bisect` a run that fails at its end is
 * narrowed down to the sessions that it takes.
 */
const {values} = parseArgs({
  options: {
    sessions: {type: 'string', default: '10000000'},
    seed: {type: 'string'},
    first: {type: 'string', default: '0'},
    bisect: {type: 'boolean', default: false},
  },
});
const seed = Number(values.seed ?? Date.now() % 2 ** 31);
const range: SessionRange = {first: Number(values.first), sessions: Number(values.sessions)};
const say = (line: string) => process.stdout.write(`${line}\n`);
const write = ({first, sessions}: SessionRange) => `--seed ${seed} --first ${first} --sessions ${sessions}`;

async function fails(part: SessionRange): Promise<boolean> {
  try {
    await fuzz({...part, seed});
    say(`${write(part)}: good`);
    return false;
  } catch (error) {
    say(`${write(part)}: ${error instanceof Error ? error.message : String(error)}`);
    return true;
  }
}

say(`seed ${seed}`);
if (!values.bisect) say(JSON.stringify(await fuzz({...range, seed, report: say})));
else if (await fails({...range, sessions: 0})) say('fails without any of them');
else if (await fails(range)) say(`npm run fuzz -- ${write(await smallestRange(range, fails))}`);
// TLS sockets of ours that were cut off in their handshake may keep their descriptors, and Node.js would wait for them.
process.exit();
