import type {SinkColumn} from '../../src/catalog/definitions.ts';
import type {StreamRelation} from '../../src/changes/stream-listener.ts';
import type {SnapshotRows} from '../../src/sinks/snapshot-source.ts';

/** A row of every table of the model: (id int4, n int4). `n` is never given twice, so a value tells where it came from. */
export interface Row {
  readonly id: number;
  readonly n: number;
}

const int4 = {kind: 'base', oid: 23, name: 'int4', schema: 'pg_catalog', binary: true} as const;

export const COLUMNS: readonly SinkColumn[] = ['id', 'n'].map((name, i) => ({
  name,
  attnum: i + 1,
  type: int4,
  typmod: -1,
  notNull: true,
}));

export const COLUMN_NAMES = new Map(COLUMNS.map(({attnum, name}) => [attnum, name]));

export function streamRelation(oid: number): StreamRelation {
  return {
    oid,
    schema: 'public',
    name: `t${oid}`,
    replicaIdentity: 'f',
    columns: COLUMNS.map(({name}) => ({name, typeOid: 23, typmod: -1, identity: true})),
  };
}

export const STREAM_TUPLE_BYTES = 20;

/** TupleData of the replication protocol, binary. */
export function writeStreamTuple(buf: Buffer, at: number, {id, n}: Row): void {
  buf.writeInt16BE(2, at);
  for (const [i, value] of [id, n].entries()) {
    const field = at + 2 + 9 * i;
    buf[field] = 0x62;
    buf.writeInt32BE(4, field + 1);
    buf.writeInt32BE(value, field + 5);
  }
}

export const COPY_TUPLE_BYTES = 18;

/** A tuple of COPY (FORMAT binary). */
export function writeCopyTuple(buf: Buffer, at: number, {id, n}: Row): void {
  buf.writeInt16BE(2, at);
  for (const [i, value] of [id, n].entries()) {
    buf.writeInt32BE(4, at + 2 + 8 * i);
    buf.writeInt32BE(value, at + 6 + 8 * i);
  }
}

/** In the order of `id`. */
export async function collectCopied(batches: AsyncIterable<SnapshotRows>): Promise<Row[]> {
  const rows: Row[] = [];
  for await (const {bytes, offsets, count} of batches) {
    for (const at of offsets.subarray(0, count))
      rows.push({id: bytes.readInt32BE(at + 6), n: bytes.readInt32BE(at + 14)});
  }
  return rows.sort((a, b) => a.id - b.id);
}
