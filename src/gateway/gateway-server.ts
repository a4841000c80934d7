import {once} from 'node:events';
import net from 'node:net';
import {TLSSocket} from 'node:tls';
import type pg from 'pg';
import type {Logger} from 'pino';
import {SqlError} from '../base/sql-error.ts';
import type {SecretBox} from '../catalog/secret-box.ts';
import type {EngineAddress} from '../engine/address.ts';
import type {PlanStatement} from '../statements/statement.ts';
import {admit, unreachable} from './admission.ts';
import {errorResponse} from './backend-messages.ts';
import type {ClientTls} from './client-tls.ts';
import {ControlLink} from './control-link.ts';
import {EngineDoor, SOCKET_BUFFER_BYTES} from './engine-door.ts';
import {readGreeting} from './greeting.ts';
import type {Greeting} from './greeting.ts';
import {LendingPace} from './lending-pace.ts';
import type {LoginOptions} from './login.ts';
import {LoginDesk} from './login-desk.ts';
import {loginNotices} from './login-notices.ts';
import {NativeRelay} from './native-relay.ts';
import {Session} from './session.ts';
import type {Lending} from './session.ts';
import {givenSettings, translateStartup, withDefaultPath} from './startup-options.ts';
import {readStartupPacket, writeStartupPacket} from './startup-packet.ts';
import type {StartupPacket} from './startup-packet.ts';

export interface GatewayOptions {
  /** Only host, port and TLS settings count; who logs in, and to which database, is the client's to say. */
  readonly engine: EngineAddress;
  /** Port 0: any free one. */
  readonly listen: {readonly host: string; readonly port: number};
  readonly plan: PlanStatement;
  readonly log: Logger;
  readonly secrets: SecretBox;
  /** A connection of the engine's administrator, to the database that our objects live in. */
  readonly connectControl: () => Promise<pg.Client>;
  /** Sessions beyond that are refused (53300), and as many more may be at the door. The engine's own limit counts too. Default 1000. */
  readonly maxConnections?: number | undefined;
  /** Without it clients cannot encrypt. */
  readonly tls?: ClientTls | undefined;
  /** Whether a client may come without TLS and be let in by the engine without a password: clients of this machine, say. */
  readonly isTrusted: (remoteAddress: string) => boolean;
  /** The internal address: superusers and `mz_system` may log in. Default false. */
  readonly takesAdministrators?: boolean | undefined;
  /** `typescript`: the native relay is not used. `eager`: it is, whenever a session is at rest. Default: if that seems to be worth it. */
  readonly relay?: 'typescript' | 'eager' | undefined;
  /** The search_path of the server's configuration. Default: PostgreSQL's own. */
  readonly searchPath?: string | undefined;
  /** Version of Sluice, of which sessions are told when they begin. Default: they begin without notices, as PostgreSQL's. */
  readonly version?: string | undefined;
  /** A connection of ours that is silent for so long is given up. Default `DEAD_MS`. */
  readonly deadMs?: number | undefined;
}

/** The start-up packet for the engine, and what the client is told when it has logged in. */
interface Beginning {
  readonly packet: Buffer;
  readonly notices?: LoginOptions['notices'];
}

const DEFAULT_PATH = '"$user", public';

/**
 * Speaks the PostgreSQL protocol with clients and gives each a backend of the engine. What is PostgreSQL's is relayed byte for byte;
 * statements of ours are found in the stream and replaced in their place (`Interception`, `StringRun`). It authenticates nobody and
 * keeps no state that a restart needs.
 */
export class GatewayServer {
  readonly #options: GatewayOptions;
  readonly #server: net.Server;
  readonly #door: EngineDoor;
  readonly #control: ControlLink;
  readonly #desk: LoginDesk;
  readonly #sessions = new Set<Session>();
  readonly #clients = new Set<net.Socket>();
  #closing = false;

