import type {Duplex} from 'node:stream';

/**
 * The writing side of one socket. Ranges that lie side by side in one chunk become one write without a copy; what is
 * written between two `flush` calls goes out in one system call.
 */
export class Outlet {
  readonly #socket: Duplex;
  #buffer: Buffer | undefined;
  #start = 0;
  #end = 0;
  #corked = false;

  constructor(socket: Duplex) {
    this.#socket = socket;
  }

  /** These bytes as they are. The buffer must not be changed afterwards. */
  pass(buffer: Buffer, start: number, end: number): void {
    if (buffer === this.#buffer && start === this.#end) {
      this.#end = end;
      return;
    }
    if (this.#buffer !== undefined) this.#cork();
    this.#writeRange();
    this.#buffer = buffer;
    this.#start = start;
    this.#end = end;
  }

  send(bytes: Buffer): void {
    this.pass(bytes, 0, bytes.length);
  }

  /** Hands everything to the socket. False: its buffer is full, wait for `drain` before more is read from the other side. */
  flush(): boolean {
    this.#writeRange();
    if (this.#corked) {
      this.#corked = false;
      this.#socket.uncork();
    }
    return !this.#socket.writableNeedDrain;
  }

  #cork(): void {
    if (this.#corked) return;
    this.#corked = true;
    this.#socket.cork();
  }

  #writeRange(): void {
    const buffer = this.#buffer;
    if (buffer === undefined) return;
    this.#buffer = undefined;
    if (!this.#socket.writable || this.#end === this.#start) return;
    const whole = this.#start === 0 && this.#end === buffer.length;
    this.#socket.write(whole ? buffer : buffer.subarray(this.#start, this.#end));
  }
}
