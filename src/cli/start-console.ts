import type {Logger} from 'pino';
import type {ListenAddress} from '../base/options.ts';
import type {ClusterSupervisor} from '../cluster/supervisor.ts';
import {connectConsole} from '../console/connect-console.ts';
import {ConsoleServer} from '../console/console-server.ts';
import type {EngineAddress} from '../engine/address.ts';
import type {Closers} from './shutdown.ts';
import {VERSION} from './version.ts';

export interface StartConsole {
  readonly listen: ListenAddress;
  readonly engine: EngineAddress;
  readonly supervisor: ClusterSupervisor;
  /** Clients of the gateways; undefined where there is none. */
  readonly sessions: () => number | undefined;
  /** Name of the one cluster that this process runs. */
  readonly only?: string | undefined;
  readonly log: Logger;
  readonly closers: Closers;
}

/** `/metrics` and `/healthz`, from before the clusters start until after they have ended. */
export async function startConsole(options: StartConsole): Promise<void> {
  const {listen, engine, supervisor, sessions, only, log, closers} = options;
  const console = new ConsoleServer({
    listen,
    log,
    version: VERSION,
    connect: limitMs => connectConsole(engine, limitMs),
    workers: () => supervisor.workers,
    sessions,
    only,
  });
  closers.add('metrics', () => console.close());
  log.info(await console.listen(), 'metrics and health are served');
}
