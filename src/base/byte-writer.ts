/**
 * A growing buffer that encoders append to. The fields are public because the hot path writes into `buf` at `at` itself,
 * after `reserve`; one instance is reused for all rows, so nothing is allocated per row.
 */
export class ByteWriter {
  buf: Buffer;
  /** The same bytes, for whoever writes several at once. */
  view: DataView;
  at = 0;

  constructor(initialBytes = 64 * 1024) {
    this.buf = Buffer.allocUnsafeSlow(initialBytes);
    this.view = new DataView(this.buf.buffer);
  }

  /** Afterwards `bytes` more bytes fit behind `at`. `buf` and `view` may be other objects than before. */
  reserve(bytes: number): void {
    const need = this.at + bytes;
    if (need <= this.buf.length) return;
    let size = this.buf.length * 2;
    while (size < need) size *= 2;
    const grown = Buffer.allocUnsafeSlow(size);
    this.buf.copy(grown, 0, 0, this.at);
    this.buf = grown;
    this.view = new DataView(grown.buffer);
  }

  byte(value: number): void {
    this.reserve(1);
    this.buf[this.at++] = value;
  }

  /** Characters below 0x80 only. */
  ascii(text: string): void {
    this.reserve(text.length);
    for (let i = 0; i < text.length; i++) this.buf[this.at++] = text.charCodeAt(i);
  }

  utf8(text: string): void {
    this.reserve(text.length * 3);
    this.at += this.buf.write(text, this.at);
  }

  bytes(source: Uint8Array, start: number, end: number): void {
    const length = end - start;
    this.reserve(length);
    if (length < 48) {
      // A call into native code costs more than copying a few bytes here.
      for (let i = start; i < end; i++) this.buf[this.at++] = source[i]!;
    } else {
      this.buf.set(source.subarray(start, end), this.at);
      this.at += length;
    }
  }

  /** A view, valid until the next write. */
  written(): Buffer {
    return this.buf.subarray(0, this.at);
  }
}
