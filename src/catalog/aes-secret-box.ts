import {createCipheriv, createDecipheriv, createHash, randomBytes, randomUUID} from 'node:crypto';
import {closeSync, fstatSync, fsyncSync, linkSync, openSync, readFileSync, rmSync, writeSync} from 'node:fs';
import {dirname} from 'node:path';
import {SqlError} from '../base/sql-error.ts';
import type {SecretBox} from './secret-box.ts';

/** First byte of what `seal` makes; another format gets another number. */
const FORMAT = 1;
const KEY_BYTES = 32;
const KEY_ID_BYTES = 8;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const HEADER_BYTES = 1 + KEY_ID_BYTES + NONCE_BYTES;

/**
 * AES-256-GCM with a random nonce each time. Sealed form: format, key id, nonce, ciphertext, tag. The header and the secret's id are
 * authenticated too, so a ciphertext that is moved to another secret does not open.
 */
export class AesSecretBox implements SecretBox {
  readonly #key: Buffer;
  /** Start of the key's SHA-256; tells keys apart and says nothing else about them. */
  readonly #keyId: Buffer;

  constructor(key: Uint8Array) {
    if (key.length !== KEY_BYTES) throw new Error(`a secret key has ${KEY_BYTES} bytes, not ${key.length}`);
    this.#key = Buffer.from(key);
    this.#keyId = createHash('sha256').update('sluice secret key\0').update(key).digest().subarray(0, KEY_ID_BYTES);
  }

  get keyId(): string {
    return this.#keyId.toString('hex');
  }

  seal(secretId: string, plain: Uint8Array): Buffer {
    const header = Buffer.concat([Buffer.of(FORMAT), this.#keyId, randomBytes(NONCE_BYTES)]);
    const cipher = createCipheriv('aes-256-gcm', this.#key, nonceOf(header), {authTagLength: TAG_BYTES});
    cipher.setAAD(boundTo(header, secretId));
    return Buffer.concat([header, cipher.update(plain), cipher.final(), cipher.getAuthTag()]);
  }

  /** Throws `SqlError` 58000 (another key) or XX001 (changed bytes). */
  open(secretId: string, sealed: Uint8Array): Buffer {
    const bytes = Buffer.from(sealed.buffer, sealed.byteOffset, sealed.byteLength);
    if (bytes.length < HEADER_BYTES + TAG_BYTES || bytes[0] !== FORMAT) throw damaged(secretId);
    const header = bytes.subarray(0, HEADER_BYTES);
    const keyId = header.subarray(1, 1 + KEY_ID_BYTES);
    if (!keyId.equals(this.#keyId)) {
      throw new SqlError('58000', `secret ${secretId} is encrypted with another key`, {
        detail: `It needs the key ${keyId.toString('hex')}, this process has the key ${this.keyId}.`,
        hint: 'Give every process of Sluice the same key (SLUICE_SECRET_KEY, or secret.key of the data directory), or set the secret again with ALTER SECRET.',
      });
    }
    const decipher = createDecipheriv('aes-256-gcm', this.#key, nonceOf(header), {authTagLength: TAG_BYTES});
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

/** `text`: 64 hexadecimal digits, for example from `openssl rand -hex 32`. `origin` says in the error where it came from. */
export function parseSecretKey(text: string, origin: string): Buffer {
  const hex = text.trim();
  if (!/^[0-9A-Fa-f]{64}$/.test(hex)) {
    throw new SqlError('58000', `${origin} does not hold a secret key`, {
      hint: 'A secret key is 64 hexadecimal digits, for example from openssl rand -hex 32.',
    });
  }
  return Buffer.from(hex, 'hex');
}

/** Reads the key; makes file and key where there are none. Refuses a file that others may read. */
export function openSecretKeyFile(path: string): Buffer {
  const found = readKeyFile(path);
  if (found !== undefined) return found;
  createKeyFile(path);
  return openSecretKeyFile(path);
}

function readKeyFile(path: string): Buffer | undefined {
  let file: number;
  try {
    file = openSync(path, 'r');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  try {
    if ((fstatSync(file).mode & 0o077) !== 0) {
      throw new SqlError('58000', `secret key file "${path}" can be read by others`, {
        hint: `Run chmod 600 "${path}".`,
      });
    }
    return parseSecretKey(readFileSync(file, 'utf8'), `file "${path}"`);
  } finally {
    closeSync(file);
  }
}

/** Whole and durable, or not there: `link` does not replace what another process has made meanwhile. */
function createKeyFile(path: string): void {
  const draft = `${path}.${randomUUID()}`;
  const file = openSync(draft, 'wx', 0o600);
  try {
    writeSync(file, `${randomBytes(KEY_BYTES).toString('hex')}\n`);
    fsyncSync(file);
    linkSync(draft, path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  } finally {
    closeSync(file);
    rmSync(draft, {force: true});
  }
  const directory = openSync(dirname(path), 'r');
  fsyncSync(directory);
  closeSync(directory);
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
