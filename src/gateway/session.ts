import type net from 'node:net';
import {SqlError} from '../base/sql-error.ts';
import type {PlanStatement} from '../statements/statement.ts';
import {BACKEND, errorResponse, readParameter, writeParameter} from './backend-messages.ts';
import {ClientMessages} from './client-messages.ts';
import {BackendGone} from './exchange.ts';
import type {Exchange} from './exchange.ts';
import {FrameSource} from './frame-source.ts';
import {REQUESTS} from './frontend-messages.ts';
import {Interception} from './interception.ts';
import {Ledger} from './ledger.ts';
import type {AnswerReader} from './ledger.ts';
import type {LendingPace} from './lending-pace.ts';
import {Login} from './login.ts';
import type {LoginOptions} from './login.ts';
import type {Loan, NativeRelay, Recalled} from './native-relay.ts';
import {Outlet} from './outlet.ts';
import type {GatewayServices} from './plan-run.ts';
import {withoutCatalog} from './startup-options.ts';
import {readably, textEncoding} from './text-encoding.ts';

const IDLE = 0x49; // I

/** How long a client may take for the last bytes of a session whose backend has ended. */
const LAST_BYTES_MS = 60_000;
/** The same when it is we who end the session. */
const FAREWELL_MS = 1000;

/** Who carries a session's ordinary traffic, and when. */
export interface Lending {
  readonly relay: NativeRelay;
  readonly pace: LendingPace;
}

/** They may be long, and nothing waits for their end, so they are passed on as they come. */
const STREAMED: ReadonlySet<number> = new Set([BACKEND.dataRow, BACKEND.copyData, BACKEND.functionResult]);

/**
 * One client and its backend, from the start-up packet to the end. Both directions are relayed as they come, with back-pressure; what
 * the client sends goes through `ClientMessages`, what the server answers is read here by the ledger's readers.
 */
export class Session implements Exchange {
  readonly ledger = new Ledger();
  readonly toClient: Outlet;
  readonly toBackend: Outlet;
  encoding = textEncoding('UTF8');
  standardConformingStrings = true;
  heldNotifications: Buffer[] | undefined;
  copyBrokenBy: number | undefined;
  /** 0 until the login is complete. */
  transactionStatus = 0;
  /** Resolves when both connections have ended. */
  readonly ended: Promise<void>;

  readonly #client: net.Socket;
  readonly #backend: net.Socket;
  readonly #services: GatewayServices;
  readonly #interception: Interception;
  readonly #fromClient: ClientMessages;
  readonly #fromBackend = new FrameSource();
  #clientFull = false;
  #backendFull = false;
  #clientEnded = false;
  #closing = false;
  /** Who waits for the backend. */
  readonly #waiting = new Set<(error: BackendGone) => void>();

  readonly #login: Login;
  readonly #lending: Lending | undefined;
  /** While there is one the sockets are not ours, and what has come meanwhile is not known here. */
  #loan: Loan | undefined;

