import {randomUUID} from 'node:crypto';
import {
  closeSync,
  fchmodSync,
  fstatSync,
  fsyncSync,
  linkSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeSync,
} from 'node:fs';
import {dirname} from 'node:path';
import {SqlError} from '../base/sql-error.ts';
import {newSecretKey, parseSecretKeys} from './secret-key.ts';
import type {SecretKey, SecretKeys} from './secret-key.ts';

/**
 * The keys of a file, one a line, read each time: a rotation by another process needs no restart of this one. Throws `SqlError` 58000
 * for a file that is missing, that others may read, or that holds no keys.
 */
export function secretKeysOfFile(path: string): SecretKeys {
  return () => {
    const keys = readSecretKeys(path);
    if (keys !== undefined) return keys;
    throw new SqlError('58000', `secret key file "${path}" does not exist`, {
      hint: 'Put it back, or name the right one with --secret-key-file.',
    });
  };
}

/** Makes file and key where there are none. */
export function ensureSecretKeys(path: string): void {
  if (readSecretKeys(path) === undefined) createSecretKeys(path);
}

/** Undefined: there is no such file. */
export function readSecretKeys(path: string): SecretKey[] | undefined {
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    if ((fstatSync(file).mode & 0o077) !== 0) {
      throw new SqlError('58000', `secret key file "${path}" can be read by others`, {
        hint: `Run chmod 600 "${path}".`,
      });
    }
    return parseSecretKeys(readFileSync(file, 'utf8'), `file "${path}"`);
  } finally {
    closeSync(file);
  }
}

/** What another process has made meanwhile stays. */
function createSecretKeys(path: string): void {
  write(path, [newSecretKey()], draft => {
    try {
      // Does not replace.
      linkSync(draft, path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    }
  });
}

/** Whoever reads sees all of the old keys or all of the new ones, also after a crash of the machine. */
export function replaceSecretKeys(path: string, keys: readonly SecretKey[]): void {
  write(path, keys, draft => renameSync(draft, path));
}

function write(path: string, keys: readonly SecretKey[], publish: (draft: string) => void): void {
  const draft = `${path}.${randomUUID()}`;
  const file = openSync(draft, 'wx', 0o600);
  try {
    // The mode of `open` is subject to the umask.
    fchmodSync(file, 0o600);
    writeSync(file, keys.map(({bytes}) => `${bytes.toString('hex')}\n`).join(''));
    fsyncSync(file);
    publish(draft);
  } finally {
    closeSync(file);
    rmSync(draft, {force: true});
  }
  const directory = openSync(dirname(path), 'r');
  fsyncSync(directory);
  closeSync(directory);
}
