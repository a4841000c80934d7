import {SqlError} from '../base/sql-error.ts';
import {settleCopy} from './copy-outcome.ts';
import type {Exchange} from './exchange.ts';
import {FrameSource} from './frame-source.ts';
import {
  DURING_COPY,
  DURING_LOGIN,
  FLUSH,
  FRONTEND,
  LONGEST_MESSAGE,
  LONGEST_PASSWORD,
  LONGEST_SMALL_MESSAGE,
  REQUESTS,
  UNANSWERED,
  parse,
  query,
} from './frontend-messages.ts';
import type {Handling, Interception} from './interception.ts';
import type {AnswerReader, Request} from './ledger.ts';
import type {Login} from './login.ts';

/** What may lie here of a client's messages while earlier ones are dealt with. */
const HELD_BYTES = 256 * 1024;
/**
 * A Query or Parse has to be read to its end before it is known whose it is; what is longer is refused. PostgreSQL takes 1 GB, but a
 * string of JavaScript does not.
 */
const LONGEST_STATEMENT = 256 * 1024 * 1024;
/** So much of a Bind is looked at for its two names. */
const NAME_BYTES = 64 * 1024;

/**
 * What a client sends, on its way to the backend. Notes each request in the ledger, shows `Interception` what may hold a statement of
 * ours, and holds the rest back while one is worked on.
 */
export class ClientMessages {
  readonly #source = new FrameSource();
  readonly #exchange: Exchange;
  readonly #interception: Interception;
  /** Called when work that held messages back has failed in a way that the session does not survive. */
  readonly #onFailure: (error: unknown) => void;
  /** Called when messages move again. */
  readonly #onRelease: () => void;
  readonly #login: Login;
  /** While a message is worked on, further ones wait; in `copy` COPY data may pass all the same. */
  #hold: 'no' | 'all' | 'copy' = 'no';
  /** In `copy`: for the answers to Syncs that are not part of the COPY. */
  #copySyncs: AnswerReader | undefined;
  /** Called when the message that is going out in part has gone. */
  #onMessageEnd: (() => void) | undefined;
  /** Within a statement that is too long to be read. */
  #overlong: 'query' | 'parse' | undefined;
  /** The client has sent what the server does not survive; nothing is read behind it. */
  #hopeless = false;
  /** A message has come that only makes sense after the login. */
  #early = false;

  constructor(
    exchange: Exchange,
    interception: Interception,
    login: Login,
    callbacks: {readonly onFailure: (error: unknown) => void; readonly onRelease: () => void},
  ) {
    this.#exchange = exchange;
    this.#interception = interception;
    this.#login = login;
    this.#onFailure = callbacks.onFailure;
    this.#onRelease = callbacks.onRelease;
  }

  /** A message is being worked on. */
  get held(): boolean {
    return this.#hold !== 'no';
  }

  /** Nothing more of it may go to the backend at present, be it whole or not. */
  get waiting(): boolean {
    return !this.#hopeless && ((this.#hold === 'all' && !this.#source.inPart) || this.#early);
  }

  /** Nothing of the client is here. */
  get atRest(): boolean {
    return this.#hold === 'no' && !this.#hopeless && this.#source.waiting === 0 && !this.#source.inPart;
  }

  /** So much waits for us, not for the rest of itself, that the client has to stop. */
  get full(): boolean {
    return this.#source.waiting > HELD_BYTES && (this.#hold === 'all' || this.#exchange.transactionStatus === 0);
  }

