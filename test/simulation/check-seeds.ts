import assert from 'node:assert';
import {scenarioOf} from './scenario.ts';
import {simulate, type Outcome} from './simulate.ts';

/** Every scenario has at least so much, or it proves too little. */
const LEAST = {transactions: 500, faults: 10};

/** Simulates the seeds and fails with the first one that shows something wrong, with the command that shows it again. */
export async function checkSeeds(from: number, count: number): Promise<void> {
  for (let seed = from; seed < from + count; seed++) {
    const outcome = await simulate(scenarioOf(seed));
    const wrong = judge(outcome);
    if (wrong !== undefined) assert.fail(`${wrong}\nnpm run simulate -- --seed ${seed} --trace`);
  }
}

/** What is wrong with a run; undefined = nothing. */
export function judge({violation, transactions, faults}: Outcome): string | undefined {
  if (violation !== undefined) return violation.message;
  if (transactions < LEAST.transactions) return `only ${transactions} transactions`;
  if (faults < LEAST.faults) return `only ${faults} faults`;
  return undefined;
}
