import fc from 'fast-check';
import {describe, expect, test} from 'vitest';
import {seahash, seahashMod} from './seahash.ts';

const hex = (text: string) => Buffer.from(text, 'hex');
/** Input, hash, and the hash modulo 3, 4 and 16. The first two are published with the reference implementation. */
const VECTORS: readonly [Buffer, bigint, number, number, number][] = [
  [Buffer.from('to be or not to be'), 1988685042348123509n, 2, 1, 5],
  [Buffer.from('love is a wonderful terrible thing'), 4784284276849692846n, 0, 2, 14],
  [Buffer.from(''), 14492805990617963705n, 2, 1, 9],
  [Buffer.from('a'), 3009532316786026829n, 2, 1, 13],
  [Buffer.from('abc'), 9257550784264072582n, 1, 2, 6],
  [Buffer.from('12345678'), 8739073611186757572n, 0, 0, 4],
  [Buffer.from('123456789'), 13331223911193280505n, 2, 1, 9],
  [Buffer.alloc(8), 2080352221000464735n, 0, 3, 15],
  [Buffer.from('{"k":1}'), 16749447017101210570n, 1, 2, 10],
  [Buffer.from('{"customer_id":42,"order_id":7}'), 1092675065953459981n, 1, 1, 13],
  [hex('02'), 6215326323105245339n, 2, 3, 11],
  [hex('0202'), 10237342112851840285n, 1, 1, 13],
  [hex('540e'), 13715425707248538979n, 1, 3, 3],
];

describe('vectors', () => {
  test.each(VECTORS)('%o', (input, hash, mod3, mod4, mod16) => {
    const framed = Buffer.concat([Buffer.from('xy'), input, Buffer.from('zzzzzzzzz')]);
    const end = 2 + input.length;
    expect(seahash(framed, 2, end)).toBe(hash);
    expect([3, 4, 16].map(n => seahashMod(framed, 2, end, n))).toEqual([mod3, mod4, mod16]);
  });
});

/** The definition, word for word. */
function reference(input: Uint8Array): bigint {
  const mask = (1n << 64n) - 1n;
  const g = (x: bigint) => {
    x = (x * 0x6eed0e9da4d94a4fn) & mask;
    x ^= (x >> 32n) >> (x >> 60n);
    return (x * 0x6eed0e9da4d94a4fn) & mask;
  };
  let [a, b, c, d] = [0x16f11fe89b0d677cn, 0xb480a793d8e6c86cn, 0x6fe2e5aaf078ebc9n, 0x14f994a4c5259381n];
  for (let at = 0; at < input.length; at += 8) {
    let n = 0n;
    for (let i = Math.min(at + 7, input.length - 1); i >= at; i--) n = (n << 8n) | BigInt(input[i]);
    [a, b, c, d] = [b, c, d, g(a ^ n)];
  }
  return g(a ^ b ^ c ^ d ^ BigInt(input.length));
}

test('equals the definition, for any bytes and any number of partitions', () => {
  const partitions = fc.oneof(fc.integer({min: 1, max: 0x7fffffff}), fc.integer({min: 1, max: 100_000}));
  fc.assert(
    fc.property(fc.uint8Array({maxLength: 100}), partitions, (input, n) => {
      const hash = reference(input);
      expect(seahash(input, 0, input.length)).toBe(hash);
      expect(seahashMod(input, 0, input.length, n)).toBe(Number(hash % BigInt(n)));
    }),
    {numRuns: 2000},
  );
});