  push(chunk: Buffer): void {
    if (!this.#hopeless) this.#source.push(chunk);
  }

  /** The backend is gone. */
  stop(): void {
    this.#hopeless = true;
  }

  openCopyWindow(syncs: AnswerReader): void {
    if (this.#hold === 'no') return;
    this.#hold = 'copy';
    this.#copySyncs = syncs;
  }

  closeCopyWindow(): void {
    if (this.#hold !== 'no') this.#hold = 'all';
    this.#copySyncs = undefined;
  }

  /** Resolves when the backend has got whole messages only. */
  messageEnd(): Promise<void> {
    if (!this.#source.inPart) return Promise.resolve();
    return new Promise(resolve => (this.#onMessageEnd = resolve));
  }

  /** Sends on what can be sent on. The caller flushes. */
  read(): void {
    const source = this.#source;
    while ((this.#hold !== 'all' || source.inPart) && !this.#hopeless) {
      if (source.inPart) {
        if (!source.more()) break;
        if (this.#overlong === undefined) this.#pass();
        else source.takePart();
      } else if (this.#overlong !== undefined) {
        if (!this.#refuseOverlong(this.#overlong)) break;
      } else if (!source.header() || !this.#readMessage(source.type, source.size)) {
        break;
      }
    }
    if (this.#onMessageEnd === undefined || source.inPart) return;
    this.#onMessageEnd();
    this.#onMessageEnd = undefined;
  }

  /** False: more bytes are needed, or the time has not come. */
  #readMessage(type: number, size: number): boolean {
    const request = REQUESTS.get(type);
    this.#early = this.#exchange.transactionStatus === 0 && !DURING_LOGIN.has(type);
    // A server that waits for a password refuses anything else. Otherwise the settings that tell how to read it are still to come.
    if (this.#early) return this.#login.waitsForPassword ? this.#giveUp() : false;
    if (size < 5 || size > LONGEST_MESSAGE || (request === undefined && !UNANSWERED.has(type))) return this.#giveUp();
    if (this.#hold === 'copy' && !DURING_COPY.has(type)) return this.#breakCopy(type);
    if (type === FRONTEND.password) {
      if (this.#login.takesPassword) return this.#takePassword(size);
      this.#login.passwordSent();
    }
    if (type === FRONTEND.flush && size !== FLUSH.length) this.#exchange.ledger.sent('overlongFlush');
    if (request === undefined) return this.#pass();
    if (this.#exchange.ledger.doubtful && !DURING_COPY.has(type)) return this.#settleFirst(type);
    const source = this.#source;
    if ((request === 'query' || request === 'parse') && type !== FRONTEND.call && size > LONGEST_STATEMENT) {
      this.#overlong = request;
      source.takePart();
      return true;
    }
    switch (type) {
      case FRONTEND.query:
        if (!source.whole()) return false;
        return this.#handle(request, this.#interception.query(source.buffer, source.start, source.start + size));
      case FRONTEND.parse:
        if (!source.whole()) return false;
        return this.#handle(request, this.#interception.parse(source.buffer, source.start, source.start + size));
      case FRONTEND.bind:
      case FRONTEND.execute:
      case FRONTEND.close: {
        if (!this.#interception.watching || (type !== FRONTEND.bind && size > LONGEST_SMALL_MESSAGE)) break;
        const needed = Math.min(size, NAME_BYTES);
        if (!source.has(needed)) return false;
        const head = source.buffer.subarray(source.start, source.start + needed);
        return this.#handle(request, this.#interception.follow(type, head));
      }
      default:
    }
    if (this.#hold === 'copy' && request === 'copyDone') return this.#endCopyWindow();
    this.#exchange.ledger.sent(request, request === 'sync' ? this.#copySyncs : undefined);
    return this.#pass();
  }

  #takePassword(size: number): boolean {
    const source = this.#source;
    if (size > LONGEST_PASSWORD) return this.#giveUp();
    if (!source.whole()) return false;
    const from = source.takeWhole();
    this.#login.takePassword(source.buffer.subarray(from, source.start));
    return true;
  }

  /** Something else amid COPY data: who waits for the end of that goes on if the server survives the type. Then the message itself gets its turn. */
  #breakCopy(type: number): false {
    this.#exchange.copyBrokenBy = type;
    this.#exchange.toBackend.send(Buffer.of(type));
    this.#hold = 'all';
    return false;
  }

  /** The message stays where it is meanwhile. */
  #settleFirst(type: number): false {
    this.#hold = 'all';
    settleCopy(this.#exchange, type).then(
      () => {
        this.#hold = 'no';
        this.#onRelease();
      },
      (error: unknown) => this.#onFailure(error),
    );
    return false;
  }

  #endCopyWindow(): boolean {
    if (!this.#source.whole()) return false;
    this.#exchange.ledger.sent('copyDone');
    this.#pass();
    // The one behind our Execute was ignored as part of the COPY.
    this.#exchange.toBackend.send(FLUSH);
    this.#hold = 'all';
    return true;
  }

  #handle(request: Request, handling: Handling, taken?: Buffer): boolean {
    switch (handling.kind) {
      case 'pass':
        this.#exchange.ledger.sent(request, handling.reader);
        if (taken === undefined) return this.#pass();
        this.#exchange.toBackend.send(taken);
        return true;
      case 'replace':
        this.#exchange.ledger.sent(request, handling.reader);
        this.#exchange.toBackend.send(handling.frame);
        if (taken === undefined) this.#source.takeWhole();
        return true;
      case 'done':
        return true;
      case 'hold': {
        this.#hold = 'all';
        // COPY data behind a Query must be within reach. Of a long Bind only the beginning may be here; it stays where it is.
        void this.#workOn(request, handling.work, taken ?? this.#takeIfWhole());
        return false;
      }
    }
  }

  #takeIfWhole(): Buffer | undefined {
    const source = this.#source;
    if (!source.whole()) return undefined;
    const from = source.takeWhole();
    return source.buffer.subarray(from, source.start);
  }

  #refuseOverlong(request: 'query' | 'parse'): boolean {
    this.#overlong = undefined;
    const error = new SqlError('54000', 'statement is too long', {
      detail: `The gateway reads statements of up to ${LONGEST_STATEMENT} bytes.`,
      hint: 'Send large values as parameters or with COPY.',
    });
    const inItsPlace = request === 'query' ? query('statement is too long') : parse('', 'statement is too long');
    return this.#handle(request, this.#interception.refuse(request, error), inItsPlace);
  }

  async #workOn(request: Request, work: () => Promise<Handling>, frame: Buffer | undefined): Promise<void> {
    try {
      const handling = await work();
      this.#hold = 'no';
      this.#handle(request, handling, frame);
    } catch (error) {
      this.#onFailure(error);
      return;
    }
    this.#onRelease();
  }

  #pass(): true {
    const source = this.#source;
    const {buffer} = source;
    const from = source.takePart();
    this.#exchange.toBackend.pass(buffer, from, source.start);
    return true;
  }

  /** The server ends the connection because of this header; it shall say so itself. */
  #giveUp(): false {
    const {buffer, start} = this.#source;
    this.#exchange.toBackend.pass(buffer, start, start + 5);
    this.#hopeless = true;
    return false;
  }
}
