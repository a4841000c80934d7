import {chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {afterAll, expect, test} from 'vitest';
import {newSecretKey, parseSecretKeys, secretKey} from './secret-key.ts';
import {ensureSecretKeys, readSecretKeys, replaceSecretKeys, secretKeysOfFile} from './secret-key-file.ts';

const directory = mkdtempSync(join(tmpdir(), 'sluice-secret-'));
afterAll(() => rmSync(directory, {recursive: true}));

test('a file is made once, for its owner only, and read again', () => {
  const path = join(directory, 'secret.key');
  const keys = secretKeysOfFile(path);
  expect(keys).toThrow('does not exist');
  ensureSecretKeys(path);
  expect(keys()).toHaveLength(1);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  const made = keys();
  ensureSecretKeys(path);
  expect(keys()).toEqual(made);
  expect(readdirSync(directory)).toEqual(['secret.key']);
  expect(parseSecretKeys(readFileSync(path, 'utf8'), 'test')).toEqual(keys());
});

test('whoever has opened it sees the keys that another process puts there', () => {
  const path = join(directory, 'rotated.key');
  ensureSecretKeys(path);
  const keys = secretKeysOfFile(path);
  const [old] = keys();
  const fresh = newSecretKey();
  replaceSecretKeys(path, [fresh, old]);
  expect(keys().map(({id}) => id)).toEqual([fresh.id, old.id]);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  rmSync(path);
  expect(keys).toThrow('does not exist');
  expect(readSecretKeys(path)).toBeUndefined();
});

test('one that others may read, or that holds anything but keys, is refused', () => {
  const path = join(directory, 'open.key');
  writeFileSync(path, 'ab'.repeat(32));
  chmodSync(path, 0o640);
  expect(secretKeysOfFile(path)).toThrow('can be read by others');
  chmodSync(path, 0o600);
  expect(secretKeysOfFile(path)()).toEqual([secretKey(Buffer.alloc(32, 0xab))]);
  for (const text of ['ab'.repeat(31), '', ' \n', `${'ab'.repeat(32)} x`]) {
    writeFileSync(path, text);
    expect(secretKeysOfFile(path), text).toThrow('does not hold secret keys');
    expect(() => ensureSecretKeys(path), text).toThrow('does not hold secret keys');
  }
});

test('several keys, in lines or with commas, each counted once', () => {
  const [a, b] = ['ab', 'CD'].map(digits => digits.repeat(32));
  const ids = [secretKey(Buffer.alloc(32, 0xab)).id, secretKey(Buffer.alloc(32, 0xcd)).id];
  for (const text of [`${a},${b}`, `${a}\n${b}\n`, ` ${a} , ${b},${a} `]) {
    expect(parseSecretKeys(text, 'test').map(({id}) => id)).toEqual(ids);
  }
});
