import {once} from 'node:events';
import http from 'node:http';
import type {AddressInfo} from 'node:net';
import type pg from 'pg';
import type {Logger} from 'pino';
import {collectDefaultMetrics, Registry} from 'prom-client';
import {EngineProbe} from './engine-probe.ts';
import {healthOf} from './health.ts';
import {renderMetrics} from './metrics.ts';
import {processUsage} from './process-usage.ts';

/** A worker process of this machine. */
export interface WorkerProcess {
  /** Name of its cluster. */
  readonly cluster: string;
  readonly restarts: number;
  /** Undefined: between two lives. */
  readonly pid: number | undefined;
}

export interface ConsoleOptions {
  /** Port 0: any free one. */
  readonly listen: {readonly host: string; readonly port: number};
  readonly log: Logger;
  readonly version: string;
  /** A connection of Sluice's own role; `timeoutMs` is how long it may take. */
  readonly connect: (timeoutMs: number) => Promise<pg.Client>;
  readonly workers: () => readonly WorkerProcess[];
  /** Clients of the gateway; undefined where there is none. */
  readonly sessions: () => number | undefined;
  /** Name of the one cluster that this process runs; undefined = all of them. */
  readonly only?: string | undefined;
  /** Default 3 s: less than half of what Prometheus waits. */
  readonly limitMs?: number | undefined;
}

const LIMIT_MS = 3_000;
const TEXT = 'text/plain; charset=utf-8';

interface Answer {
  readonly status: number;
  readonly type: string;
  readonly body: string;
}

/**
 * `/metrics` and `/healthz` over plain HTTP, for machines that watch. It says nothing that a secret depends on, but names and sizes, so
 * it listens where its caller allows only: who calls decides which addresses are fit.
 */
export class ConsoleServer {
  readonly #options: ConsoleOptions;
  readonly #server: http.Server;
  readonly #probe: EngineProbe;
  /** Of this process: CPU, memory, event loop, garbage collection. */
  readonly #process = new Registry();

  constructor(options: ConsoleOptions) {
    this.#options = options;
    const {connect, log, limitMs = LIMIT_MS} = options;
    this.#probe = new EngineProbe({connect: () => connect(limitMs), limitMs, log});
    collectDefaultMetrics({register: this.#process});
    this.#server = http.createServer((request, response) => void this.#serve(request, response));
    this.#server.maxConnections = 100;
  }

  /** Resolves when requests are answered. Throws the errors of listen(2). */
  async listen(): Promise<{host: string; port: number}> {
    this.#server.listen(this.#options.listen);
    await once(this.#server, 'listening');
    const {address: host, port} = this.#server.address() as AddressInfo;
    return {host, port};
  }

  async close(): Promise<void> {
    const closed = new Promise<void>(resolve => this.#server.close(() => resolve()));
    this.#server.closeAllConnections();
    this.#probe.close();
    await closed;
    this.#process.clear();
  }

  async #serve(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    let answer: Answer;
    try {
      answer = await this.#answer(request);
    } catch (error) {
      this.#options.log.error({err: error}, 'a request for metrics or health failed');
      answer = {status: 500, type: TEXT, body: 'internal error, see the log\n'};
    }
    response.writeHead(answer.status, {
      'content-type': answer.type,
      'content-length': Buffer.byteLength(answer.body),
      'cache-control': 'no-store',
    });
    response.end(request.method === 'HEAD' ? undefined : answer.body);
  }

  async #answer({method, url = '/'}: http.IncomingMessage): Promise<Answer> {
    if (method !== 'GET' && method !== 'HEAD') return {status: 405, type: TEXT, body: 'only GET and HEAD\n'};
    switch (url.replace(/\?.*$/, '')) {
      case '/metrics':
        return {status: 200, type: this.#process.contentType, body: await this.#metrics()};
      case '/healthz': {
        const health = healthOf(await this.#probe.ask(), this.#options.only);
        const status = health.status === 'ok' ? 200 : 503;
        return {status, type: 'application/json', body: `${JSON.stringify(health)}\n`};
      }
      default:
        return {status: 404, type: TEXT, body: 'there is /metrics and /healthz\n'};
    }
  }

  async #metrics(): Promise<string> {
    const {version, sessions} = this.#options;
    const workers = this.#options.workers().map(async ({cluster, restarts, pid}) => {
      return {cluster, restarts, usage: pid === undefined ? undefined : await processUsage(pid)};
    });
    const observation = {
      version,
      answer: await this.#probe.ask(),
      stalls: this.#probe.stalls,
      sessions: sessions(),
      workers: await Promise.all(workers),
    };
    return `${await renderMetrics(observation)}\n${await this.#process.metrics()}`;
  }
}
