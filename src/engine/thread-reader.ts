import type net from 'node:net';
import {getSystemErrorName} from 'node:util';
import {loadAddon} from '../base/native-addon.ts';
import {socketHandle} from './socket-handle.ts';

declare const opened: unique symbol;
/** A reader of native/stream-reader.c. */
type Handle = {readonly [opened]: true};

/** What native/stream-reader.c offers. */
interface Addon {
  open(descriptor: number, ring: Buffer, onBytes: () => void): Handle | undefined;
  take(reader: Handle, most: number): number;
  close(reader: Handle): void;
}

/** Some sixty milliseconds of a change stream that comes as fast as it can: longer than what keeps the event loop busy. */
const RING_BYTES = 2 * 1024 * 1024;
/** Of one call, so that others get their turn. */
const MOST_BYTES = 256 * 1024;
/** After less than this there is no hurry: for so many milliseconds more is gathered. */
const SMALL_BYTES = 64 * 1024;
const REST_MS = 1;
/** What `take` returns for an orderly end; an errno is counted down from it. */
const END = -1;

let loaded: Addon | undefined | 'unknown' = 'unknown';

/** Made by scripts/setup; without it Node.js reads by itself. SLUICE_STREAM_READER=typescript does without. */
function wantedAddon(): Addon | undefined {
  if (process.env['SLUICE_STREAM_READER'] === 'typescript') return undefined;
  if (loaded === 'unknown') loaded = loadAddon('stream-reader') as Addon | undefined;
  return loaded;
}

/** Reads a socket on a thread of its own, ahead of its listener, by as much as a ring holds. */
export class ThreadReader {
  readonly #addon: Addon;
  readonly #reader: Handle;
  readonly #ring: Buffer;
  readonly #socket: net.Socket;
  readonly #listener: (chunk: Buffer) => void;
  readonly #onClose = (): void => this.close();
  /** Where the next chunk begins in the ring. */
  #at = 0;
  #paused = true;
  #closed = false;
  /** `#deliver` will run: it is scheduled, or the thread calls it. Nobody else may. */
  #expected = true;

  private constructor(
    addon: Addon,
    reader: Handle,
    ring: Buffer,
    socket: net.Socket,
    listener: (chunk: Buffer) => void,
  ) {
    this.#addon = addon;
    this.#reader = reader;
    this.#ring = ring;
    this.#socket = socket;
    this.#listener = listener;
    // The thread has a descriptor of its own: without this the server would not hear of the end.
    socket.once('close', this.#onClose);
  }

  /**
   * Takes a paused socket over, which then may only be written to until `close`, ended or destroyed. Begins paused. A chunk is valid
   * during the call, and until `resume()` if the call pauses. When everything was delivered and the connection has ended, the
   * socket says so as ever. Undefined: not on this machine, or not this socket.
   */
  static open(socket: net.Socket, listener: (chunk: Buffer) => void): ThreadReader | undefined {
    const addon = wantedAddon();
    const from = socketHandle(socket);
    if (addon === undefined || from?.reading !== false) return undefined;
    const ring = Buffer.allocUnsafeSlow(RING_BYTES);
    let reader: ThreadReader | undefined;
    const handle = addon.open(from.fd, ring, () => reader!.#deliver());
    if (handle !== undefined) reader = new ThreadReader(addon, handle, ring, socket, listener);
    return reader;
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    if (this.#expected) return;
    this.#expected = true;
    setImmediate(() => this.#deliver());
  }

  /** The socket is the caller's again, still paused. What has not been delivered is lost. Safe to call twice. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#socket.off('close', this.#onClose);
    this.#addon.close(this.#reader);
  }

  #deliver(): void {
    if (this.#paused || this.#closed) {
      this.#expected = false;
      return;
    }
    const length = this.#addon.take(this.#reader, MOST_BYTES);
    if (length < 0) {
      this.#end(length);
    } else if (length > 0) {
      const chunk = this.#ring.subarray(this.#at, this.#at + length);
      this.#at = (this.#at + length) % RING_BYTES;
      this.#listener(chunk);
      if (length < SMALL_BYTES) setTimeout(() => this.#deliver(), REST_MS);
      else setImmediate(() => this.#deliver());
    }
  }

  #end(result: number): void {
    this.close();
    if (result === END) {
      // Whoever reads next sees it again. An error is told only once.
      this.#socket.resume();
    } else {
      const errno = result - END;
      const code = getSystemErrorName(errno);
      this.#socket.destroy(Object.assign(new Error(`read ${code}`), {code, errno, syscall: 'read'}));
    }
  }
}
