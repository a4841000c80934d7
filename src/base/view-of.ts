let lastBuffer: Buffer = Buffer.alloc(0);
let lastView: DataView = new DataView(lastBuffer.buffer, lastBuffer.byteOffset, 0);

/**
 * A view of the same bytes, to read several at once. The last one is kept, because rows come in batches out of one buffer and
 * making a view costs as much as encoding a field.
 */
export function viewOf(buf: Buffer): DataView {
  if (buf !== lastBuffer) {
    lastBuffer = buf;
    lastView = new DataView(buf.buffer, buf.byteOffset, buf.length);
  }
  return lastView;
}