  /** Both sockets allow half-open connections. The start-up packet goes out through `start`. */
  constructor(
    client: net.Socket,
    backend: net.Socket,
    login: LoginOptions,
    planStatement: PlanStatement,
    services: GatewayServices,
    lending?: Lending,
  ) {
    this.#client = client;
    this.#lending = lending;
    this.#backend = backend;
    this.#services = services;
    this.toClient = new Outlet(client);
    this.toBackend = new Outlet(backend);
    this.#interception = new Interception(this, planStatement, services);
    this.#login = new Login(login, {
      toEngine: frame => {
        this.toBackend.send(frame);
        this.#flushToBackend();
      },
      fail: error => this.#fail(error),
      encode: text => readably(this.encoding, text),
    });
    this.#fromClient = new ClientMessages(this, this.#interception, this.#login, {
      onFailure: error => this.#fail(error),
      onRelease: () => {
        this.flush();
        this.#goOn();
        if (this.#closing) this.closeWhenIdle();
      },
    });
    this.ended = Promise.all([closed(client), closed(backend)]).then(() => undefined);
  }

  /** `early`: what the client has sent behind its start-up packet. */
  start(startupPacket: Buffer, early: Buffer): void {
    this.ledger.sent('query', this.#login);
    this.toBackend.send(startupPacket);
    this.#client.on('data', chunk => this.#guard(() => this.#onClientData(chunk)));
    this.#backend.on('data', chunk => this.#guard(() => this.#onBackendData(chunk)));
    this.#client.on('end', () => this.#onClientEnd());
    this.#client.on('close', () => {
      this.#onClientEnd();
      // It may wait for a client that will read no more.
      this.#backend.resume();
    });
    this.#backend.on('end', () => this.#onBackendEnd());
    this.#backend.on('close', () => this.#onBackendEnd());
    if (early.length > 0) this.#fromClient.push(early);
    // It may have said so while the backend was fetched.
    if (this.#client.readableEnded) this.#onClientEnd();
    this.#backend.resume();
    this.#goOn();
  }

  /** Ends the session as a stopping server does, as soon as it is outside of a transaction. */
  closeWhenIdle(): void {
    this.#closing = true;
    this.#recall();
    if (!this.#fromClient.held && this.transactionStatus === IDLE && this.ledger.next === undefined) this.terminate();
  }

  terminate(error = new SqlError('57P01', 'terminating connection due to administrator command')): void {
    this.#recall();
    if (!this.#fromBackend.inPart && this.#client.writable) {
      this.toClient.send(errorResponse(error, {severity: 'FATAL'}));
      this.toClient.flush();
    }
    this.#endClient(FAREWELL_MS);
    this.#backend.destroy();
  }

  flush(): void {
    this.#flushToClient();
    this.#flushToBackend();
  }

  openCopyWindow(syncs: AnswerReader): void {
    this.#fromClient.openCopyWindow(syncs);
    // Not from within the answer that opened it.
    setImmediate(() => this.#goOn());
  }

  closeCopyWindow(): void {
    this.#fromClient.closeCopyWindow();
  }

  async messageEnd(): Promise<void> {
    await this.whileConnected(this.#fromClient.messageEnd());
  }

  async whileConnected<T>(work: Promise<T>): Promise<T> {
    let leave: ((error: BackendGone) => void) | undefined;
    const lost = new Promise<never>((_, reject) => {
      if (this.#backend.destroyed) reject(new BackendGone());
      leave = reject;
      this.#waiting.add(reject);
    });
    try {
      return await Promise.race([work, lost]);
    } finally {
      this.#waiting.delete(leave!);
    }
  }

  #onClientData(chunk: Buffer): void {
    this.#fromClient.push(chunk);
    this.#readClient();
    if (this.#fromClient.full) this.#client.pause();
  }

  #readClient(): void {
    this.#fromClient.read();
    this.#flushToBackend();
    // What is left then is a message without its end.
    if (this.#clientEnded && !this.#fromClient.waiting && this.#backend.writable) this.#backend.end();
  }

  #goOn(): void {
    this.#guard(() => this.#readClient());
    this.#resumeClient();
  }

  #onBackendData(chunk: Buffer): void {
    if (this.#client.destroyed) {
      // As the server finds out when its client has gone.
      this.#backend.destroy();
      return;
    }
    const source = this.#fromBackend;
    source.push(chunk);
    for (;;) {
      if (source.inPart) {
        if (!source.more()) break;
        this.#passToClient(source.takePart());
      } else {
        if (!source.header()) break;
        const {type} = source;
        if (STREAMED.has(type)) {
          const reader = this.ledger.next?.reader;
          if (reader === undefined || reader.use(type) === 'pass') {
            this.#passToClient(source.takePart());
            continue;
          }
        }
        if (!source.whole()) break;
        this.#onAnswer(type, source.takeWhole());
      }
    }
    this.#flushToClient();
    this.#lend();
  }

  /** While the session is at rest, ordinary traffic needs nobody of us. */
  #lend(): void {
    if (this.#loan !== undefined || this.#closing || !this.#lending?.pace.permits) return;
    const source = this.#fromBackend;
    const rests =
      this.ledger.atRest &&
      this.#fromClient.atRest &&
      source.waiting === 0 &&
      !source.inPart &&
      this.#waiting.size === 0;
    if (!rests || this.transactionStatus === 0 || this.#interception.watching || this.#clientEnded) return;
    this.#loan = this.#lending.relay.lend(this.#client, this.#backend, this.transactionStatus, () => this.#recall());
  }

  #recall(): void {
    const loan = this.#loan;
    if (loan === undefined) return;
    this.#loan = undefined;
    this.#guard(() => this.#takeOver(loan.recall()));
  }

  #takeOver({status, requests, answers, rest, batches, client, engine}: Recalled): void {
    this.#lending?.pace.recalled(batches);
    this.transactionStatus = status;
    for (const type of requests) this.ledger.sent(REQUESTS.get(type)!);
    for (const type of answers) this.ledger.answered(type);
    this.#fromBackend.continueIn(rest);
    // Before anything can be answered to it, and so that the session does not seem to be at rest.
    this.#fromClient.push(client.unread);
    this.toBackend.send(client.passed);
    this.toClient.send(engine.passed);
    this.flush();
    if (client.failed) this.#client.destroy();
    if (engine.failed) this.#backend.destroy();
    if (engine.unread.length > 0) this.#onBackendData(engine.unread);
    this.#readClient();
  }

  #passToClient(from: number): void {
    this.toClient.pass(this.#fromBackend.buffer, from, this.#fromBackend.start);
  }

  /** A whole message lies in the source's buffer from `from` to its `start`. */
  #onAnswer(type: number, from: number): void {
    const {buffer, start: to} = this.#fromBackend;
    if (type === BACKEND.readyForQuery) this.#onReady(buffer[from + 5]);
    const reader = this.ledger.next?.reader;
    const use = reader?.use(type) ?? 'pass';
    if (type === BACKEND.notification && this.heldNotifications !== undefined) {
      this.heldNotifications.push(buffer.subarray(from, to));
    } else if (type === BACKEND.parameterStatus || type === BACKEND.notification) {
      // They may come at any time, whatever was asked for.
      const given = buffer.subarray(from, to);
      const frame = type === BACKEND.notification ? given : this.#onParameter(given);
      this.toClient.send(use === 'read' ? (reader?.read?.(type, frame) ?? frame) : frame);
    } else if (use === 'pass') {
      this.toClient.pass(buffer, from, to);
    } else if (use === 'read') {
      const instead = reader?.read?.(type, buffer.subarray(from, to));
      if (instead !== undefined) this.toClient.send(instead);
    }
    this.ledger.answered(type);
    if (type === BACKEND.readyForQuery && this.#closing) this.closeWhenIdle();
    // What the client has sent too early is judged by it, but not before the client has got it.
    if (type === BACKEND.authentication) setImmediate(() => this.#goOn());
  }

  #onReady(status: number): void {
    this.#lending?.pace.ready();
    const loggedIn = this.transactionStatus === 0;
    this.transactionStatus = status;
    if (status === IDLE) this.#interception.transactionEnded();
    // Not before the client's own ReadyForQuery has been passed on.
    if (loggedIn) setImmediate(() => this.#goOn());
  }

  /** Returns what the client gets. */
  #onParameter(frame: Buffer): Buffer {
    const [name, value] = readParameter(frame);
    if (name === 'client_encoding') this.encoding = textEncoding(value);
    else if (name === 'standard_conforming_strings') this.standardConformingStrings = value === 'on';
    else if (name === 'search_path') return writeParameter(name, withoutCatalog(value));
    return frame;
  }

  /** An error of ours must not reach the process, which serves others. */
  #guard(work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#fail(error);
    }
  }

  #fail(error: unknown): void {
    if (error instanceof BackendGone) return;
    if (error instanceof SqlError) return this.terminate(error);
    this.#services.log.error({err: error}, 'a session ended because of an error of ours');
    this.terminate();
  }

  #onClientEnd(): void {
    this.#clientEnded = true;
    this.#guard(() => this.#readClient());
    if (!this.#fromClient.waiting || this.#backend.destroyed) return;
    // What it has sent may be carried out, but nobody waits for ever for a client that will send no more.
    const timer = setTimeout(() => this.#backend.destroy(), LAST_BYTES_MS);
    this.#backend.once('close', () => clearTimeout(timer));
  }

  #onBackendEnd(): void {
    this.#fromClient.stop();
    for (const leave of this.#waiting) leave(new BackendGone());
    // What is no whole message: cut off, or the bare text that PostgreSQL answers protocol 2 with.
    while (this.#fromBackend.more()) this.#passToClient(this.#fromBackend.takeRest());
    this.toClient.flush();
    this.#endClient(LAST_BYTES_MS);
    this.#backend.destroy();
  }

  #endClient(limitMs: number): void {
    if (this.#client.destroyed) return;
    this.#client.destroySoon();
    const timer = setTimeout(() => this.#client.destroy(), limitMs);
    this.#client.once('close', () => clearTimeout(timer));
  }

  #flushToClient(): void {
    if (this.toClient.flush() || this.#clientFull) return;
    this.#clientFull = true;
    this.#backend.pause();
    this.#client.once('drain', () => {
      this.#clientFull = false;
      this.#backend.resume();
    });
  }

  #flushToBackend(): void {
    if (this.toBackend.flush() || this.#backendFull) return;
    this.#backendFull = true;
    this.#client.pause();
    this.#backend.once('drain', () => {
      this.#backendFull = false;
      this.#resumeClient();
    });
  }

  #resumeClient(): void {
    if (!this.#backendFull && !this.#fromClient.full) this.#client.resume();
  }
}

const closed = (socket: net.Socket): Promise<void> =>
  new Promise(resolve => {
    if (socket.closed) resolve();
    else socket.once('close', () => resolve());
  });
