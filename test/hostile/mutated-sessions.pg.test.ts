import {expect, test} from 'vitest';
import {fuzz} from './fuzz.ts';

const SESSIONS = Number(process.env['SLUICE_FUZZ_SESSIONS'] ?? 100_000);
const SEED = Number(process.env['SLUICE_FUZZ_SEED'] ?? Date.now() % 2 ** 31);

test(`${SESSIONS} mutated sessions of seed ${SEED} harm nobody`, async () => {
  const {sessionsPerSecond} = await fuzz({first: 0, sessions: SESSIONS, seed: SEED});
  expect(sessionsPerSecond).toBeGreaterThan(0);
}, 1_800_000);
