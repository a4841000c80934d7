import {setTimeout as sleep} from 'node:timers/promises';
import type {Logger} from 'pino';
import {tuned} from '../base/tuning.ts';
import {keyUses} from '../catalog/sealed-secrets.ts';
import type {KeyUse} from '../catalog/sealed-secrets.ts';
import type {EngineAddress} from '../engine/address.ts';
import {answerWithin, DEAD_MS} from '../engine/answer-within.ts';
import {connect} from '../engine/connect.ts';
import {isConnectionError} from '../engine/connection-errors.ts';
import {endClient} from '../engine/end-client.ts';
import {requireKeys} from './secret-keys.ts';

const {keysLookMs} = tuned({keysLookMs: 15_000});

export interface WatchSecretKeys {
  readonly engine: EngineAddress;
  /** Ids of the keys that are here now. Throws where they cannot be read. */
  readonly here: () => readonly string[];
  readonly log: Logger;
  readonly signal: AbortSignal;
}

/**
 * Until `signal` is aborted: says once, each time it begins, that a secret needs a key which is not here, because a rotation elsewhere has
 * used another one or because somebody has taken it away. What runs goes on.
 */
export async function watchSecretKeys({engine, here, log, signal}: WatchSecretKeys): Promise<void> {
  let said: string | undefined;
  for (;;) {
    await sleep(keysLookMs, undefined, {signal}).catch(() => undefined);
    if (signal.aborted) return;
    try {
      requireKeys(await readKeyUses(engine), here());
      said = undefined;
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      // Others say that PostgreSQL is away.
      if (isConnectionError(error) || message === said) continue;
      said = message;
      log.error({err: error}, 'secrets cannot be read here any more');
    }
  }
}

/** Which keys the secrets in this PostgreSQL need. */
export async function readKeyUses(engine: EngineAddress): Promise<KeyUse[]> {
  const client = await connect(engine, {applicationName: 'sluice cluster'});
  try {
    return await answerWithin(DEAD_MS, keyUses(client));
  } finally {
    await endClient(client);
  }
}
