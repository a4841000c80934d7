const NOTHING = Buffer.alloc(0);

/**
 * Cuts what a socket delivers into protocol messages (type byte, int32 length, body) without copying: bytes stay in the
 * chunk that they came in, unless a message that somebody wants to read whole is spread over several chunks.
 *
 * The reader asks `header()`, looks at `type` and `size`, and then takes the message whole or as ranges of bytes. Bytes of a
 * message that is passed on are handed out as they come, however long it is.
 */
export class FrameSource {
  /** The chunk that `start` and `end` point into. */
  buffer: Buffer = NOTHING;
  /** Of the message whose header was read: type byte and bytes in total, header included. */
  type = 0;
  size = 0;
  #at = 0;
  /** Bytes of a message that has been taken in part. */
  #rest = 0;
  #later: Buffer[] = [];
  #laterBytes = 0;
  /** Bytes that must be contiguous before it is worth joining chunks. */
  #needed = 5;

  push(chunk: Buffer): void {
    if (this.#at === this.buffer.length && this.#laterBytes === 0) {
      this.buffer = chunk;
      this.#at = 0;
      return;
    }
    this.#later.push(chunk);
    this.#laterBytes += chunk.length;
    if (this.waiting >= this.#needed) this.#join();
  }

  /** The next so many bytes belong to a message whose beginning was taken elsewhere. */
  continueIn(rest: number): void {
    this.#rest = rest;
  }

  /** Bytes that have come and were not taken. */
  get waiting(): number {
    return this.buffer.length - this.#at + this.#laterBytes;
  }

  get start(): number {
    return this.#at;
  }

  /** Within a message that `takePart` has begun to hand out. */
  get inPart(): boolean {
    return this.#rest > 0;
  }

  /** True if anything has come that was not taken. */
  more(): boolean {
    if (this.#at === this.buffer.length && this.#laterBytes > 0) this.#join();
    return this.#at < this.buffer.length;
  }

  /** True if the next message's header is here. */
  header(): boolean {
    if (!this.has(5)) return false;
    const {buffer} = this;
    const at = this.#at;
    this.type = buffer[at];
    this.size = 1 + buffer.readUInt32BE(at + 1);
    return true;
  }

  /** True if all of the message is here, and contiguous from `start`. */
  whole(): boolean {
    return this.has(this.size);
  }

  /** True if this many bytes are here, and contiguous from `start`. */
  has(bytes: number): boolean {
    return this.buffer.length - this.#at >= bytes || this.#need(bytes);
  }

  /** Moves behind the message, which must be `whole`. It lies in `buffer` from the returned offset to `start`. */
  takeWhole(): number {
    const from = this.#at;
    this.#at += this.size;
    return from;
  }

  /** Moves behind what is here of the message. The bytes lie in `buffer` from the returned offset to `start`. */
  takePart(): number {
    const from = this.#at;
    if (this.#rest === 0) this.#rest = this.size;
    const bytes = Math.min(this.#rest, this.buffer.length - from);
    this.#at += bytes;
    this.#rest -= bytes;
    return from;
  }

  /** Moves behind everything that is here in one piece, messages or not. Returns as `takePart`. */
  takeRest(): number {
    const from = this.#at;
    this.#at = this.buffer.length;
    return from;
  }

  #need(bytes: number): boolean {
    this.#needed = bytes;
    if (this.#laterBytes === 0 || this.waiting < bytes) return false;
    this.#join();
    return true;
  }

  #join(): void {
    const rest = this.buffer.subarray(this.#at);
    this.buffer =
      rest.length === 0 && this.#later.length === 1 ? this.#later[0] : Buffer.concat([rest, ...this.#later]);
    this.#at = 0;
    this.#later = [];
    this.#laterBytes = 0;
    this.#needed = 5;
  }
}
