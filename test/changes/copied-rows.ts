import type {CopyRows} from '../../src/changes/copy-reader.ts';
import type {SnapshotColumn} from '../../src/changes/snapshot.ts';
import {locateCopy} from '../../src/types/tuple.ts';
import {show, type Row} from './stream-recorder.ts';

/** All rows as plain values, as the stream's recorder shows them. */
export async function collectRows(
  columns: readonly SnapshotColumn[],
  batches: AsyncIterable<CopyRows>,
): Promise<Row[]> {
  const starts = new Int32Array(columns.length);
  const lengths = new Int32Array(columns.length);
  const rows: Row[] = [];
  for await (const {bytes, offsets, count} of batches) {
    for (let i = 0; i < count; i++) {
      locateCopy(bytes, offsets[i], starts, lengths);
      const entries = columns.map(({name, typeOid, binary}, c) => [
        name,
        show(binary ? typeOid : 25, bytes, starts[c], lengths[c]),
      ]);
      rows.push(Object.fromEntries(entries) as Row);
    }
  }
  return rows;
}
