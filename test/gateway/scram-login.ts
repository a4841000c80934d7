import {createHash, createHmac, pbkdf2Sync, randomBytes} from 'node:crypto';
import {once} from 'node:events';
import net from 'node:net';
import tls from 'node:tls';
import {frameOf} from '../../src/gateway/backend-messages.ts';
import {writeStartupPacket} from '../../src/gateway/startup-packet.ts';
import type {Message} from './raw-client.ts';

export const SSL_REQUEST = Buffer.from([0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f]);
export const GSS_REQUEST = Buffer.from([0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x30]);

/** A bare connection: bytes in, messages out, nothing sent by itself. */
export class BareConnection implements AsyncDisposable {
  readonly socket: net.Socket;
  readonly #chunks: Buffer[] = [];
  #ended = false;
  #wake: () => void = () => undefined;

  private constructor(socket: net.Socket) {
    this.socket = socket;
    socket.on('data', chunk => {
      this.#chunks.push(chunk);
      this.#wake();
    });
    socket.on('error', () => undefined);
    socket.on('close', () => {
      this.#ended = true;
      this.#wake();
    });
    socket.setTimeout(45_000, () => socket.destroy());
  }

  static async open(url: string): Promise<BareConnection> {
    const {hostname, port} = new URL(url);
    const socket = net.connect({host: hostname, port: Number(port)});
    await once(socket, 'connect');
    return new BareConnection(socket);
  }

  /** The socket, paused, for somebody else to read. */
  release(): net.Socket {
    this.socket.pause();
    this.socket.removeAllListeners('data');
    this.socket.setTimeout(0);
    return this.socket;
  }

  /** Speaks TLS from here on. Throws where the handshake fails. */
  async encrypt(options: tls.ConnectionOptions): Promise<BareConnection> {
    this.socket.removeAllListeners('data');
    const secure = tls.connect({...options, socket: this.socket});
    await once(secure, 'secureConnect');
    return new BareConnection(secure);
  }

  /** Exactly so many bytes; fewer if the connection has ended. */
  async take(bytes: number): Promise<Buffer> {
    for (;;) {
      const all = Buffer.concat(this.#chunks.splice(0));
      if (all.length >= bytes || this.#ended) {
        if (all.length > bytes) this.#chunks.push(all.subarray(bytes));
        return all.subarray(0, bytes);
      }
      if (all.length > 0) this.#chunks.push(all);
      await new Promise<void>(resolve => (this.#wake = resolve));
    }
  }

  async message(): Promise<Message | undefined> {
    const header = await this.take(5);
    if (header.length < 5) return undefined;
    return {type: String.fromCharCode(header[0]), body: await this.take(header.readUInt32BE(1) - 4)};
  }

  /** Up to the first message of one of these types, or the end. */
  async until(...types: readonly string[]): Promise<Message[]> {
    const seen: Message[] = [];
    for (;;) {
      const message = await this.message();
      if (message === undefined) return seen;
      seen.push(message);
      if (types.includes(message.type)) return seen;
    }
  }

  [Symbol.asyncDispose](): Promise<void> {
    this.socket.destroy();
    return Promise.resolve();
  }
}

const derived = new Map<string, Buffer>();

/** Dear, and the same at each login of a role. */
function saltedPassword(password: string, salt: string, rounds: number): Buffer {
  const key = `${rounds} ${salt} ${password}`;
  let salted = derived.get(key);
  if (salted === undefined) {
    salted = pbkdf2Sync(password, Buffer.from(salt, 'base64'), rounds, 32, 'sha256');
    derived.set(key, salted);
  }
  return salted;
}

/** Start-up and SCRAM-SHA-256 (RFC 7677), in any version of the protocol. Returns everything up to ReadyForQuery. */
export async function scramLogin(
  connection: BareConnection,
  parameters: readonly (readonly [string, string])[],
  password: string,
  protocol = 0x30000,
): Promise<Message[]> {
  const {socket} = connection;
  const p = (body: Buffer | string) => socket.write(frameOf(0x70, Buffer.from(body as string)));
  const nonce = randomBytes(18).toString('base64');
  const first = `n=,r=${nonce}`;
  socket.write(writeStartupPacket({protocol, parameters}));
  const seen = await connection.until('R', 'E');
  if (seen.at(-1)?.type !== 'R') return seen;
  if (seen.at(-1)?.body.readUInt32BE(0) === 3) {
    p(`${password}\0`);
    return [...seen, ...(await connection.until('Z', 'E'))];
  }
  const length = Buffer.alloc(4);
  length.writeUInt32BE(first.length + 3);
  p(Buffer.concat([Buffer.from('SCRAM-SHA-256\0'), length, Buffer.from(`n,,${first}`)]));

  const challenge = (await connection.message())!.body.toString('latin1', 4);
  const [, serverNonce, salt, rounds] = /^r=(.*),s=(.*),i=(\d+)$/.exec(challenge)!;
  const salted = saltedPassword(password, salt, Number(rounds));
  const clientKey = createHmac('sha256', salted).update('Client Key').digest();
  const last = `c=biws,r=${serverNonce}`;
  const signature = createHmac('sha256', createHash('sha256').update(clientKey).digest())
    .update(`${first},${challenge},${last}`)
    .digest();
  p(`${last},p=${Buffer.from(clientKey.map((byte, at) => byte ^ signature[at])).toString('base64')}`);
  return [...seen, ...(await connection.until('Z', 'E'))];
}
