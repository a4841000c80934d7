import type net from 'node:net';
import {LONGEST_STARTUP_PACKET, REQUEST_CODE} from './startup-packet.ts';

/** How a client opens: with a request to cancel, or with a start-up packet; `rest` is what it has sent behind that. */
export type Greeting =
  | {readonly kind: 'cancel'; readonly packet: Buffer}
  | {readonly kind: 'startup'; readonly packet: Buffer; readonly rest: Buffer};

/** As PostgreSQL's authentication_timeout; the engine's own counts from the start-up packet on. */
const TIMEOUT_MS = 60_000;
const NO = Buffer.from('N');

/**
 * Reads what comes before a session. Requests for encryption are declined, each kind once, as by a PostgreSQL without it. Undefined: the
 * client has gone, or sent what cannot be answered. Leaves the socket paused.
 */
export function readGreeting(client: net.Socket): Promise<Greeting | undefined> {
  return new Promise(resolve => {
    let bytes: Buffer = Buffer.alloc(0);
    const declined = new Set<number>();

    const finish = (greeting: Greeting | undefined) => {
      client.pause();
      client.setTimeout(0);
      client.off('data', read);
      client.off('end', give);
      client.off('close', give);
      client.off('timeout', give);
      resolve(greeting);
    };
    const give = () => finish(undefined);
    const read = (chunk: Buffer) => {
      bytes = bytes.length === 0 ? chunk : Buffer.concat([bytes, chunk]);
      while (bytes.length >= 8) {
        const size = bytes.readUInt32BE(0);
        if (size < 8 || size > LONGEST_STARTUP_PACKET) return give();
        if (bytes.length < size) return;
        const packet = bytes.subarray(0, size);
        bytes = bytes.subarray(size);
        const code = packet.readUInt32BE(4);
        if (code === REQUEST_CODE.cancel) return finish({kind: 'cancel', packet});
        if (code !== REQUEST_CODE.tls && code !== REQUEST_CODE.gss) {
          return finish({kind: 'startup', packet, rest: bytes});
        }
        if (size !== 8 || declined.has(code)) return give();
        declined.add(code);
        client.write(NO);
      }
    };
    client.setTimeout(TIMEOUT_MS);
    client.on('data', read);
    client.resume();
    client.on('end', give);
    client.on('close', give);
    client.on('timeout', give);
  });
}
