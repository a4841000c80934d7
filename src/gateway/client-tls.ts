import {X509Certificate, constants, createPrivateKey} from 'node:crypto';
import type {KeyObject} from 'node:crypto';
import fs from 'node:fs';
import type net from 'node:net';
import tls from 'node:tls';
import {SqlError} from '../base/sql-error.ts';

/** Paths of two PEM files: the certificate with what leads up to its authority behind it, and its key. */
export interface TlsFiles {
  readonly certificate: string;
  readonly key: string;
}

interface Identity {
  readonly cert: Buffer;
  readonly key: Buffer;
  /** When the certificate ends. */
  readonly validUntil: Date;
}

/** Registered for PostgreSQL; a client that begins with TLS at once has to name it (PostgreSQL 18 section 54.2.11). */
const ALPN = 'postgresql';

const HANDSHAKE_MS = 60_000;

/**
 * TLS between clients and us: TLS 1.2 or newer, no client certificates. The files are checked when they are read, so that a wrong
 * one is an error at the start, and a reload with one changes nothing.
 */
export class ClientTls {
  readonly #files: TlsFiles;
  /** Never listens; connections are handed to it. */
  readonly #server: tls.Server;
  /** Connections in their handshake, by the client's address and port. */
  readonly #waiting = new Map<string, (secure: tls.TLSSocket) => void>();
  #validUntil: Date;

  /** Throws `SqlError` that names the file and what is wrong with it. */
  constructor(files: TlsFiles) {
    const identity = readIdentity(files);
    this.#files = files;
    this.#validUntil = identity.validUntil;
    this.#server = tls.createServer({
      ...contextOf(identity),
      ALPNProtocols: [ALPN],
      handshakeTimeout: HANDSHAKE_MS,
      pauseOnConnect: true,
    });
    this.#server.on('secureConnection', secure => {
      secure.allowHalfOpen = true;
      this.#waiting.get(originOf(secure))?.(secure);
    });
    this.#server.on('tlsClientError', (_, secure) => secure.destroy());
  }

  /** When the certificate in use ends. */
  get validUntil(): Date {
    return this.#validUntil;
  }

  /** Reads the files again, for connections from now on. Throws as the constructor does; then the earlier ones stay in use. */
  reload(): void {
    const identity = readIdentity(this.#files);
    this.#server.setSecureContext(contextOf(identity));
    this.#validUntil = identity.validUntil;
  }

  /** The encrypted connection, paused; undefined where the handshake failed, and then `client` is destroyed. */
  async handshake(client: net.Socket): Promise<tls.TLSSocket | undefined> {
    const origin = originOf(client);
    try {
      // Who says that he is done before he has begun would be waited for otherwise.
      client.allowHalfOpen = false;
      return await new Promise(resolve => {
        this.#waiting.set(origin, resolve);
        client.once('close', () => resolve(undefined));
        this.#server.emit('connection', client);
      });
    } finally {
      this.#waiting.delete(origin);
    }
  }
}

/** True where the client has named the protocol. */
export const saysPostgres = (secure: tls.TLSSocket): boolean => secure.alpnProtocol === ALPN;

const originOf = ({remoteAddress, remotePort}: net.Socket): string => `${remoteAddress} ${remotePort}`;

const contextOf = ({cert, key}: Identity): tls.SecureContextOptions => ({
  cert,
  key,
  minVersion: 'TLSv1.2',
  secureOptions: constants.SSL_OP_NO_RENEGOTIATION,
});

function readIdentity(files: TlsFiles): Identity {
  const cert = read(files.certificate, 'certificate');
  const key = read(files.key, 'key');
  const leaf = understand(
    () => new X509Certificate(cert),
    `"${files.certificate}" holds no certificate`,
    'Give a PEM file that begins with the certificate of this server.',
  );
  checkMode(files.key);
  const privateKey: KeyObject = understand(
    () => createPrivateKey(key),
    `"${files.key}" holds no private key that can be read`,
    'Give a PEM file with the key, not encrypted by a passphrase.',
  );
  if (!leaf.checkPrivateKey(privateKey)) {
    throw new SqlError(
      '22023',
      `the key in "${files.key}" does not belong to the certificate in "${files.certificate}"`,
    );
  }
  const identity = {cert, key, validUntil: new Date(leaf.validTo)};
  understand(
    () => tls.createSecureContext(contextOf(identity)),
    `"${files.certificate}" and "${files.key}" cannot be used`,
    'The detail is what OpenSSL says.',
  );
  return identity;
}

function read(file: string, what: string): Buffer {
  try {
    return fs.readFileSync(file);
  } catch (cause) {
    throw new SqlError('58P01', `cannot read the TLS ${what} "${file}"`, {detail: reasonOf(cause), cause});
  }
}

function understand<T>(work: () => T, message: string, hint: string): T {
  try {
    return work();
  } catch (cause) {
    throw new SqlError('22023', message, {detail: reasonOf(cause), hint, cause});
  }
}

const reasonOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

/** As PostgreSQL asks of its ssl_key_file: only the owner reads it, or root owns it and one group reads it. */
function checkMode(file: string): void {
  const {mode, uid} = fs.statSync(file);
  if ((mode & (uid === 0 ? 0o037 : 0o077)) === 0) return;
  throw new SqlError('42501', `the TLS key "${file}" can be read or written by others`, {
    hint: 'Set its mode to 0600, or to 0640 where root owns it.',
  });
}
