import {once} from 'node:events';
import {connect, createServer, type AddressInfo, type Server, type Socket} from 'node:net';

/** One connection through the proxy. */
interface Link {
  readonly client: Socket;
  readonly server: Socket;
}

/** A wire between two programs that can be cut, stand still, forget a connection, or be slow. */
export class LinkProxy {
  readonly #server: Server;
  readonly #links = new Set<Link>();
  readonly #forgotten = new Set<Link>();
  #mode: 'whole' | 'cut' | 'still' | 'still back' = 'whole';
  #bytesPerSecond = Infinity;

  private constructor(server: Server) {
    this.#server = server;
  }

  /** `to`: host:port. */
  static async start(to: string): Promise<LinkProxy> {
    const [host, port] = to.split(':') as [string, string];
    const server = createServer({pauseOnConnect: true});
    const proxy = new LinkProxy(server);
    server.on('connection', client => {
      if (proxy.#mode === 'cut') client.destroy();
      else proxy.#relay({client, server: connect(Number(port), host)});
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return proxy;
  }

  get port(): string {
    return String((this.#server.address() as AddressInfo).port);
  }

  get address(): string {
    return `127.0.0.1:${this.port}`;
  }

  /** Every connection is reset, and no new one is let through. */
  cut(): void {
    this.#mode = 'cut';
    for (const {client, server} of this.#links) {
      client.resetAndDestroy();
      server.destroy();
    }
  }

  /** Nothing arrives any more, in both directions or only on the way back to the client; nothing is lost either. */
  holdUp(direction: 'both' | 'back' = 'both'): void {
    this.#mode = direction === 'both' ? 'still' : 'still back';
    this.#flow();
  }

  /** The connections that there are now stay open on both sides, and carry nothing for ever. */
  forget(): void {
    for (const link of this.#links) this.#forgotten.add(link);
    this.#flow();
  }

  slow(bytesPerSecond: number): void {
    this.#bytesPerSecond = bytesPerSecond;
  }

  heal(): void {
    this.#mode = 'whole';
    this.#bytesPerSecond = Infinity;
    this.#flow();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const {client, server} of this.#links) {
      client.destroy();
      server.destroy();
    }
    this.#server.close();
    await once(this.#server, 'close');
  }

  #relay(link: Link): void {
    const {client, server} = link;
    this.#links.add(link);
    for (const [from, to] of [
      [client, server],
      [server, client],
    ]) {
      from.on('data', chunk => {
        to.write(chunk);
        from.pause();
        const ms = (chunk.length / this.#bytesPerSecond) * 1000;
        if (ms < 1) this.#flowOf(link);
        else setTimeout(() => this.#flowOf(link), ms);
      });
      from.on('error', () => undefined);
      from.on('close', () => {
        this.#links.delete(link);
        to.destroy();
      });
    }
    this.#flowOf(link);
  }

  #flow(): void {
    for (const link of this.#links) this.#flowOf(link);
  }

  #flowOf(link: Link): void {
    const dead = this.#forgotten.has(link) || this.#mode === 'still';
    for (const [socket, flows] of [
      [link.client, !dead],
      [link.server, !dead && this.#mode !== 'still back'],
    ] as const) {
      if (flows) socket.resume();
      else socket.pause();
    }
  }
}
