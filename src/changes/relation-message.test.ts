import {describe, expect, test} from 'vitest';
import {parseRelation, RelationCache} from './relation-message.ts';

/** The body of a Relation message, from the OID on. */
function message(oid: number, schema: string, name: string, columns: readonly (readonly [string, number])[]): Buffer {
  const numbers = (...bytes: number[]) => Buffer.from(bytes);
  const head = Buffer.alloc(4);
  head.writeUInt32BE(oid);
  const parts = columns.flatMap(([column, type], i) => {
    const tail = Buffer.alloc(8);
    tail.writeUInt32BE(type);
    tail.writeInt32BE(-1, 4);
    return [numbers(i === 0 ? 1 : 0), Buffer.from(`${column}\0`), tail];
  });
  return Buffer.concat([head, Buffer.from(`${schema}\0${name}\0f`), numbers(0, columns.length), ...parts]);
}

const add = (cache: RelationCache, raw: Buffer, arrival: number) => cache.add(raw, 0, raw.length, arrival);

test('a message is read to its last column, and an empty schema is pg_catalog', () => {
  const columns: [string, number][] = [
    ['id', 23],
    ['Größe', 4_000_000_000],
  ];
  expect(parseRelation(message(4_100_000_000, '', 'täble', columns), 0)).toEqual({
    oid: 4_100_000_000,
    schema: 'pg_catalog',
    name: 'täble',
    replicaIdentity: 'f',
    columns: [
      {name: 'id', typeOid: 23, typmod: -1, identity: true},
      {name: 'Größe', typeOid: 4_000_000_000, typmod: -1, identity: false},
    ],
  });
});

describe('RelationCache', () => {
  const before = message(1, 's', 't', [['a', 23]]);
  const after = message(1, 's', 't', [['b', 23]]);

  test('an equal message gives the same object, another one a new object', () => {
    const cache = new RelationCache();
    const first = add(cache, before, 1);
    expect(add(cache, Buffer.from(before), 2)).toBe(first);
    expect(cache.get(1)).toBe(first);
    const second = add(cache, after, 3);
    expect(second).not.toBe(first);
    expect(cache.get(1)).toBe(second);
    expect(() => cache.get(2)).toThrow('never described');
  });

  test('the message is copied: its bytes are overwritten by the next ones', () => {
    const cache = new RelationCache();
    const bytes = Buffer.from(before);
    const first = add(cache, bytes, 1);
    bytes.fill(0);
    expect(add(cache, before, 2)).toBe(first);
  });

  test('a replayed transaction reads its rows by its own description, and a later one of others outlasts it', () => {
    const cache = new RelationCache();
    const newer = add(cache, after, 5);
    cache.beginReplay();
    expect(cache.get(1)).toBe(newer);
    const own = add(cache, before, 3);
    expect(cache.get(1)).toBe(own);
    cache.endReplay();
    expect(cache.get(1)).toBe(newer);
  });

  test('what a replayed transaction described last stays when it has committed', () => {
    const cache = new RelationCache();
    add(cache, before, 1);
    cache.beginReplay();
    const own = add(cache, after, 4);
    cache.endReplay();
    expect(cache.get(1)).toBe(own);
  });
});
