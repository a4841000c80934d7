import {defineConfig} from 'vitest/config';
import {BaseSequencer, type TestSpecification} from 'vitest/node';

/** Files that take a minute or more, the longest first. Begun late, one of them would be what the whole run waits for in the end. */
const LONG = [
  'test/crash/crash.',
  'test/hostile/mutated-sessions.',
  'test/faults/network.',
  'test/engine/embedded.',
  'test/changes/replication-stream.',
];

/** A machine that has not run the tests yet knows nothing but their sizes, and the longest ones are short. */
class LongFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rank = ({moduleId}: TestSpecification) => {
      const at = LONG.findIndex(name => moduleId.includes(name));
      return at < 0 ? LONG.length : at;
    };
    return (await super.sort(files)).sort((a, b) => rank(a) - rank(b));
  }
}

// Two workers: the real PostgreSQL and Kafka that the tests start share two cores with us.
export default defineConfig({
  test: {
    include: ['src/**/*.test.ts', 'test/**/*.test.ts'],
    globalSetup: ['test/setup/global.ts'],
    sequence: {sequencer: LongFirst},
    testTimeout: 120_000,
    hookTimeout: 120_000,
    pool: 'forks',
    maxWorkers: 2,
    passWithNoTests: false,
  },
});
