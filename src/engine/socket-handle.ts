import type net from 'node:net';
import {TLSSocket} from 'node:tls';

/** What a socket reads with. Not documented, so its presence is asked for; it has been the same in every version of Node.js. */
export interface SocketHandle {
  readonly fd: number;
  readonly reading?: boolean;
  readStart?(): number;
  readStop?(): number;
}

/** Of a socket that somebody else could read: undefined if it is encrypted or destroyed, or has bytes in it that only Node.js knows of. */
export function socketHandle(socket: net.Socket): SocketHandle | undefined {
  if (socket instanceof TLSSocket || socket.destroyed || socket.readableLength > 0) return undefined;
  const {_handle: handle} = socket as unknown as {_handle?: Partial<SocketHandle> | null};
  return handle?.fd !== undefined && handle.fd >= 0 ? (handle as SocketHandle) : undefined;
}
