import {chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {afterAll, expect, test} from 'vitest';
import {AesSecretBox, openSecretKeyFile, parseSecretKey} from './aes-secret-box.ts';

const KEY = Buffer.alloc(32, 7);
const directory = mkdtempSync(join(tmpdir(), 'sluice-secret-'));
afterAll(() => rmSync(directory, {recursive: true}));

test('what is sealed opens again, by the same key and for the same secret only', () => {
  const box = new AesSecretBox(KEY);
  const plain = Buffer.from('pass\0wörd');
  const sealed = box.seal('u3', plain);
  expect(sealed.includes('pass')).toBe(false);
  expect(new AesSecretBox(KEY).open('u3', sealed)).toEqual(plain);
  expect(box.open('u3', box.seal('u3', Buffer.alloc(0)))).toEqual(Buffer.alloc(0));
  expect(() => box.open('u4', sealed)).toThrow(expect.objectContaining({code: 'XX001'}));
  expect(() => new AesSecretBox(Buffer.alloc(32, 8)).open('u3', sealed)).toThrow(
    expect.objectContaining({code: '58000', detail: expect.stringContaining(box.keyId)}),
  );
});

test('the same value is sealed differently each time', () => {
  const box = new AesSecretBox(KEY);
  const sealed = Array.from({length: 100}, () => box.seal('u1', Buffer.from('x')).toString('hex'));
  expect(new Set(sealed).size).toBe(100);
});

test('no byte may be changed, none may be missing', () => {
  const box = new AesSecretBox(KEY);
  const sealed = box.seal('u1', Buffer.from('secret'));
  for (let at = 0; at < sealed.length; at++) {
    const changed = Buffer.from(sealed);
    changed[at] ^= 1;
    expect(() => box.open('u1', changed), `byte ${at}`).toThrow();
    expect(() => box.open('u1', sealed.subarray(0, at)), `${at} bytes`).toThrow();
  }
});

test('a key file is made once, for its owner only, and read again', () => {
  const path = join(directory, 'secret.key');
  const key = openSecretKeyFile(path);
  expect(key).toHaveLength(32);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  expect(openSecretKeyFile(path)).toEqual(key);
  expect(readdirSync(directory)).toEqual(['secret.key']);
  expect(parseSecretKey(readFileSync(path, 'utf8'), 'test')).toEqual(key);
});

test('a key file that others may read, or that holds no key, is refused', () => {
  const path = join(directory, 'open.key');
  writeFileSync(path, 'ab'.repeat(32));
  chmodSync(path, 0o640);
  expect(() => openSecretKeyFile(path)).toThrow('can be read by others');
  chmodSync(path, 0o600);
  expect(openSecretKeyFile(path)).toEqual(Buffer.alloc(32, 0xab));
  writeFileSync(path, 'ab'.repeat(31));
  expect(() => openSecretKeyFile(path)).toThrow('does not hold a secret key');
});
