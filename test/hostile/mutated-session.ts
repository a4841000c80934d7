import net from 'node:net';
import type {MutatedSession} from './mutation.ts';

/** A server that keeps a connection whose client has said that it is done. */
export class Stuck extends Error {
  override readonly name = 'Stuck';
}

/** Listens so long before it hangs up, where the session says so. */
const LISTEN_MS = 30;
const LIMIT_MS = 90_000;

/** Resolves when the connection is closed on both sides; rejects with `Stuck`, or when nobody listens any more. */
export function sendMutated(port: number, {writes, ending}: MutatedSession): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = net.connect({port, host: '127.0.0.1', allowHalfOpen: false});
    let connected = false;
    const timer = setTimeout(() => {
      reject(new Stuck(`the connection is still open after ${LIMIT_MS} ms`));
      socket.destroy();
    }, LIMIT_MS);
    socket.on('error', error => {
      // The server may close while we are still writing.
      if (!connected) reject(error);
    });
    socket.on('close', () => {
      clearTimeout(timer);
      resolve();
    });
    socket.on('data', () => undefined);
    const finish = () => {
      if (ending === 'reset') socket.resetAndDestroy();
      else if (ending === 'end') socket.end();
      else setTimeout(() => socket.end(), LISTEN_MS);
    };
    let next = 0;
    const write = () => {
      if (socket.destroyed) return;
      if (next === writes.length) return finish();
      socket.write(writes[next++]);
      setImmediate(write);
    };
    socket.once('connect', () => {
      connected = true;
      write();
    });
  });
}
