import type {Logger} from 'pino';

/** What was started is closed in reverse order; one that fails to close does not keep the others open. */
export class Closers {
  readonly #closers: {readonly name: string; readonly close: () => Promise<void>}[] = [];
  readonly #log: Logger;

  constructor(log: Logger) {
    this.#log = log;
  }

  add(name: string, close: () => Promise<void>): void {
    this.#closers.push({name, close});
  }

  async close(): Promise<void> {
    for (const {name, close} of this.#closers.splice(0).reverse()) {
      try {
        await close();
      } catch (error) {
        this.#log.error({err: error}, `could not close the ${name}`);
      }
    }
  }
}

/**
 * Aborted by the first SIGTERM, SIGINT or SIGHUP, the last only if a hangup `ends` the process. A second one ends it at once; the next
 * start takes over what is left.
 */
export function shutdownSignal(hangup: 'ends' | 'reloads' = 'ends'): AbortSignal {
  const controller = new AbortController();
  const names = ['SIGTERM', 'SIGINT', 'SIGHUP'] as const;
  for (const name of names.filter(name => name !== 'SIGHUP' || hangup === 'ends')) {
    process.on(name, () => {
      if (controller.signal.aborted) process.exit(1);
      controller.abort();
    });
  }
  return controller.signal;
}

/**
 * For work that has something to finish: the first SIGTERM, SIGINT or SIGHUP aborts `stop`, the second `abandon`, and the third ends
 * the process at once.
 */
export function interruptions(): {readonly stop: AbortSignal; readonly abandon: AbortSignal} {
  const stop = new AbortController();
  const abandon = new AbortController();
  for (const name of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    process.on(name, () => {
      if (abandon.signal.aborted) process.exit(1);
      (stop.signal.aborted ? abandon : stop).abort();
    });
  }
  return {stop: stop.signal, abandon: abandon.signal};
}

export async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise<void>(resolve => {
    signal.addEventListener('abort', () => resolve(), {once: true});
  });
}
