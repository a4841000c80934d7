import {test} from 'vitest';
import {checkSeeds} from './check-seeds.ts';

// The other half is in more-seeds.test.ts, so that two cores share the work.
test.each([1, 126, 251, 376])(
  '125 seeds from %i on: every topic is its history, once and in order',
  {timeout: 600_000},
  async from => {
    await checkSeeds(from, 125);
  },
);
