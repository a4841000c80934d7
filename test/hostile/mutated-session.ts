import {once} from 'node:events';
import net from 'node:net';
import tls from 'node:tls';
import {SSL_REQUEST} from '../gateway/scram-login.ts';
import type {MutatedSession} from './mutation.ts';

/** A server that keeps a connection whose client has said that it is done. */
export class Stuck extends Error {
  override readonly name = 'Stuck';
}

/** Listens so long before it hangs up, where the session says so. */
const LISTEN_MS = 30;
const LIMIT_MS = 90_000;
const DESTROYED_MS = 500;

/** Resolves when the connection is closed on both sides; rejects with `Stuck`, or when nobody listens or speaks TLS any more. */
export async function sendMutated(port: number, session: MutatedSession): Promise<void> {
  const socket = net.connect({port, host: '127.0.0.1', allowHalfOpen: false});
  await once(socket, 'connect');
  // The server may close while we are still writing.
  socket.on('error', () => undefined);
  const gone = new AbortController();
  let watch: NodeJS.Timeout | undefined;
  const closed = new Promise<void>(resolve => {
    const end = () => resolve(gone.abort());
    socket.once('close', end);
    if (session.channel === 'plain') return;
    // A socket that is cut off at the wrong moment of its handshake is destroyed without that event.
    watch = setInterval(() => {
      if (socket.destroyed) end();
    }, DESTROYED_MS);
  });
  let stuck = false;
  const timer = setTimeout(() => {
    stuck = true;
    socket.destroy();
  }, LIMIT_MS);
  try {
    const stream = session.channel === 'plain' ? socket : await encrypt(socket, session.channel, gone.signal);
    stream.on('data', () => undefined);
    await write(stream, session.writes);
    if (session.scrap !== undefined && !socket.destroyed) socket.write(session.scrap);
    finish(socket, stream, session.ending);
    await closed;
  } finally {
    clearTimeout(timer);
    clearInterval(watch);
  }
  if (stuck) throw new Stuck(`the connection is still open after ${LIMIT_MS} ms`);
}

async function encrypt(
  socket: net.Socket,
  channel: 'TLS' | 'TLS at once',
  signal: AbortSignal,
): Promise<tls.TLSSocket> {
  if (channel === 'TLS') {
    socket.write(SSL_REQUEST);
    await once(socket, 'readable', {signal});
    const answer = socket.read(1) as Buffer | null;
    if (answer?.toString() !== 'S') throw new Error(`the answer to the request for TLS is ${answer?.toString()}`);
  }
  const secure = tls.connect({socket, rejectUnauthorized: false, ALPNProtocols: ['postgresql']});
  secure.on('error', () => undefined);
  await once(secure, 'secureConnect', {signal});
  return secure;
}

async function write(stream: net.Socket, writes: readonly Buffer[]): Promise<void> {
  for (const bytes of writes) {
    if (stream.destroyed) return;
    stream.write(bytes);
    await new Promise<void>(resolve => setImmediate(resolve));
  }
}

function finish(socket: net.Socket, stream: net.Socket, ending: MutatedSession['ending']): void {
  if (ending === 'reset') socket.resetAndDestroy();
  else if (ending === 'end') stream.end();
  else setTimeout(() => stream.end(), LISTEN_MS);
}
