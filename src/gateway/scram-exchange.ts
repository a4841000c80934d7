import {createHash, createHmac, pbkdf2, randomBytes, timingSafeEqual} from 'node:crypto';
import {isUtf8} from 'node:buffer';
import {promisify} from 'node:util';
import {SqlError} from '../base/sql-error.ts';
import {saslPrep} from '../engine/scram-verifier.ts';
import {password} from './frontend-messages.ts';

export const SCRAM = 'SCRAM-SHA-256';
/** The same bound to the TLS channel, which ends at us and not at the other side. */
export const SCRAM_PLUS = 'SCRAM-SHA-256-PLUS';

const deriveKey = promisify(pbkdf2);

/**
 * The client's side of SCRAM-SHA-256 (RFC 5802, RFC 7677; PostgreSQL 18 section 54.3.1) without channel binding: we log in for a client who
 * has told us his password.
 */
export class ScramExchange {
  readonly #password: Buffer;
  readonly #bare = `n=,r=${randomBytes(18).toString('base64')}`;
  #serverSignature: Buffer | undefined;

  constructor(secret: Buffer) {
    this.#password = isUtf8(secret) ? Buffer.from(saslPrep(secret.toString('utf8'))) : secret;
  }

  /** SASLInitialResponse. */
  first(): Buffer {
    const response = Buffer.from(`n,,${this.#bare}`);
    const length = Buffer.allocUnsafe(4);
    length.writeInt32BE(response.length);
    return password(Buffer.concat([Buffer.from(`${SCRAM}\0`), length, response]));
  }

  /** SASLResponse to the data of AuthenticationSASLContinue. */
  async respond(challenge: string): Promise<Buffer> {
    const [, nonce, salt, rounds] = /^r=([^,]+),s=([^,]+),i=(\d+)/.exec(challenge) ?? [];
    if (nonce === undefined || !nonce.startsWith(this.#bare.slice('n=,r='.length))) throw unproved();
    const salted = await deriveKey(this.#password, Buffer.from(salt, 'base64'), Number(rounds), 32, 'sha256');
    const clientKey = hmac(salted, 'Client Key');
    const unsigned = `c=${Buffer.from('n,,').toString('base64')},r=${nonce}`;
    const authentication = `${this.#bare},${challenge},${unsigned}`;
    const signature = hmac(createHash('sha256').update(clientKey).digest(), authentication);
    this.#serverSignature = hmac(hmac(salted, 'Server Key'), authentication);
    const proof = Buffer.from(clientKey.map((byte, at) => byte ^ signature[at])).toString('base64');
    return password(Buffer.from(`${unsigned},p=${proof}`));
  }

  /** Throws `SqlError` unless the data of AuthenticationSASLFinal shows that the server knows the password too. */
  verify(final: string): void {
    const given = Buffer.from(/^v=([^,]+)/.exec(final)?.[1] ?? '', 'base64');
    const expected = this.#serverSignature;
    if (expected === undefined || given.length !== expected.length || !timingSafeEqual(given, expected))
      throw unproved();
  }
}

const hmac = (key: Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest();

const unproved = (): SqlError =>
  new SqlError('28000', 'PostgreSQL has not proved that it knows the password', {
    hint: 'Somebody may stand between Sluice and PostgreSQL.',
  });
