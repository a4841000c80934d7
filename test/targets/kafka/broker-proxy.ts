import {once} from 'node:events';
import {connect, createServer, type AddressInfo, type Server, type Socket} from 'node:net';

/** Keys of requests in the Kafka protocol. */
export const API = {initProducerId: 22, addPartitionsToTxn: 24, endTxn: 26} as const;

/**
 * Stands between a client and one broker and loses chosen requests or answers, as a network does. The broker's own address
 * is replaced in every answer, so that the client never learns a way around.
 */
export class BrokerProxy {
  /** Kinds of requests that never reach the broker. */
  readonly loseRequests = new Set<number>();
  /** Kinds of requests that the broker carries out and whose answers never come back. */
  readonly loseAnswers = new Set<number>();
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();
  readonly #lost: (() => void)[] = [];

  private constructor(server: Server) {
    this.#server = server;
  }

  /** `through`: where the broker is reached, if not at the address that it advertises. */
  static async start(broker: string, through = broker): Promise<BrokerProxy> {
    const [host, port] = broker.split(':') as [string, string];
    const [routeHost, routePort] = through.split(':') as [string, string];
    const server = createServer();
    const proxy = new BrokerProxy(server);
    server.on('connection', client => proxy.#relay(client, connect(Number(routePort), routeHost), host, Number(port)));
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return proxy;
  }

  get address(): string {
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Resolves at the next loss. */
  nextLoss(): Promise<void> {
    return new Promise(resolve => this.#lost.push(resolve));
  }

  #relay(client: Socket, broker: Socket, host: string, port: number): void {
    const kinds = new Map<number, number>();
    for (const socket of [client, broker]) {
      this.#sockets.add(socket);
      socket.on('error', () => undefined);
      socket.on('close', () => {
        client.destroy();
        broker.destroy();
      });
    }
    client.on(
      'data',
      frames(frame => {
        const kind = frame.readInt16BE(4);
        kinds.set(frame.readInt32BE(8), kind);
        if (this.loseRequests.has(kind)) this.#lose();
        else broker.write(frame);
      }),
    );
    const ownPort = (this.#server.address() as AddressInfo).port;
    broker.on(
      'data',
      frames(frame => {
        const kind = kinds.get(frame.readInt32BE(4));
        if (kind !== undefined && this.loseAnswers.has(kind)) this.#lose();
        else client.write(withPort(frame, host, port, ownPort));
      }),
    );
  }

  #lose(): void {
    for (const resolve of this.#lost.splice(0)) resolve();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }
}

/** Kafka frames: int32 size, then so many bytes. */
function frames(onFrame: (frame: Buffer) => void): (chunk: Buffer) => void {
  let rest: Buffer = Buffer.of();
  return chunk => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    while (rest.length >= 4) {
      const end = 4 + rest.readInt32BE(0);
      if (rest.length < end) return;
      onFrame(rest.subarray(0, end));
      rest = rest.subarray(end);
    }
  };
}

/** In every version of the answers that name brokers the int32 port follows the host's text. */
function withPort(frame: Buffer, host: string, from: number, to: number): Buffer {
  const pattern = Buffer.alloc(host.length + 4);
  pattern.write(host);
  pattern.writeInt32BE(from, host.length);
  const answer = Buffer.from(frame);
  for (let at = answer.indexOf(pattern); at !== -1; at = answer.indexOf(pattern, at + pattern.length)) {
    answer.writeInt32BE(to, at + host.length);
  }
  return answer;
}
