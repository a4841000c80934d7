import type {Fault, Scenario} from './scenario.ts';
import {simulate} from './simulate.ts';

/**
 * The smallest scenario that still breaks the same rule: fewer faults, fewer transactions, fewer sinks. Everything else of a run
 * follows from the seed, so every attempt is a new history and may show the same thing earlier or not at all.
 */
export async function shrink(scenario: Scenario, rule: string, tell: (line: string) => void): Promise<Scenario> {
  let best = scenario;
  const breaks = async (candidate: Scenario): Promise<boolean> => {
    const {violation} = await simulate(candidate);
    if (violation?.rule !== rule) return false;
    best = candidate;
    tell(
      `${candidate.transactions} transactions, ${candidate.faults.length} faults, ${candidate.sinks.length} sinks: ${violation.message}`,
    );
    return true;
  };
  for (let before = ''; before !== JSON.stringify(best);) {
    before = JSON.stringify(best);
    while (best.transactions > 1 && (await breaks({...best, transactions: Math.floor(best.transactions / 2)})));
    for (const sink of best.sinks) {
      if (best.sinks.length > 1) await breaks({...best, sinks: best.sinks.filter(other => other !== sink)});
    }
    for (let size = Math.ceil(best.faults.length / 2); size >= 1; size = size === 1 ? 0 : Math.ceil(size / 2)) {
      for (let at = 0; at < best.faults.length;) {
        const faults: readonly Fault[] = best.faults.filter((_, i) => i < at || i >= at + size);
        if (!(await breaks({...best, faults}))) at += size;
      }
    }
  }
  return best;
}
