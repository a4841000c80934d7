import {SqlError} from '../base/sql-error.ts';
import type {Notice} from '../statements/statement.ts';
import {BACKEND, authentication, noticeResponse, readReport, writeReport} from './backend-messages.ts';
import type {AnswerReader, Use} from './ledger.ts';
import {SCRAM, SCRAM_PLUS, ScramExchange} from './scram-exchange.ts';

/** What an AuthenticationRequest asks for (PostgreSQL 18 section 54.7). */
const AUTHENTICATION = {ok: 0, cleartext: 3, sasl: 10, saslContinue: 11, saslFinal: 12} as const;

export interface LoginOptions {
  readonly clientEncrypted: boolean;
  readonly engineEncrypted: boolean;
  /** Whom the engine lets in without any proof is refused: the engine may trust us, and not who stands behind us. */
  readonly mustProve: boolean;
  /** What a client is told who has logged in, by the process id of its backend. */
  readonly notices?: ((processId: number) => readonly Notice[]) | undefined;
}

interface LoginEnds {
  readonly toEngine: (frame: Buffer) => void;
  readonly fail: (error: unknown) => void;
  readonly encode: (text: string) => Buffer;
}

/**
 * The engine's questions to a client who logs in, and his answers. They are relayed, except that channel binding is not offered, because the
 * two TLS channels are not the same. Where both sides are encrypted a client that knows channel binding would say that it was not
 * offered any, which the engine takes for an attack; there we ask for the password over the client's TLS and log in with it.
 */
export class Login implements AnswerReader {
  readonly #options: LoginOptions;
  readonly #ends: LoginEnds;
  #proving = false;
  /** We have asked the client for his password. */
  #asked = false;
  /** What the client was asked for, less what he has sent; he may send before he is asked. */
  #owed = 0;
  #exchange: ScramExchange | undefined;
  /** The engine judges how the client has begun with SCRAM. */
  #begun = false;
  #processId = 0;

  constructor(options: LoginOptions, ends: LoginEnds) {
    this.#options = options;
    this.#ends = ends;
  }

  /** The next password message of the client is for `takePassword`. */
  get takesPassword(): boolean {
    return this.#asked;
  }

  /** Nothing but a password message will do. */
  get waitsForPassword(): boolean {
    return this.#owed > 0;
  }

  /** One has gone to the engine as it is. */
  passwordSent(): void {
    this.#owed--;
  }

  /** A whole PasswordMessage. */
  takePassword(frame: Buffer): void {
    this.#asked = false;
    this.#owed--;
    const end = frame.indexOf(0, 5);
    this.#exchange = new ScramExchange(Buffer.from(frame.subarray(5, end === -1 ? frame.length : end)));
    this.#ends.toEngine(this.#exchange.first());
  }

  use(type: number): Use {
    switch (type) {
      case BACKEND.authentication:
        return 'read';
      case BACKEND.error:
        return this.#begun ? 'read' : 'pass';
      case BACKEND.backendKeyData:
      case BACKEND.readyForQuery:
        return this.#options.notices === undefined ? 'pass' : 'read';
      default:
        return 'pass';
    }
  }

  read(type: number, frame: Buffer): Buffer | undefined {
    switch (type) {
      case BACKEND.error:
        return explained(frame);
      case BACKEND.backendKeyData:
        this.#processId = frame.readInt32BE(5);
        return frame;
      case BACKEND.readyForQuery:
        return this.#withNotices(frame);
      default:
        return this.#readAuthentication(frame);
    }
  }

  #withNotices(ready: Buffer): Buffer {
    const notices = this.#options.notices?.(this.#processId) ?? [];
    return Buffer.concat([...notices.map(notice => noticeResponse(notice, this.#ends.encode)), ready]);
  }

  #readAuthentication(frame: Buffer): Buffer | undefined {
    const data = () => frame.toString('latin1', 9);
    switch (frame.readUInt32BE(5)) {
      case AUTHENTICATION.ok:
        if (this.#options.mustProve && !this.#proving) throw unproved();
        return frame;
      case AUTHENTICATION.sasl:
        this.#proving = true;
        this.#owed++;
        return this.#offer(data().split('\0').filter(Boolean));
      case AUTHENTICATION.saslContinue:
        this.#begun = false;
        if (this.#exchange === undefined) {
          this.#owed++;
          return frame;
        }
        this.#exchange.respond(data()).then(this.#ends.toEngine, this.#ends.fail);
        return undefined;
      case AUTHENTICATION.saslFinal:
        if (this.#exchange === undefined) return frame;
        this.#exchange.verify(data());
        return undefined;
      default:
        this.#proving = true;
        this.#owed++;
        return frame;
    }
  }

  #offer(mechanisms: readonly string[]): Buffer {
    const {clientEncrypted, engineEncrypted} = this.#options;
    if (clientEncrypted && engineEncrypted && mechanisms.includes(SCRAM)) {
      this.#asked = true;
      return authentication(AUTHENTICATION.cleartext);
    }
    this.#begun = !clientEncrypted && engineEncrypted;
    const offered = mechanisms.filter(mechanism => mechanism !== SCRAM_PLUS);
    return authentication(AUTHENTICATION.sasl, Buffer.from(`${offered.join('\0')}\0\0`, 'latin1'));
  }
}

/** A client without TLS that says that it could bind channels: an engine with TLS takes that for an attack. */
function explained(frame: Buffer): Buffer {
  const fields = readReport(frame);
  if (fields.get('C') !== '28000') return frame;
  const hint = 'Without TLS between client and Sluice turn channel binding off in the client, or connect with TLS.';
  return writeReport(BACKEND.error, new Map([...fields, ['H', hint]]));
}

const unproved = (): SqlError =>
  new SqlError('28000', 'PostgreSQL lets this role in without a password, Sluice does not', {
    detail: 'A client on another machine has to log in by password.',
    hint: 'Give the role a password, and have pg_hba.conf ask for it (scram-sha-256) where Sluice connects from.',
  });
