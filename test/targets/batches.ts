import type {ChangeBatch} from '../../src/sinks/target.ts';
import type {RowShape} from '../../src/types/relation.ts';
import type {BaseType} from '../../src/types/sql-type.ts';

function base(oid: number, name: string): BaseType {
  return {kind: 'base', oid, name, schema: 'pg_catalog', binary: true};
}

/** `create table items (id int4 primary key, name text)`. */
export const ITEMS: RowShape = {
  relation: 16_384,
  schema: 'public',
  name: 'items',
  columns: [
    {name: 'id', type: base(23, 'int4'), typmod: -1},
    {name: 'name', type: base(25, 'text'), typmod: -1},
  ],
  framing: 'copy',
};

export interface Item {
  readonly id: number;
  readonly name: string | null;
}

/** `[before, after]`; null where there is no such row. */
export type ItemChange = readonly [Item | null, Item | null];

export function insert(id: number, name: string | null = `item ${id}`): ItemChange {
  return [null, {id, name}];
}

export function remove(id: number, name: string | null = `item ${id}`): ItemChange {
  return [{id, name}, null];
}

function tuple({id, name}: Item): Buffer {
  const text = name === null ? Buffer.of() : Buffer.from(name);
  const bytes = Buffer.alloc(14 + text.length);
  bytes.writeInt16BE(2, 0);
  bytes.writeInt32BE(4, 2);
  bytes.writeInt32BE(id, 6);
  bytes.writeInt32BE(name === null ? -1 : text.length, 10);
  text.copy(bytes, 14);
  return bytes;
}

export function batchOf(time: bigint, changes: readonly ItemChange[]): ChangeBatch {
  const tuples: Buffer[] = [];
  let end = 0;
  const place = (item: Item | null): number => {
    if (item === null) return -1;
    const bytes = tuple(item);
    const at = end;
    tuples.push(bytes);
    end += bytes.length;
    return at;
  };
  const before = Int32Array.from(changes, ([row]) => place(row));
  const after = Int32Array.from(changes, ([, row]) => place(row));
  return {shape: ITEMS, time, bytes: Buffer.concat(tuples), count: changes.length, before, after};
}
