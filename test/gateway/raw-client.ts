import type net from 'node:net';
import pg from 'pg';
import {PartialMessage} from '../../src/engine/connect-replication.ts';
import {BareConnection, SSL_REQUEST, scramLogin} from './scram-login.ts';

/** A message of the server as it came. */
export interface Message {
  readonly type: string;
  readonly body: Buffer;
}

/** Logs in by means of pg, then sends and receives bare protocol messages. */
export class RawClient implements AsyncDisposable {
  readonly processId: number;
  readonly secretKey: number;
  readonly socket: net.Socket;
  readonly #arrived: Message[] = [];
  #bytes: Buffer = Buffer.alloc(0);
  #ended = false;
  #wake: () => void = () => undefined;

  private constructor(socket: net.Socket, processId: number, secretKey: number, early: Buffer) {
    this.socket = socket;
    this.processId = processId;
    this.secretKey = secretKey;
    socket.on('data', chunk => this.#push(chunk));
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.#ended = true;
      this.#wake();
    });
    if (early.length > 0) this.#push(early);
    socket.resume();
  }

  static async connect(url: string, options = ''): Promise<RawClient> {
    if (new URL(url).searchParams.has('sslmode')) return await RawClient.#connectEncrypted(new URL(url), options);
    const client = new pg.Client({connectionString: url, options});
    const partial = new PartialMessage();
    const connection = client.connection;
    connection.once('connect', () => connection.stream.on('data', chunk => partial.push(chunk as Buffer)));
    await client.connect();
    const {stream: socket} = connection as unknown as {stream: net.Socket};
    socket.pause();
    // Not all at once: that makes Node resume the socket later.
    for (const event of ['data', 'end', 'error', 'close']) socket.removeAllListeners(event);
    const {processID, secretKey} = client as unknown as {processID: number; secretKey: number};
    return new RawClient(socket, processID, secretKey, partial.rest());
  }

  static async #connectEncrypted(url: URL, options: string): Promise<RawClient> {
    const bare = await BareConnection.open(url.href);
    bare.socket.write(SSL_REQUEST);
    await bare.take(1);
    const secure = await bare.encrypt({rejectUnauthorized: false});
    const parameters = [
      ['user', url.username],
      ['database', url.pathname.slice(1)],
      ['options', options],
    ] as const;
    const login = await scramLogin(secure, parameters, decodeURIComponent(url.password).normalize('NFKC'));
    const key = login.find(({type}) => type === 'K')?.body;
    if (key === undefined) throw new Error('no login over TLS');
    return new RawClient(secure.release(), key.readInt32BE(0), key.readInt32BE(4), Buffer.alloc(0));
  }

  /** In one write. */
  send(...frames: readonly Buffer[]): void {
    this.socket.write(Buffer.concat(frames));
  }

  /** The next message; undefined: the connection has ended. */
  async next(limitMs = 45_000): Promise<Message | undefined> {
    const deadline = setTimeout(() => this.socket.destroy(new Error('no answer')), limitMs);
    try {
      while (this.#arrived.length === 0 && !this.#ended) {
        await new Promise<void>(resolve => (this.#wake = resolve));
      }
      return this.#arrived.shift();
    } finally {
      clearTimeout(deadline);
    }
  }

  /** All messages up to the one that `isLast`, or to the end of the connection. */
  async until(isLast: (message: Message) => boolean, limitMs = 45_000): Promise<Message[]> {
    const messages: Message[] = [];
    for (;;) {
      const message = await this.next(limitMs);
      if (message === undefined) return messages;
      messages.push(message);
      if (isLast(message)) return messages;
    }
  }

  /** Up to and with the `count`th ReadyForQuery. */
  async ready(count = 1): Promise<Message[]> {
    return await this.until(({type}) => type === 'Z' && --count === 0);
  }

  async end(): Promise<Message[]> {
    this.socket.end();
    return await this.until(() => false);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#ended) return;
    this.socket.destroy();
    await new Promise<void>(resolve => (this.socket.closed ? resolve() : this.socket.once('close', () => resolve())));
  }

  #push(chunk: Buffer): void {
    this.#bytes = this.#bytes.length === 0 ? chunk : Buffer.concat([this.#bytes, chunk]);
    let at = 0;
    while (at + 5 <= this.#bytes.length) {
      const end = at + 1 + this.#bytes.readUInt32BE(at + 1);
      if (end > this.#bytes.length) break;
      this.#arrived.push({type: String.fromCharCode(this.#bytes[at]), body: this.#bytes.subarray(at + 5, end)});
      at = end;
    }
    this.#bytes = this.#bytes.subarray(at);
    this.#wake();
  }
}
