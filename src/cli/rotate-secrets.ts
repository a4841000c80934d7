import type pg from 'pg';
import type {Config} from '../base/options.ts';
import {SqlError} from '../base/sql-error.ts';
import {AesSecretBox} from '../catalog/aes-secret-box.ts';
import {keyUses, resealSecrets} from '../catalog/sealed-secrets.ts';
import {newSecretKey} from '../catalog/secret-key.ts';
import type {SecretKeys} from '../catalog/secret-key.ts';
import {replaceSecretKeys} from '../catalog/secret-key-file.ts';
import {parseEngineUrl} from '../engine/attached.ts';
import {connect} from '../engine/connect.ts';
import {isConnectionError} from '../engine/connection-errors.ts';
import {runningEngine} from '../engine/running-engine.ts';
import type {SECRETS_OPTIONS} from './command-options.ts';
import {idsOf, requireKeys, secretKeyPlace, secretKeysAt} from './secret-keys.ts';
import type {SecretKeyPlace} from './secret-keys.ts';

export interface SecretsCommand {
  readonly config: Config<typeof SECRETS_OPTIONS>;
  readonly out: {write(text: string): unknown};
}

/** Advisory lock that lets one rotation at a time change the file: "sluicesk" in ASCII. */
const ROTATION_LOCK = '8317426476498645867';

/**
 * Gives secrets another key: writes a new one in front of those of the file, then encrypts every secret again in one transaction. What was
 * killed in between is finished by the next call, which finds secrets of another key than the first and makes no new one. Keys that
 * are given by the environment are the caller's to change; then only the second step is left.
 */
export async function rotateSecrets({config, out}: SecretsCommand): Promise<void> {
  const place = secretKeyPlace(config);
  const keys = secretKeysAt(place);
  await withEngine(config, async client => {
    await client.query('SELECT pg_advisory_lock($1)', [ROTATION_LOCK]);
    const uses = await keyUses(client);
    requireKeys(uses, idsOf(keys));
    const unfinished = uses.some(({key}) => key !== keys()[0].id);
    if (!unfinished) makeCurrent(place, keys, uses.length > 0);
    const current = keys()[0].id;
    const count = await resealSecrets(client, new AesSecretBox(keys), current);
    out.write(`key ${current} encrypts from now on; ${count} secrets were encrypted again\n`);
  });
  await listSecretKeys({config, out});
}

/** Prints every key that is here or that a secret needs, and how many secrets need it. */
export async function listSecretKeys({config, out}: SecretsCommand): Promise<void> {
  const here = secretKeysAt(secretKeyPlace(config))().map(({id}) => id);
  const uses = await withEngine(config, keyUses);
  const secretsOf = (id: string) => uses.find(({key}) => key === id)?.secrets ?? 0;
  const lines = here.map((id, at) => `${id}  ${at === 0 ? 'encrypts' : 'decrypts'}  ${secretsOf(id)} secrets`);
  const missing = uses
    .filter(({key}) => !here.includes(key))
    .map(({key, secrets}) => `${key}  missing   ${secrets} secrets`);
  out.write(`${[...lines, ...missing].join('\n')}\n`);
}

function makeCurrent(place: SecretKeyPlace, keys: SecretKeys, inUse: boolean): void {
  if (place.kind === 'file') return replaceSecretKeys(place.path, [newSecretKey(), ...keys()]);
  if (!inUse) return;
  throw new SqlError('55000', 'all secrets are encrypted with the first of the given keys', {
    hint: 'Put a new key in front of SLUICE_SECRET_KEY, with a comma between them, for every process of Sluice; then run this again.',
  });
}

async function withEngine<T>(
  config: Config<typeof SECRETS_OPTIONS>,
  work: (client: pg.Client) => Promise<T>,
): Promise<T> {
  const engine =
    config.postgres === undefined ? runningEngine(config['data-dir']) : parseEngineUrl(config.postgres, process.env);
  const client = await connect(engine, {applicationName: 'sluice secrets'}).catch((cause: unknown) => {
    if (config.postgres !== undefined || !isConnectionError(cause)) throw cause;
    throw new SqlError('55000', `no Sluice runs on "${config['data-dir']}"`, {
      cause,
      hint: 'Start it first; a rotation needs its PostgreSQL.',
    });
  });
  try {
    return await work(client);
  } finally {
    await client.end();
  }
}
