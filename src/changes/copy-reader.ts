import type net from 'node:net';
import type tls from 'node:tls';
import type pg from 'pg';
import {SqlError} from '../base/sql-error.ts';
import {ReusingSocket} from '../engine/reusing-socket.ts';
import {FrameSplitter} from './frame-splitter.ts';
import {parseServerError} from './server-error.ts';

const COPY_OUT = 0x48; // H
const COPY_DATA = 0x64; // d
const ERROR = 0x45; // E
const READY = 0x5a; // Z
/** Signature, int32 flags, int32 length of an extension that nobody has defined. */
const FILE_HEADER_BYTES = 19;

/** Tuples of COPY BINARY: `offsets[0 … count)` are where their int16 field counts lie in `bytes`. Valid until the next one is asked for. */
export interface CopyRows {
  readonly bytes: Buffer;
  readonly offsets: Int32Array;
  readonly count: number;
}

/**
 * Runs `COPY … TO STDOUT (FORMAT binary)` and yields the rows where they arrived, a chunk of the socket at a time; while the
 * consumer is busy the server waits. The client must be idle and is not usable until the end; if the consumer stops before,
 * or something fails, the connection is cut.
 */
export async function* readCopy(client: pg.Client, command: string): AsyncGenerator<CopyRows> {
  const socket = client.connection.stream as net.Socket | tls.TLSSocket;
  const pgListeners = socket.listeners('data') as ((chunk: Buffer) => void)[];
  const chunks = new Chunks(socket);
  const frames = new FrameSplitter();
  let offsets = new Int32Array(1024);
  let started = false;
  let finished = false;
  try {
    client.connection.query(command);
    while (!finished) {
      const chunk = await chunks.next();
      frames.push(chunk);
      let count = 0;
      while (!finished && frames.next()) {
        if (frames.type === COPY_DATA) {
          let at = frames.start;
          if (!started) {
            started = true;
            at += FILE_HEADER_BYTES;
            // Without rows the header comes alone or with the trailer.
            if (at >= frames.end) continue;
          }
          // A frame is a row; a field count of -1 is the trailer.
          if (frames.buf[at] === 0xff) continue;
          if (frames.buf !== chunk) {
            // Put together from two chunks, in the buffer that the next call may already use again.
            offsets[0] = at;
            yield {bytes: frames.buf, offsets, count: 1};
            continue;
          }
          if (count === offsets.length) {
            const grown = new Int32Array(2 * count);
            grown.set(offsets);
            offsets = grown;
          }
          offsets[count++] = at;
        } else if (frames.type === READY) {
          finished = true;
        } else if (frames.type === ERROR) {
          throw parseServerError(frames.buf, frames.start, frames.end);
        } else if (frames.type === COPY_OUT && frames.buf[frames.start] !== 1) {
          throw new SqlError('08P01', 'the server does not copy in binary');
        }
      }
      if (count > 0) yield {bytes: chunk, offsets, count};
    }
  } finally {
    chunks.detach();
    if (finished) for (const listener of pgListeners) socket.on('data', listener);
    else socket.destroy();
  }
}

/**
 * Takes the place of pg's own reader on the client's socket: one chunk at a time, valid until the next one is asked for. Between two of
 * them the socket is paused.
 */
class Chunks {
  readonly #socket: net.Socket;
  #waiting: {resolve: (chunk: Buffer) => void; reject: (error: Error) => void} | undefined;
  readonly #onChunk = (chunk: Buffer) => {
    // At once: a socket that reads into one buffer would read into this chunk.
    this.#socket.pause();
    this.#waiting?.resolve(chunk);
    this.#waiting = undefined;
  };
  readonly #onClose = () => {
    this.#waiting?.reject(lost());
    this.#waiting = undefined;
  };

  constructor(socket: net.Socket) {
    this.#socket = socket;
    socket.pause();
    socket.removeAllListeners('data');
    if (socket instanceof ReusingSocket) socket.onBytes(this.#onChunk);
    else socket.on('data', this.#onChunk);
    socket.on('close', this.#onClose);
  }

  next(): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      if (this.#socket.destroyed) {
        reject(lost());
        return;
      }
      this.#waiting = {resolve, reject};
      this.#socket.resume();
    });
  }

  detach(): void {
    this.#socket.off('data', this.#onChunk);
    if (this.#socket instanceof ReusingSocket) this.#socket.onBytes(undefined);
    this.#socket.off('close', this.#onClose);
    this.#socket.resume();
  }
}

function lost(): SqlError {
  return new SqlError('08006', 'the connection to PostgreSQL was lost');
}
