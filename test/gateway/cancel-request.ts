import net from 'node:net';
import {once} from 'node:events';
import {REQUEST_CODE} from '../../src/gateway/startup-packet.ts';
import type {RawClient} from './raw-client.ts';

/** Of a session with protocol 3.0, whose key has four bytes. */
export function cancelRequest({processId, secretKey}: RawClient): Buffer {
  const request = Buffer.alloc(16);
  request.writeUInt32BE(16, 0);
  request.writeUInt32BE(REQUEST_CODE.cancel, 4);
  request.writeInt32BE(processId, 8);
  request.writeInt32BE(secretKey, 12);
  return request;
}

/** Resolves when the server has closed the request's connection, behind which the signal is on its way. */
export async function cancel(url: string, client: RawClient): Promise<void> {
  const {port, hostname} = new URL(url);
  const socket = net.connect({port: Number(port), host: hostname});
  socket.end(cancelRequest(client));
  socket.resume();
  await once(socket, 'close');
}
