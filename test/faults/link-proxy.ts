import {once} from 'node:events';
import {connect, createServer, type AddressInfo, type Server, type Socket} from 'node:net';
import {setImmediate, setTimeout} from 'node:timers/promises';

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
  /** Whoever has sent something that is still on its way. */
  readonly #waiting = new Set<Socket>();
  #mode: 'whole' | 'cut' | 'still' | 'still there' | 'still back' = 'whole';
  #bytesPerSecond = Infinity;
  #pieceBytes = Infinity;

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

  /** Nothing arrives any more, in both directions or only on the way there or back to the client; nothing is lost either. */
  holdUp(direction: 'both' | 'there' | 'back' = 'both'): void {
    this.#mode = direction === 'both' ? 'still' : `still ${direction}`;
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

  /** Everything arrives in pieces of at most so many bytes, wherever messages begin and end; on a slow wire, in bursts. */
  chop(pieceBytes: number): void {
    this.#pieceBytes = pieceBytes;
  }

  heal(): void {
    this.#mode = 'whole';
    this.#bytesPerSecond = Infinity;
    this.#pieceBytes = Infinity;
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
    client.setNoDelay();
    server.setNoDelay();
    for (const [from, to] of [
      [client, server],
      [server, client],
    ]) {
      from.on('data', chunk => {
        from.pause();
        this.#waiting.add(from);
        void this.#pass(chunk, to).then(() => {
          this.#waiting.delete(from);
          this.#flowOf(link);
        });
      });
      from.on('error', () => undefined);
      from.on('close', () => {
        this.#links.delete(link);
        to.destroy();
      });
    }
    this.#flowOf(link);
  }

  async #pass(chunk: Buffer, to: Socket): Promise<void> {
    for (let at = 0; at < chunk.length && !to.destroyed;) {
      const piece = chunk.subarray(at, at + this.#pieceBytes);
      at += piece.length;
      to.write(piece);
      const ms = (piece.length / this.#bytesPerSecond) * 1000;
      if (ms >= 1) await setTimeout(ms);
      else if (at < chunk.length) await setImmediate();
    }
  }

  #flow(): void {
    for (const link of this.#links) this.#flowOf(link);
  }

  #flowOf(link: Link): void {
    const dead = this.#forgotten.has(link) || this.#mode === 'still';
    for (const [socket, flows] of [
      [link.client, !dead && this.#mode !== 'still there'],
      [link.server, !dead && this.#mode !== 'still back'],
    ] as const) {
      if (flows && !this.#waiting.has(socket)) socket.resume();
      else socket.pause();
    }
  }
}
