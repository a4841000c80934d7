import {SqlError} from '../base/sql-error.ts';

/** Type byte and int32 length, which counts itself but not the type byte. */
const HEADER_BYTES = 5;
const CARRY_BYTES = 64 * 1024;
/** A carry buffer that had to grow beyond this for one large frame is given back after it. */
const CARRY_KEPT_BYTES = 1024 * 1024;

/**
 * Cuts a stream of chunks into frames of PostgreSQL's protocol (type byte, int32 length, body) without copying: a frame that
 * lies within a chunk is read where it is; only one that is cut by the end of a chunk is put together in a buffer of ours,
 * and its bytes are moved there once. Allocates nothing per frame: the result of `next` is in the fields.
 */
export class FrameSplitter {
  /** Where the frame that `next` found lies: its body is `buf[start … end)`, valid until the next call. */
  buf: Buffer = Buffer.alloc(0);
  start = 0;
  end = 0;
  type = 0;
  #chunk: Buffer = this.buf;
  #at = 0;
  #carry = Buffer.allocUnsafeSlow(CARRY_BYTES);
  #carried = 0;

  /** Only after `next` has returned false. */
  push(chunk: Buffer): void {
    this.#chunk = chunk;
    this.#at = 0;
  }

  /** False: no whole frame is left; what remains has been kept and the chunk may be overwritten. */
  next(): boolean {
    if (this.#carried > 0) return this.#nextAcross();
    const chunk = this.#chunk;
    const at = this.#at;
    if (at + HEADER_BYTES <= chunk.length) {
      const end = at + 1 + frameLength(chunk, at);
      if (end <= chunk.length) {
        this.type = chunk[at];
        this.buf = chunk;
        this.start = at + HEADER_BYTES;
        this.end = end;
        this.#at = end;
        return true;
      }
      this.#makeRoom(end - at);
    } else if (at === chunk.length) {
      return false;
    }
    this.#take(chunk.length - at);
    return false;
  }

  #nextAcross(): boolean {
    if (this.#carried < HEADER_BYTES) {
      this.#take(HEADER_BYTES - this.#carried);
      if (this.#carried < HEADER_BYTES) return false;
    }
    const total = 1 + frameLength(this.#carry, 0);
    this.#makeRoom(total);
    this.#take(total - this.#carried);
    if (this.#carried < total) return false;
    this.type = this.#carry[0];
    this.buf = this.#carry;
    this.start = HEADER_BYTES;
    this.end = total;
    this.#carried = 0;
    if (this.#carry.length > CARRY_KEPT_BYTES) this.#carry = Buffer.allocUnsafeSlow(CARRY_BYTES);
    return true;
  }

  /** Moves up to `bytes` from the chunk into the carry buffer. */
  #take(bytes: number): void {
    const end = Math.min(this.#chunk.length, this.#at + bytes);
    this.#carried += this.#chunk.copy(this.#carry, this.#carried, this.#at, end);
    this.#at = end;
  }

  #makeRoom(bytes: number): void {
    if (bytes <= this.#carry.length) return;
    const grown = Buffer.allocUnsafeSlow(bytes);
    this.#carry.copy(grown, 0, 0, this.#carried);
    this.#carry = grown;
  }
}

function frameLength(buf: Buffer, at: number): number {
  const length = (buf[at + 1] << 24) | (buf[at + 2] << 16) | (buf[at + 3] << 8) | buf[at + 4];
  if (length < 4) throw new SqlError('08P01', `the server sent a message of ${length} bytes`);
  return length;
}
