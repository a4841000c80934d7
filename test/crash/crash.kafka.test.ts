import {expect, test} from 'vitest';
import {CRASH_POINTS} from '../../src/base/crash-point.ts';
import {CrashRun} from './crash-run.ts';

const seed = Number(process.env['SLUICE_CRASH_SEED'] ?? Date.now() % 1_000_000);
const randomKills = Number(process.env['SLUICE_CRASH_KILLS'] ?? 10);
const LIMIT_MS = 900_000 + randomKills * 30_000;

test(
  'a topic is what the ledger says after kills at every named point and at random',
  async () => {
    const result = await CrashRun.run({seed, randomKills, say: line => console.log(line)});
    console.log(
      `seed ${seed}: ${result.total} kills (${[...result.kills].map(([kind, n]) => `${kind} ${n}`).join(', ')}), ` +
        `${result.transactions} transactions, ${result.ledgerRows} ledger rows, ${result.messages} messages`,
    );
    console.log(`hits: ${[...result.hits].map(([point, n]) => `${point} ${n}`).join(', ')}`);
    expect(result.problems).toEqual([]);
    for (const point of Object.keys(CRASH_POINTS)) expect(result.hits.get(point), point).toBeGreaterThan(0);
    expect(result.total).toBeGreaterThanOrEqual(20);
    expect(result.messages).toBeGreaterThan(1000);
  },
  LIMIT_MS,
);
