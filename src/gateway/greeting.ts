import type net from 'node:net';
import {SqlError} from '../base/sql-error.ts';
import {saysPostgres} from './client-tls.ts';
import type {ClientTls} from './client-tls.ts';
import {LONGEST_STARTUP_PACKET, REQUEST_CODE} from './startup-packet.ts';

/**
 * How a client opens: with a request to cancel, or with a start-up packet; `rest` is what it has sent behind that. `client` is the
 * encrypted connection where the client has asked for one.
 */
export type Greeting =
  | {readonly kind: 'cancel'; readonly client: net.Socket; readonly packet: Buffer}
  | {
      readonly kind: 'startup';
      readonly client: net.Socket;
      readonly encrypted: boolean;
      readonly packet: Buffer;
      readonly rest: Buffer;
    };

/** As PostgreSQL's authentication_timeout; the engine's own counts from the start-up packet on. */
const TIMEOUT_MS = 60_000;
const YES = Buffer.from('S');
const NO = Buffer.from('N');
/** What a TLS handshake begins with, and no packet of PostgreSQL's. */
const HANDSHAKE = 0x16;

/**
 * Reads what comes before a session. Requests for encryption are answered each kind once, as by PostgreSQL; without `tls` all are declined.
 * Undefined: the client has gone, or sent what cannot be answered. Leaves the socket paused. Throws `SqlError` for the client.
 */
export async function readGreeting(client: net.Socket, tls: ClientTls | undefined): Promise<Greeting | undefined> {
  const deadline = setTimeout(() => client.destroy(), TIMEOUT_MS);
  try {
    return await new Opening(client, tls).read();
  } finally {
    clearTimeout(deadline);
  }
}

class Opening {
  #client: net.Socket;
  readonly #tls: ClientTls | undefined;
  #bytes: Buffer = Buffer.alloc(0);
  #encrypted = false;
  readonly #answered = new Set<number>();

  constructor(client: net.Socket, tls: ClientTls | undefined) {
    this.#client = client;
    this.#tls = tls;
  }

  async read(): Promise<Greeting | undefined> {
    if (!(await this.#has(1))) return undefined;
    if (this.#bytes[0] === HANDSHAKE && this.#tls !== undefined && !(await this.#beginWithTls(this.#tls))) {
      return undefined;
    }
    while (await this.#has(8)) {
      const size = this.#bytes.readUInt32BE(0);
      if (size < 8 || size > LONGEST_STARTUP_PACKET || !(await this.#has(size))) return undefined;
      const packet = this.#bytes.subarray(0, size);
      this.#bytes = this.#bytes.subarray(size);
      const code = packet.readUInt32BE(4);
      const client = this.#client;
      if (code === REQUEST_CODE.cancel) return {kind: 'cancel', client, packet};
      if (code !== REQUEST_CODE.tls && code !== REQUEST_CODE.gss) {
        return {kind: 'startup', client, encrypted: this.#encrypted, packet, rest: this.#bytes};
      }
      if (size !== 8 || this.#answered.has(code) || !(await this.#encrypt(code))) return undefined;
    }
    return undefined;
  }

  /** False: the connection is over. */
  async #encrypt(code: number): Promise<boolean> {
    this.#answered.add(code);
    if (code !== REQUEST_CODE.tls || this.#tls === undefined || this.#encrypted) {
      this.#client.write(NO);
      return true;
    }
    if (this.#bytes.length > 0) {
      // Somebody in between could have slipped it in.
      throw new SqlError('08P01', 'received unencrypted data after SSL request');
    }
    this.#client.write(YES);
    return await this.#handshake(this.#tls);
  }

  /** The client has not asked first (sslnegotiation=direct). */
  async #beginWithTls(tls: ClientTls): Promise<boolean> {
    this.#client.unshift(this.#bytes);
    this.#bytes = Buffer.alloc(0);
    this.#answered.add(REQUEST_CODE.tls);
    return await this.#handshake(tls, true);
  }

  async #handshake(tls: ClientTls, mustSayPostgres = false): Promise<boolean> {
    const secure = await tls.handshake(this.#client);
    if (secure === undefined || (mustSayPostgres && !saysPostgres(secure))) return false;
    secure.on('error', () => undefined);
    this.#client = secure;
    this.#encrypted = true;
    return true;
  }

  /** Waits for so many bytes; false: the client has ended before. */
  async #has(bytes: number): Promise<boolean> {
    while (this.#bytes.length < bytes) {
      const chunk = await nextChunk(this.#client);
      if (chunk === undefined) return false;
      this.#bytes = this.#bytes.length === 0 ? chunk : Buffer.concat([this.#bytes, chunk]);
    }
    return true;
  }
}

/** Of a paused socket, which is paused again afterwards. Undefined: it has ended. */
function nextChunk(client: net.Socket): Promise<Buffer | undefined> {
  return new Promise(resolve => {
    if (client.destroyed) return resolve(undefined);
    const finish = (chunk?: Buffer) => {
      client.pause();
      client.off('data', finish);
      client.off('end', give);
      client.off('close', give);
      resolve(chunk);
    };
    const give = () => finish();
    client.on('data', finish);
    client.on('end', give);
    client.on('close', give);
    client.resume();
  });
}
