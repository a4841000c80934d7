import {createHash, randomBytes} from 'node:crypto';
import {SqlError} from '../base/sql-error.ts';

const KEY_BYTES = 32;
export const KEY_ID_BYTES = 8;

/** A key of AES-256 and what names it. */
export interface SecretKey {
  readonly bytes: Buffer;
  /** Start of a SHA-256, 16 hexadecimal digits; tells keys apart and says nothing else about them. */
  readonly id: string;
}

/** The keys as they are now: the first one encrypts, all of them decrypt. Never empty. */
export type SecretKeys = () => readonly SecretKey[];

export function secretKey(bytes: Uint8Array): SecretKey {
  if (bytes.length !== KEY_BYTES) throw new Error(`a secret key has ${KEY_BYTES} bytes, not ${bytes.length}`);
  const digest = createHash('sha256').update('sluice secret key\0').update(bytes).digest();
  return {bytes: Buffer.from(bytes), id: digest.toString('hex', 0, KEY_ID_BYTES)};
}

export const newSecretKey = (): SecretKey => secretKey(randomBytes(KEY_BYTES));

/**
 * `text`: one key or more, each 64 hexadecimal digits, for example from `openssl rand -hex 32`, with white space or commas between
 * them. `origin` says in the error where it came from. Throws `SqlError` 58000.
 */
export function parseSecretKeys(text: string, origin: string): SecretKey[] {
  const words = text.split(/[\s,]+/).filter(Boolean);
  if (words.length === 0 || !words.every(word => /^[0-9A-Fa-f]{64}$/.test(word))) {
    throw new SqlError('58000', `${origin} does not hold secret keys`, {
      detail: 'There may be several, with commas or line breaks between them; the first one encrypts.',
      hint: 'A secret key is 64 hexadecimal digits, for example from openssl rand -hex 32.',
    });
  }
  const keys = words.map(word => secretKey(Buffer.from(word, 'hex')));
  return keys.filter(({id}, at) => keys.findIndex(key => key.id === id) === at);
}
