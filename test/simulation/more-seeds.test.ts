import {test} from 'vitest';
import {checkSeeds} from './check-seeds.ts';

// The other half is in seeds.test.ts.
test.each([501, 626, 751, 876])(
  '125 seeds from %i on: every topic is its history, once and in order',
  {timeout: 600_000},
  async from => {
    await checkSeeds(from, 125);
  },
);
