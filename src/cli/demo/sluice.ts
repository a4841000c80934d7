import type {Logger} from 'pino';
import pg from 'pg';
import {hostInUrl} from '../listen-address.ts';
import type {Closers} from '../shutdown.ts';
import {start} from '../start.ts';
import {parseEngineUrl} from '../../engine/attached.ts';
import {DEFAULT_DATABASE, DEFAULT_USER} from '../../engine/server-settings.ts';

const LOOPBACK = {host: '127.0.0.1', port: 0};

export interface StartSluice {
  readonly dataDir: string;
  /** URL of the user's own PostgreSQL. */
  readonly postgres: string | undefined;
  readonly log: Logger;
  readonly closers: Closers;
}

/** A Sluice in this process, as `sluice start` runs it, and how the demo connects to it: over the wire, like anybody. */
export class DemoSluice {
  /** For psql, without a password. */
  readonly url: string;
  /** Rejects when Sluice fails; resolves when it has been closed. */
  readonly ended: Promise<void>;
  readonly #config: pg.ClientConfig;

  private constructor(url: string, config: pg.ClientConfig, ended: Promise<void>) {
    this.url = url;
    this.#config = config;
    this.ended = ended;
  }

  static async start({dataDir, postgres, log, closers}: StartSluice): Promise<DemoSluice> {
    const user =
      postgres === undefined
        ? {user: DEFAULT_USER, database: DEFAULT_DATABASE, password: undefined}
        : parseEngineUrl(postgres, process.env);
    const closing = new AbortController();
    let ended!: Promise<void>;
    const where = await new Promise<{url: string; internalUrl: string | undefined}>((resolve, reject) => {
      ended = start({
        config: {
          'data-dir': dataDir,
          listen: LOOPBACK,
          // The user of a database of one's own is often a superuser, whom only this address takes.
          'internal-listen': postgres === undefined ? undefined : LOOPBACK,
          postgres,
          clusters: 'all',
          password: undefined,
          'secret-key': undefined,
          'secret-key-file': undefined,
          'tls-cert': undefined,
          'tls-key': undefined,
          'metrics-listen': undefined,
          'log-level': 'error',
          'log-format': 'auto',
        },
        log,
        signal: closing.signal,
        ready: resolve,
      });
      ended.catch(reject);
    });
    closers.add('sluice', async () => {
      closing.abort();
      await ended;
    });
    const {hostname, port} = new URL(where.internalUrl ?? where.url);
    const config = {
      host: hostname.replace(/^\[|\]$/g, ''),
      port: Number(port),
      user: user.user,
      database: user.database,
      // pg would look for a missing one in the environment and in ~/.pgpass.
      password: user.password ?? '',
    };
    const url = `postgres://${encodeURIComponent(user.user)}@${hostInUrl(config.host)}:${port}/${encodeURIComponent(user.database)}`;
    return new DemoSluice(url, config, ended);
  }

  async connect(applicationName: string, closers: Closers): Promise<pg.Client> {
    const client = new pg.Client({...this.#config, application_name: applicationName});
    // Without a listener the loss of an idle connection would end the process; the next query says it.
    client.on('error', () => undefined);
    await client.connect();
    closers.add('connection', () => client.end());
    return client;
  }
}