  constructor(options: GatewayOptions) {
    this.#options = options;
    this.#door = new EngineDoor(options.engine);
    this.#control = new ControlLink({connect: options.connectControl, deadMs: options.deadMs});
    this.#desk = new LoginDesk(this.#control, {
      searchPath: this.#searchPath,
      withObjects: options.version !== undefined,
    });
    this.#server = net.createServer(
      {allowHalfOpen: true, noDelay: true, keepAlive: true, pauseOnConnect: true, highWaterMark: SOCKET_BUFFER_BYTES},
      client => void this.#serve(client),
    );
  }

  /** Resolves when connections are accepted. Throws the errors of listen(2). */
  async listen(): Promise<{host: string; port: number}> {
    const {host, port} = this.#options.listen;
    this.#server.listen({host, port, backlog: 511});
    await once(this.#server, 'listening');
    // Accepting may fail for want of file descriptors, which others may give back.
    this.#server.on('error', error => this.#options.log.error({err: error}, 'a client could not be accepted'));
    const address = this.#server.address() as net.AddressInfo;
    return {host: address.address, port: address.port};
  }

  /** Clients that have a backend. */
  get sessions(): number {
    return this.#sessions.size;
  }

  /** Takes no more clients, ends each session when it is outside of a transaction, and after `graceMs` the others too. */
  async close(graceMs: number): Promise<void> {
    this.#closing = true;
    const closed = new Promise<void>(resolve => this.#server.close(() => resolve()));
    for (const session of this.#sessions) session.closeWhenIdle();
    const timer = setTimeout(() => {
      for (const session of this.#sessions) session.terminate();
      for (const client of this.#clients) client.destroy();
    }, graceMs);
    // Whoever has not sent a start-up packet waits for nothing of ours.
    for (const client of this.#clients) client.destroy();
    await closed;
    clearTimeout(timer);
    await this.#control.close();
  }

  get #limit(): number {
    return this.#options.maxConnections ?? 1000;
  }

  async #serve(client: net.Socket): Promise<void> {
    client.on('error', () => undefined);
    if (this.#clients.size >= this.#limit) {
      // So many are at the door who have not said what they want that there is nothing to answer.
      client.destroy();
      return;
    }
    this.#clients.add(client);
    client.once('close', () => this.#clients.delete(client));
    try {
      const greeting = await readGreeting(client, this.#options.tls);
      if (greeting === undefined) client.destroy();
      else await this.#greeted(greeting);
    } catch (error) {
      this.#refuse(client, error);
    } finally {
      this.#clients.delete(client);
    }
  }

  async #greeted(greeting: Greeting): Promise<void> {
    try {
      if (greeting.kind === 'cancel') await this.#forwardCancel(greeting.client, greeting.packet);
      else await this.#open(greeting);
    } catch (error) {
      this.#refuse(greeting.client, error);
    }
  }

  /** The key in it was the engine's, of whatever length, so the request is the engine's to judge. */
  async #forwardCancel(client: net.Socket, packet: Buffer): Promise<void> {
    const engine = await this.#door.open();
    engine.resume();
    engine.end(packet);
    await once(engine, 'close');
    client.destroy();
  }

  async #open(greeting: Extract<Greeting, {kind: 'startup'}>): Promise<void> {
    const {client, encrypted: clientEncrypted} = greeting;
    const trusted = this.#options.isTrusted(client.remoteAddress ?? '');
    if (!clientEncrypted && !trusted) throw unencrypted();
    if (this.#sessions.size >= this.#limit) throw new SqlError('53300', 'sorry, too many clients already');
    const startup = readStartupPacket(greeting.packet);
    const opening = this.#door.open();
    // Observed below; meanwhile its failure must not count as unhandled.
    opening.catch(() => undefined);
    let beginning: Beginning = {packet: greeting.packet};
    try {
      if (startup !== undefined) beginning = await this.#admit(startup);
    } catch (error) {
      opening.then(
        engine => engine.destroy(),
        () => undefined,
      );
      throw error;
    }
    const engine = await opening;
    // It may have ended while its client was admitted: a session would never hear of that.
    if (engine.destroyed) throw unreachable();
    if (client.destroyed || this.#closing) {
      engine.destroy();
      client.destroy();
      return;
    }
    const {plan, secrets, log} = this.#options;
    const login = {
      clientEncrypted,
      engineEncrypted: engine instanceof TLSSocket,
      mustProve: !trusted,
      notices: beginning.notices,
    };
    const session = new Session(client, engine, login, plan, {control: this.#control, secrets, log}, this.#lending());
    this.#sessions.add(session);
    void session.ended.then(() => this.#sessions.delete(session));
    session.start(beginning.packet, greeting.rest);
  }

  /** Throws `SqlError` for whom this address does not let in. */
  async #admit(startup: StartupPacket): Promise<Beginning> {
    const translated = translateStartup(startup);
    const given = givenSettings(translated);
    const {user, database, here} = await admit(startup, given, this.#desk, this.#options.takesAdministrators ?? false);
    if (here === undefined) return {packet: writeStartupPacket(translated)};
    const {settings: roleSettings, objects} = here;
    const path = roleSettings.get('search_path') ?? this.#searchPath;
    const packet = writeStartupPacket(withDefaultPath(translated, latin1(path)));
    const {version} = this.#options;
    if (version === undefined || objects === undefined) return {packet};
    const {refused} = translated;
    const begins = {version, user, database, defaultPath: this.#searchPath, given, roleSettings, objects, refused};
    return {packet, notices: processId => loginNotices(begins, processId)};
  }

  get #searchPath(): string {
    return this.#options.searchPath ?? DEFAULT_PATH;
  }

  #lending(): Lending | undefined {
    const {relay: wish} = this.#options;
    const relay = wish === 'typescript' ? undefined : NativeRelay.shared();
    return relay && {relay, pace: new LendingPace(wish === 'eager' ? 1 : undefined)};
  }

  #refuse(client: net.Socket, error: unknown): void {
    if (!(error instanceof SqlError) || error.code === '57P03') {
      this.#options.log.warn({err: error}, 'no connection to the engine');
    }
    const reported = error instanceof SqlError ? error : unreachable();
    client.end(errorResponse(reported, {severity: 'FATAL'}));
    client.destroySoon();
  }
}

/** As start-up packets are read and written here. */
const latin1 = (text: string): string => Buffer.from(text, 'utf8').toString('latin1');

const unencrypted = (): SqlError =>
  new SqlError('28000', 'a client on another machine has to encrypt its connection', {
    hint: 'Connect with sslmode=require, or better sslmode=verify-full.',
  });
