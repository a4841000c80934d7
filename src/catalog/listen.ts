import type pg from 'pg';

/** What the catalog's functions notify on. Anybody may send there, so a message says no more than "look". */
const CHANNEL = 'mz_sluice_catalog';

export interface CatalogChanges {
  /**
   * Resolves after a change of the catalog since the last call, after `timeoutMs`, or when `signal` is aborted.
   * Rejects when the connection is lost.
   */
  next(timeoutMs: number, signal: AbortSignal): Promise<void>;
}

/** From now on `client` hears of changes that are committed. */
export async function listenForChanges(client: pg.Client): Promise<CatalogChanges> {
  let changed = false;
  let lost: Error | undefined;
  let wake: (() => void) | undefined;
  client.on('notification', ({channel}) => {
    if (channel !== CHANNEL) return;
    changed = true;
    wake?.();
  });
  const onLoss = (error?: Error) => {
    lost ??= error ?? new Error('connection to PostgreSQL has ended');
    wake?.();
  };
  client.on('error', onLoss);
  client.on('end', onLoss);
  await client.query(`LISTEN ${CHANNEL}`);

  return {
    async next(timeoutMs, signal) {
      if (!changed && !lost && !signal.aborted) {
        await new Promise<void>(resolve => {
          const done = () => {
            clearTimeout(timer);
            signal.removeEventListener('abort', done);
            wake = undefined;
            resolve();
          };
          const timer = setTimeout(done, timeoutMs);
          signal.addEventListener('abort', done);
          wake = done;
        });
      }
      changed = false;
      if (lost) throw lost;
    },
  };
}
