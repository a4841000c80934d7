import {createCipheriv, createDecipheriv, randomBytes} from 'node:crypto';
import {SqlError} from '../base/sql-error.ts';
import type {SecretBox} from './secret-box.ts';
import {KEY_ID_BYTES} from './secret-key.ts';
import type {SecretKeys} from './secret-key.ts';

/** First byte of what `seal` makes; another format gets another number. */
const FORMAT = 1;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const HEADER_BYTES = 1 + KEY_ID_BYTES + NONCE_BYTES;

/**
 * AES-256-GCM with a random nonce each time. Sealed form: format, key id, nonce, ciphertext, tag. The header and the secret's id are
 * authenticated too, so a ciphertext that is moved to another secret does not open. (At 2^32 seals by one key random nonces become
 * too likely to repeat; a secret is sealed when somebody types it.)
 */
export class AesSecretBox implements SecretBox {
  readonly #keys: SecretKeys;

  constructor(keys: SecretKeys) {
    this.#keys = keys;
  }

  seal(secretId: string, plain: Uint8Array): Buffer {
    const [{bytes, id}] = this.#keys();
    const header = Buffer.concat([Buffer.of(FORMAT), Buffer.from(id, 'hex'), randomBytes(NONCE_BYTES)]);
    const cipher = createCipheriv('aes-256-gcm', bytes, nonceOf(header), {authTagLength: TAG_BYTES});
    cipher.setAAD(boundTo(header, secretId));
    return Buffer.concat([header, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
  }

  /** Throws `SqlError` 58000 (a key that is not here) or XX001 (changed bytes). */
  open(secretId: string, sealed: Uint8Array): Buffer {
    const bytes = Buffer.from(sealed.buffer, sealed.byteOffset, sealed.byteLength);
    if (bytes.length < HEADER_BYTES + TAG_BYTES || bytes[0] !== FORMAT) throw damaged(secretId);
    const header = bytes.subarray(0, HEADER_BYTES);
    const needed = keyIdOf(bytes);
    const keys = this.#keys();
    const key = keys.find(({id}) => id === needed);
    if (key === undefined) {
      throw new SqlError('58000', `secret ${secretId} is encrypted with another key`, {
        detail: `It needs the key ${needed}, this process has ${keys.map(({id}) => id).join(', ')}.`,
        hint: 'Give every process of Sluice the same keys (SLUICE_SECRET_KEY, or the file of --secret-key-file), or set the secret again with ALTER SECRET.',
      });
    }
    const decipher = createDecipheriv('aes-256-gcm', key.bytes, nonceOf(header), {authTagLength: TAG_BYTES});
    decipher.setAAD(boundTo(header, secretId));
    decipher.setAuthTag(bytes.subarray(bytes.length - TAG_BYTES));
    const plain = decipher.update(bytes.subarray(HEADER_BYTES, bytes.length - TAG_BYTES));
    try {
      return Buffer.concat([plain, decipher.final()]);
    } catch (cause) {
      throw damaged(secretId, cause);
    }
  }
}

/** The id of the key that a sealed value needs. */
export function keyIdOf(sealed: Buffer): string {
  return sealed.toString('hex', 1, 1 + KEY_ID_BYTES);
}

function nonceOf(header: Buffer): Buffer {
  return header.subarray(1 + KEY_ID_BYTES);
}

function boundTo(header: Buffer, secretId: string): Buffer {
  return Buffer.concat([header, Buffer.from(secretId)]);
}

function damaged(secretId: string, cause?: unknown): SqlError {
  return new SqlError('XX001', `encrypted value of secret ${secretId} is damaged`, {
    cause,
    detail: 'It was changed, cut, or belongs to another secret.',
    hint: 'Set the secret again with ALTER SECRET.',
  });
}
