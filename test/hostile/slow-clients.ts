import net from 'node:net';
import {once} from 'node:events';
import type {Recording} from './mutation.ts';

const EVERY_MS = 50;

/** Clients that send a session byte by byte, among them such as never finish their start-up. */
export class SlowClients {
  readonly #sockets: readonly net.Socket[];
  readonly #timer: NodeJS.Timeout;

  constructor(port: number, recordings: readonly Recording[]) {
    const sessions = [
      ...recordings.map(({frames}) => Buffer.concat(frames)),
      // The longest start-up packet that is taken, and one that is not.
      Buffer.concat([Buffer.from([0, 0, 0x27, 0x10, 0, 3, 0, 0]), Buffer.alloc(9_000, 0x61)]),
      Buffer.concat([Buffer.from([0, 0, 0x27, 0x11, 0, 3, 0, 0]), Buffer.alloc(9_000, 0x61)]),
    ];
    this.#sockets = sessions.map(() => {
      const socket = net.connect({port, host: '127.0.0.1'});
      socket.on('error', () => undefined);
      socket.on('data', () => undefined);
      return socket;
    });
    let at = 0;
    this.#timer = setInterval(() => {
      for (const [i, socket] of this.#sockets.entries()) {
        if (socket.writable && at < sessions[i].length) socket.write(sessions[i].subarray(at, at + 1));
      }
      at++;
    }, EVERY_MS);
  }

  async end(): Promise<void> {
    clearInterval(this.#timer);
    for (const socket of this.#sockets) {
      if (socket.closed) continue;
      socket.destroy();
      await once(socket, 'close');
    }
  }
}
