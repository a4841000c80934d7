import {readdirSync, readFileSync} from 'node:fs';
import {join} from 'node:path';
import {expect, test} from 'vitest';
import type {Scenario} from '../simulation/scenario.ts';
import {simulate} from '../simulation/simulate.ts';

/** Simulated runs that have once shown something wrong, in this code or in one that was broken on purpose. */
const kept = readdirSync(import.meta.dirname).filter(name => name.endsWith('.json'));

test.each(kept)('%s stays right', async name => {
  const scenario = JSON.parse(readFileSync(join(import.meta.dirname, name), 'utf8')) as Scenario;
  expect((await simulate(scenario)).violation).toBeUndefined();
});
