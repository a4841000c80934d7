import {mkdir} from 'node:fs/promises';
import {resolve} from 'node:path';
import type {Logger} from 'pino';
import type {Config} from '../base/options.ts';
import {SqlError} from '../base/sql-error.ts';
import {ClusterSupervisor} from '../cluster/supervisor.ts';
import {checkAttached, parseEngineUrl} from '../engine/attached.ts';
import type {CLUSTER_OPTIONS} from './command-options.ts';
import {requireCluster} from './require-cluster.ts';
import {resolveLoopbackAddress} from './listen-address.ts';
import {requireKeys, secretKeyIdsAt, secretKeyPlace} from './secret-keys.ts';
import {aborted, Closers} from './shutdown.ts';
import {startConsole} from './start-console.ts';
import {readKeyUses, watchSecretKeys} from './watch-secret-keys.ts';

export interface RunCluster {
  readonly name: string;
  readonly config: Config<typeof CLUSTER_OPTIONS>;
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/** Runs the worker of one cluster until `signal` is aborted. The cluster's lease keeps it single, wherever else it runs. */
export async function runCluster({name, config, log, signal}: RunCluster): Promise<void> {
  if (config.postgres === undefined) {
    throw new SqlError('22023', '--postgres is missing', {hint: 'Give the URL of the PostgreSQL that Sluice runs on.'});
  }
  const metrics = config['metrics-listen'];
  const listen = metrics && (await resolveLoopbackAddress('metrics-listen', metrics));
  const engine = parseEngineUrl(config.postgres, process.env);
  for (const warning of await checkAttached(engine)) log.warn(warning);
  await requireCluster(engine, name);
  const dataDir = resolve(config['data-dir']);
  await mkdir(dataDir, {recursive: true, mode: 0o700});
  const place = secretKeyPlace(config);
  const here = () => secretKeyIdsAt(place);
  requireKeys(await readKeyUses(engine), here());
  const closers = new Closers(log);
  try {
    const supervisor = new ClusterSupervisor({engine, dataDir, log, logFormat: config['log-format'], only: name});
    if (listen !== undefined) {
      await startConsole({listen, engine, supervisor, sessions: () => undefined, only: name, log, closers});
    }
    closers.add('cluster', () => supervisor.stop());
    await supervisor.start();
    const watching = watchSecretKeys({engine, here, log, signal});
    closers.add('watch over keys', () => watching);
    await aborted(signal);
  } finally {
    await closers.close();
  }
}
