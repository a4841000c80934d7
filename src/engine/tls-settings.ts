import {readFile} from 'node:fs/promises';
import net from 'node:net';
import type {ConnectionOptions} from 'node:tls';
import type {EngineAddress} from './address.ts';

/** Asks with an SSLRequest (protocol section 54.2.11) whether the server speaks TLS; the probing connection is thrown away. */
async function offersTls(address: EngineAddress, timeoutMs: number): Promise<boolean> {
  const socket = net.connect({host: address.host, port: address.port, timeout: timeoutMs});
  try {
    return await new Promise<boolean>((resolve, reject) => {
      socket.once('error', reject);
      socket.once('timeout', () =>
        reject(Object.assign(new Error('no answer to the TLS request'), {code: 'ETIMEDOUT'})),
      );
      socket.once('end', () => reject(Object.assign(new Error('closed instead of answering'), {code: 'ECONNRESET'})));
      socket.once('data', data => resolve(data[0] === 0x53 /* S */));
      socket.write(Buffer.from([0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f]));
    });
  } finally {
    socket.destroy();
  }
}

/** What libpq does for each sslmode, in the terms of Node's TLS. False: no TLS. */
export async function tlsSettings(address: EngineAddress, timeoutMs: number): Promise<false | ConnectionOptions> {
  if (address.host.startsWith('/') || address.sslmode === 'disable') return false;
  if (address.sslmode === 'prefer') return (await offersTls(address, timeoutMs)) ? {rejectUnauthorized: false} : false;
  const ca = address.sslrootcert === undefined ? undefined : await readFile(address.sslrootcert, 'utf8');
  if (address.sslmode === 'require' && ca === undefined) return {rejectUnauthorized: false};
  return {
    rejectUnauthorized: true,
    ...(ca === undefined ? {} : {ca}),
    // As in libpq, `require` with a root certificate checks the chain and not the name.
    ...(address.sslmode === 'verify-full' ? {} : {checkServerIdentity: () => undefined}),
  };
}
