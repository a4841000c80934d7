import {expect, test} from 'vitest';
import {AesSecretBox, keyIdOf} from './aes-secret-box.ts';
import {secretKey} from './secret-key.ts';

const FIRST = secretKey(Buffer.alloc(32, 7));
const SECOND = secretKey(Buffer.alloc(32, 8));
const boxOf = (...keys: (typeof FIRST)[]) => new AesSecretBox(() => keys);

test('what is sealed opens again, by the same key and for the same secret only', () => {
  const box = boxOf(FIRST);
  const plain = Buffer.from('pass\0wörd');
  const sealed = box.seal('u3', plain);
  expect(sealed.includes('pass')).toBe(false);
  expect(boxOf(FIRST).open('u3', sealed)).toEqual(plain);
  expect(box.open('u3', box.seal('u3', Buffer.alloc(0)))).toEqual(Buffer.alloc(0));
  expect(() => box.open('u4', sealed)).toThrow(expect.objectContaining({code: 'XX001'}));
  expect(() => boxOf(SECOND).open('u3', sealed)).toThrow(
    expect.objectContaining({code: '58000', detail: expect.stringContaining(FIRST.id)}),
  );
});

test('the first of several keys seals, each of them opens', () => {
  const old = boxOf(FIRST).seal('u1', Buffer.from('x'));
  const both = boxOf(SECOND, FIRST);
  expect(both.open('u1', old).toString()).toBe('x');
  const fresh = both.seal('u1', Buffer.from('x'));
  expect([keyIdOf(old), keyIdOf(fresh)]).toEqual([FIRST.id, SECOND.id]);
  expect(both.open('u1', fresh).toString()).toBe('x');
});

test('no nonce comes twice, so the same value is sealed differently each time', () => {
  const box = boxOf(FIRST);
  const sealed = Array.from({length: 10_000}, () => box.seal('u1', Buffer.from('x')));
  expect(new Set(sealed.map(bytes => bytes.toString('hex', 9, 21))).size).toBe(10_000);
  expect(new Set(sealed.map(bytes => bytes.toString('hex', 21))).size).toBe(10_000);
});

test('no byte may be changed, none may be missing', () => {
  const box = boxOf(FIRST);
  const sealed = box.seal('u1', Buffer.from('secret'));
  for (let at = 0; at < sealed.length; at++) {
    const changed = Buffer.from(sealed);
    changed[at] ^= 1;
    expect(() => box.open('u1', changed), `byte ${at}`).toThrow();
    expect(() => box.open('u1', sealed.subarray(0, at)), `${at} bytes`).toThrow();
  }
});
