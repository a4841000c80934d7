import {mkdir} from 'node:fs/promises';
import {join, resolve} from 'node:path';
import type {Logger} from 'pino';
import type {Config, ListenAddress} from '../base/options.ts';
import {SqlError} from '../base/sql-error.ts';
import {AesSecretBox} from '../catalog/aes-secret-box.ts';
import {migrate} from '../catalog/migrate.ts';
import type {SecretKeys} from '../catalog/secret-key.ts';
import {ensureSecretKeys} from '../catalog/secret-key-file.ts';
import {grantSettings} from '../catalog/setting-grants.ts';
import {ClusterSupervisor} from '../cluster/supervisor.ts';
import type {EngineAddress} from '../engine/address.ts';
import {checkAttached, parseEngineUrl} from '../engine/attached.ts';
import {ensureAnnouncements} from '../changes/announcements.ts';
import {readServerSearchPath} from '../engine/attached-search-path.ts';
import {connect} from '../engine/connect.ts';
import {EngineSupervisor} from '../engine/embedded.ts';
import {FileLock} from '../engine/file-lock.ts';
import {DEFAULT_USER} from '../engine/server-settings.ts';
import {GatewayServer} from '../gateway/gateway-server.ts';
import {planStatement} from '../statements/plan.ts';
import {openClientTls, reloadOnHangup} from './client-encryption.ts';
import type {START_OPTIONS} from './command-options.ts';
import {hostInUrl, isLoopback, resolveListenAddress, resolveLoopbackAddress} from './listen-address.ts';
import {idsOf, secretKeyPlace, secretKeysAt, warnOfMissingKeys} from './secret-keys.ts';
import {startConsole} from './start-console.ts';
import {aborted, Closers} from './shutdown.ts';
import {VERSION} from './version.ts';

const SESSION_GRACE_MS = 2_000;

export interface Start {
  readonly config: Config<typeof START_OPTIONS>;
  readonly log: Logger;
  /** Aborted: everything is closed, in order. */
  readonly signal: AbortSignal;
  /** Called once, when clients can connect. */
  readonly ready: (where: Addresses) => void;
}

/** URLs for clients, without a password. */
export interface Addresses {
  readonly url: string;
  /** Where administrators connect, if they can. */
  readonly internalUrl: string | undefined;
}

/** Engine, state, clusters, gateway; says where clients connect, and runs until `signal` is aborted. */
export async function start({config, log, signal, ready}: Start): Promise<void> {
  const tls = openClientTls(config['tls-cert'], config['tls-key']);
  // An attached PostgreSQL has its own rules, and the gateway refuses from elsewhere whom it asks for no password.
  const protection = {
    tls: tls !== undefined,
    passwords: config.password !== undefined || config.postgres !== undefined,
  };
  const listen = await resolveListenAddress('listen', config.listen, protection);
  const internal = config['internal-listen'];
  const internalListen = internal && (await resolveListenAddress('internal-listen', internal, protection));
  const metrics = config['metrics-listen'];
  const metricsListen = metrics && (await resolveLoopbackAddress('metrics-listen', metrics));
  const dataDir = resolve(config['data-dir']);
  const closers = new Closers(log);
  try {
    if (tls !== undefined) reloadOnHangup(tls, log, closers);
    const engine = await startEngine({config, log, signal, dataDir, closers});
    const secretKeys = openSecretKeys(config);
    await prepareState(engine, config.postgres === undefined, secretKeys, log);
    const supervisor = new ClusterSupervisor({
      engine,
      dataDir,
      log,
      logFormat: config['log-format'],
      runsNone: config.clusters === 'none',
    });
    await prepareAnnouncements(engine);
    const gateways: GatewayServer[] = [];
    if (metricsListen !== undefined) {
      const sessions = () => gateways.reduce((sum, gateway) => sum + gateway.sessions, 0);
      await startConsole({listen: metricsListen, engine, supervisor, sessions, log, closers});
    }
    closers.add('clusters', () => supervisor.stop());
    await supervisor.start();

    const secrets = new AesSecretBox(secretKeys);
    const searchPath = await readServerSearchPath(engine);
    const serve = async (address: typeof listen, takesAdministrators: boolean) => {
      const gateway = new GatewayServer({
        engine,
        listen: address,
        log,
        plan: planStatement,
        secrets,
        connectControl: () =>
          connect(engine, {applicationName: 'sluice gateway', settings: {plan_cache_mode: 'force_generic_plan'}}),
        tls,
        isTrusted: isLoopback,
        takesAdministrators,
        searchPath,
        version: VERSION,
      });
      gateways.push(gateway);
      closers.add('gateway', () => gateway.close(SESSION_GRACE_MS));
      return await gateway.listen();
    };
    const urlOf = ({host, port}: ListenAddress, user = '') =>
      `postgres://${user}${hostInUrl(host)}:${port}/${engine.database}`;
    let internalUrl: string | undefined;
    if (internalListen !== undefined) {
      const address = await serve(internalListen, true);
      log.info(address, 'administrators can connect');
      internalUrl = urlOf(address);
    }
    const user = config.postgres === undefined ? `${DEFAULT_USER}@` : '';
    ready({url: urlOf(await serve(listen, false), user), internalUrl});
    await aborted(signal);
    log.info('shutting down');
  } finally {
    await closers.close();
  }
}

function openSecretKeys(config: Start['config']): SecretKeys {
  const place = secretKeyPlace(config);
  if (place.kind === 'file') ensureSecretKeys(place.path);
  return secretKeysAt(place);
}

interface StartEngine {
  readonly config: Config<typeof START_OPTIONS>;
  readonly log: Logger;
  readonly signal: AbortSignal;
  readonly dataDir: string;
  readonly closers: Closers;
}

async function startEngine({config, log, signal, dataDir, closers}: StartEngine): Promise<EngineAddress> {
  if (config.postgres === undefined) {
    const engine = await EngineSupervisor.start({dataDir, password: config.password, log, signal});
    closers.add('engine', () => engine.stop());
    return engine.address;
  }
  if (config.password !== undefined) {
    throw new SqlError('22023', '--password cannot be given together with --postgres', {
      detail: 'The users of your own PostgreSQL log in with the passwords that it knows.',
      hint: 'Put the password of Sluice itself into the URL or into PGPASSWORD.',
    });
  }
  await mkdir(dataDir, {recursive: true, mode: 0o700});
  const lock = await FileLock.acquire(join(dataDir, 'lock'));
  if (!(lock instanceof FileLock)) {
    throw new SqlError('55006', `data directory "${dataDir}" is in use by another sluice`, {
      hint: 'Stop it first, or choose another directory with --data-dir.',
    });
  }
  closers.add('data directory', () => Promise.resolve(lock.release()));
  const engine = parseEngineUrl(config.postgres, process.env);
  for (const warning of await checkAttached(engine)) log.warn(warning);
  return engine;
}

async function prepareState(
  engine: EngineAddress,
  embedded: boolean,
  secretKeys: SecretKeys,
  log: Logger,
): Promise<void> {
  const client = await connect(engine, {applicationName: 'sluice migration'});
  try {
    await migrate(client);
    if (embedded) await grantSettings(client);
    await warnOfMissingKeys(client, idsOf(secretKeys), log);
  } finally {
    await client.end();
  }
}

/** Before the first sink, so that a superuser can make the event triggers that our role may not make. */
async function prepareAnnouncements(engine: EngineAddress): Promise<void> {
  const client = await connect(engine, {applicationName: 'sluice migration'});
  try {
    await ensureAnnouncements(client);
  } finally {
    await client.end();
  }
}
