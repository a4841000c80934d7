import {join, resolve} from 'node:path';
import type pg from 'pg';
import type {Logger} from 'pino';
import {SqlError} from '../base/sql-error.ts';
import {parseSecretKeys} from '../catalog/secret-key.ts';
import type {SecretKeys} from '../catalog/secret-key.ts';
import {readSecretKeys, secretKeysOfFile} from '../catalog/secret-key-file.ts';
import {keyUses} from '../catalog/sealed-secrets.ts';
import type {KeyUse} from '../catalog/sealed-secrets.ts';

export interface SecretKeyOptions {
  readonly 'secret-key': string | undefined;
  readonly 'secret-key-file': string | undefined;
  readonly 'data-dir': string;
}

/** Where the keys of secrets are: given, or in a file, by default beside the data that they protect, readable by nobody else. */
export type SecretKeyPlace =
  {readonly kind: 'given'; readonly text: string} | {readonly kind: 'file'; readonly path: string};

export function secretKeyPlace(options: SecretKeyOptions): SecretKeyPlace {
  const text = options['secret-key'];
  const file = options['secret-key-file'];
  if (text === undefined) return {kind: 'file', path: resolve(file ?? join(options['data-dir'], 'secret.key'))};
  if (file === undefined) return {kind: 'given', text};
  throw new SqlError('22023', '--secret-key and --secret-key-file cannot be given together', {
    hint: 'Put all keys into the file, or list them in SLUICE_SECRET_KEY with commas between them.',
  });
}

export function secretKeysAt(place: SecretKeyPlace): SecretKeys {
  if (place.kind === 'file') return secretKeysOfFile(place.path);
  const keys = parseSecretKeys(place.text, 'option secret-key');
  return () => keys;
}

/** The same where one can do without keys as long as no secret needs them. */
export function secretKeyIdsAt(place: SecretKeyPlace): string[] {
  if (place.kind === 'file' && readSecretKeys(place.path) === undefined) return [];
  return idsOf(secretKeysAt(place));
}

export const idsOf = (keys: SecretKeys): string[] => keys().map(({id}) => id);

/** Says which keys are missing, so that nobody finds out by a sink that stalls. `here`: the ids of those that are not. */
export async function warnOfMissingKeys(client: pg.Client, here: readonly string[], log: Logger): Promise<void> {
  for (const {key, secrets} of missing(await keyUses(client), here)) {
    log.error(
      {key, secrets, here},
      'secrets are encrypted with a key that this process does not have; give it that key too, or set them again with ALTER SECRET',
    );
  }
}

/** Throws `SqlError` 58000 where a secret needs a key that is not among those of the ids `here`. */
export function requireKeys(uses: readonly KeyUse[], here: readonly string[]): void {
  const keys = missing(uses, here).map(({key}) => key);
  if (keys.length === 0) return;
  throw new SqlError('58000', `secrets are encrypted with a key that is not here: ${keys.join(', ')}`, {
    detail: here.length === 0 ? 'There are no keys here.' : `The keys here are ${here.join(', ')}.`,
    hint: 'Add that key (SLUICE_SECRET_KEY, or the file of --secret-key-file), or set those secrets again with ALTER SECRET.',
  });
}

const missing = (uses: readonly KeyUse[], here: readonly string[]): KeyUse[] =>
  uses.filter(({key}) => !here.includes(key));
