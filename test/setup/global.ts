import type {TestProject} from 'vitest/node';
import {KafkaCluster} from '../../scripts/kafka/broker.ts';
import {PostgresServer} from '../../scripts/postgres/server.ts';
import {buildProgram} from './program.ts';

/**
 * Builds the program, starts the services that the files of this run need, once per run, and stops them after it. The file names say
 * what is needed. A variable that is set already (see `npm run services`) names a service to use instead.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const files = await filesOfThisRun(project);
  const needsKafka = files.some(file => file.endsWith('.kafka.test.ts'));
  // What goes to Kafka comes out of a PostgreSQL.
  const needsPostgres = needsKafka || files.some(file => file.endsWith('.pg.test.ts'));

  const started: AsyncDisposable[] = [];
  const stop = async () => {
    await Promise.all(started.map(service => service[Symbol.asyncDispose]()));
  };
  const provide = async <T extends AsyncDisposable>(
    name: string,
    start: () => Promise<T>,
    address: (it: T) => string,
  ) => {
    if (process.env[name]) return;
    // The workers inherit our environment.
    const service = await start();
    started.push(service);
    process.env[name] = address(service);
  };
  try {
    if (needsPostgres) {
      // With it they start what users start.
      await buildProgram();
      const url = (server: PostgresServer) => server.url;
      await provide('SLUICE_TEST_POSTGRES', () => PostgresServer.start(), url);
      await provide('SLUICE_TEST_POSTGRES_15', () => PostgresServer.start({version: 15}), url);
    }
    if (needsKafka) {
      await provide(
        'SLUICE_TEST_KAFKA',
        () => KafkaCluster.start(),
        cluster => cluster.address,
      );
    }
  } catch (error) {
    await stop();
    throw error;
  }
  return stop;
}

/** In watch mode the next run may need anything, so all files count. */
async function filesOfThisRun(project: TestProject): Promise<string[]> {
  const {vitest} = project;
  const filters = vitest.config.watch ? undefined : (vitest as {filenamePattern?: string[]}).filenamePattern;
  const specifications = await vitest.globTestSpecifications(filters);
  return specifications.map(specification => specification.moduleId);
}
