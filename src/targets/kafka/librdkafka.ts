import kafka from '@confluentinc/kafka-javascript';
import type {Logger} from 'pino';

/** How the library calls back: an error or none (undefined or null), and a result where the call has one. */
export type Done<T> = (error: unknown, result?: T) => void;

export function promised<T = void>(start: (done: Done<T>) => void): Promise<T> {
  return new Promise((resolve, reject) => {
    start((error, result) => {
      if (error === undefined || error === null) resolve(result as T);
      else reject(error instanceof Error ? error : new Error('the kafka client failed', {cause: error}));
    });
  });
}

interface Emitter {
  on(event: 'event.error' | 'event.log', listener: (event: unknown) => void): unknown;
}

/** syslog's: what is at least as grave as an error. */
const SEVERITY_ERROR = 3;

/**
 * What happens between the calls. `event.error` always carries the code -1, so nothing may be decided by it; it goes to
 * the log, and `last` keeps its text to explain a time-out. While a client connects there are only log events.
 */
export class ClientEvents {
  last: string | undefined;

  constructor(client: Emitter, log?: Logger) {
    client.on('event.error', event => {
      this.last = (event as Error).message;
      log?.info({kafka: this.last}, 'kafka client reports');
    });
    client.on('event.log', event => {
      const {severity, fac, message} = event as {severity: number; fac: string; message: string};
      if (severity <= SEVERITY_ERROR) this.last = message;
      log?.debug({kafka: message, facility: fac}, 'kafka client logs');
    });
  }

  /** Gives an error that only says "time-out" or "transport failure" its reason. */
  explain(error: unknown): unknown {
    if (error instanceof Error && this.last !== undefined) error.cause = new Error(this.last);
    return error;
  }
}

// A CommonJS module whose exports are computed: named imports would find nothing.
export const {Producer, KafkaConsumer, AdminClient, IsolationLevel, OffsetSpec, features} = kafka;
