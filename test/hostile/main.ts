import {parseArgs} from 'node:util';
import {fuzz} from './fuzz.ts';

/** `npm run fuzz -- --sessions N --seed S [--first I]`: as the test does, as long as wanted. */
const {values} = parseArgs({
  options: {sessions: {type: 'string', default: '10000000'}, seed: {type: 'string'}, first: {type: 'string'}},
});
const seed = Number(values.seed ?? Date.now() % 2 ** 31);
process.stdout.write(`seed ${seed}\n`);
const result = await fuzz({
  sessions: Number(values.sessions),
  seed,
  first: Number(values.first ?? 0),
  report: line => process.stdout.write(`${line}\n`),
});
process.stdout.write(`${JSON.stringify(result)}\n`);
