import {createRequire} from 'node:module';
import net from 'node:net';
import {fileURLToPath} from 'node:url';

declare const opened: unique symbol;
/** A reader of native/stream-reader.c. */
type Handle = {readonly [opened]: true};

/** What native/stream-reader.c offers. */
interface Addon {
  open(descriptor: number, ring: Buffer, onBytes: () => void): Handle;
  take(reader: Handle, most: number): number;
  close(reader: Handle): void;
}

const FILE = fileURLToPath(new URL('../../native/build/stream-reader.node', import.meta.url));

/** Some sixty milliseconds of a change stream that comes as fast as it can: longer than what keeps the event loop busy. */
const RING_BYTES = 2 * 1024 * 1024;
/** Of one call, so that others get their turn. */
const MOST_BYTES = 256 * 1024;
/** After less than this there is no hurry: for so many milliseconds more is gathered. */
const SMALL_BYTES = 64 * 1024;
const REST_MS = 1;

/** Made by scripts/setup; without it Node.js reads by itself. SLUICE_STREAM_READER=typescript does without. */
function load(): Addon | undefined {
  if (process.env['SLUICE_STREAM_READER'] === 'typescript') return undefined;
  try {
    return createRequire(import.meta.url)(FILE) as Addon;
  } catch {
    return undefined;
  }
}

let addon: Addon | undefined | 'unknown' = 'unknown';

/** Reads a socket on a thread of its own, ahead of its listener, by as much as a ring holds. */
export class ThreadReader {
  readonly #addon: Addon;
  readonly #listener: (chunk: Buffer) => void;
  readonly #onEnd: () => void;
  readonly #ring = Buffer.allocUnsafeSlow(RING_BYTES);
  readonly #reader: Handle;
  #at = 0;
  #paused = true;
  #closed = false;
  /** A delivery will come by itself: it is scheduled, or the thread calls for it. */
  #expected = true;

  private constructor(
    addon: Addon,
    descriptor: number,
    {listener, onEnd}: {listener: (chunk: Buffer) => void; onEnd: () => void},
  ) {
    this.#addon = addon;
    this.#listener = listener;
    this.#onEnd = onEnd;
    this.#reader = addon.open(descriptor, this.#ring, () => this.#deliver());
  }

  /**
   * Begins paused. The socket must be paused as well; until `close` only writing to it is allowed. A chunk is valid during the
   * call, and until `resume()` if the call pauses. `onEnd`: everything was delivered and the connection has ended, which
   * whoever reads the socket next sees again. Undefined: not on this machine, or not this socket.
   */
  static open(
    socket: net.Socket,
    callbacks: {listener: (chunk: Buffer) => void; onEnd: () => void},
  ): ThreadReader | undefined {
    if (addon === 'unknown') addon = load();
    const {_handle: handle} = socket as unknown as {
      _handle?: {readonly fd?: number; readonly reading?: boolean} | null;
    };
    if (addon === undefined || socket.destroyed || socket.readableLength > 0 || handle?.reading !== false)
      return undefined;
    return handle.fd === undefined || handle.fd < 0 ? undefined : new ThreadReader(addon, handle.fd, callbacks);
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    if (!this.#expected && !this.#closed) this.#expectNext(setImmediate);
  }

  /** What has not been delivered is lost. Safe to call twice. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#addon.close(this.#reader);
  }

  #deliver(): void {
    this.#expected = false;
    if (this.#paused || this.#closed) return;
    const length = this.#addon.take(this.#reader, MOST_BYTES);
    if (length === 0) {
      this.#expected = true;
    } else if (length < 0) {
      this.close();
      this.#onEnd();
    } else {
      const chunk = this.#ring.subarray(this.#at, this.#at + length);
      this.#at = (this.#at + length) % RING_BYTES;
      this.#expected = true;
      this.#listener(chunk);
      if (this.#paused || this.#closed) this.#expected = false;
      else this.#expectNext(length < SMALL_BYTES ? rest : setImmediate);
    }
  }

  #expectNext(schedule: (callback: () => void) => unknown): void {
    this.#expected = true;
    schedule(() => this.#deliver());
  }
}

const rest = (callback: () => void): unknown => setTimeout(callback, REST_MS);
