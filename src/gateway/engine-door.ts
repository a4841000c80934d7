import net from 'node:net';
import tls from 'node:tls';
import type {EngineAddress} from '../engine/address.ts';
import {KEEP_ALIVE_DELAY_MS} from '../engine/connect.ts';
import {tlsSettings} from '../engine/tls-settings.ts';

const CONNECT_TIMEOUT_MS = 10_000;
/** Large enough that a result's chunks do not stop and start the other side each time. */
export const SOCKET_BUFFER_BYTES = 256 * 1024;

/** A stream option, which a socket passes on and its type does not know. */
const SOCKET_OPTIONS: net.SocketConstructorOpts & {highWaterMark: number} = {
  allowHalfOpen: true,
  highWaterMark: SOCKET_BUFFER_BYTES,
};

const SSL_REQUEST = Buffer.from([0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f]);
const ACCEPTED = 0x53; // S

/** Opens bare connections to the engine, over TLS where its address asks for it. What TLS needs is found out once. */
export class EngineDoor {
  readonly #address: EngineAddress;
  #tls: Promise<tls.ConnectionOptions | false> | undefined;

  constructor(address: EngineAddress) {
    this.#address = address;
  }

  /** Paused, and open in one direction when the other has ended. Throws socket errors. */
  async open(): Promise<net.Socket> {
    const settings = await this.#tlsSettings();
    const socket = await this.#dial();
    if (settings === false) return socket;
    const deadline = setTimeout(() => socket.destroy(), CONNECT_TIMEOUT_MS);
    try {
      return await this.#startTls(socket, settings);
    } finally {
      clearTimeout(deadline);
    }
  }

  async #tlsSettings(): Promise<tls.ConnectionOptions | false> {
    const known = (this.#tls ??= tlsSettings(this.#address, CONNECT_TIMEOUT_MS));
    try {
      return await known;
    } catch (error) {
      this.#tls = undefined;
      throw error;
    }
  }

  #dial(): Promise<net.Socket> {
    const {host, port} = this.#address;
    return new Promise((resolve, reject) => {
      const socket = new net.Socket(SOCKET_OPTIONS);
      if (host.startsWith('/')) socket.connect({path: `${host}/.s.PGSQL.${port}`});
      else socket.connect({host, port, noDelay: true, keepAlive: true, keepAliveInitialDelay: KEEP_ALIVE_DELAY_MS});
      socket.setTimeout(CONNECT_TIMEOUT_MS, () =>
        socket.destroy(Object.assign(new Error('the engine does not answer'), {code: 'ETIMEDOUT'})),
      );
      socket.once('error', reject);
      socket.once('connect', () => {
        socket.setTimeout(0);
        socket.off('error', reject);
        socket.on('error', () => undefined);
        resolve(socket);
      });
    });
  }

  async #startTls(socket: net.Socket, settings: tls.ConnectionOptions): Promise<net.Socket> {
    const {host} = this.#address;
    const answer = await new Promise<number>((resolve, reject) => {
      socket.once('data', data => {
        socket.pause();
        // More than the one byte would be plain text that somebody slipped in before the handshake.
        resolve(data.length === 1 ? data[0] : 0);
      });
      socket.once('close', () => reject(closed()));
      socket.write(SSL_REQUEST);
    });
    if (answer !== ACCEPTED) {
      socket.destroy();
      throw Object.assign(new Error('the engine does not speak TLS'), {code: 'ECONNREFUSED'});
    }
    return await new Promise((resolve, reject) => {
      const servername = net.isIP(host) === 0 ? {servername: host} : {};
      // The size is a stream option, which `tls.connect` passes on and its type does not know.
      const options = {...settings, ...servername, socket, highWaterMark: SOCKET_BUFFER_BYTES};
      const secure = tls.connect(options, () => {
        secure.off('error', reject);
        secure.on('error', () => undefined);
        resolve(secure);
      });
      secure.once('error', reject);
      secure.once('close', () => reject(closed()));
    });
  }
}

const closed = (): Error => Object.assign(new Error('the engine closed'), {code: 'ECONNRESET'});
