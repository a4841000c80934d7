/** Encrypts and decrypts the values of secrets. The key never enters PostgreSQL. */
export interface SecretBox {
  /** AES-256-GCM over the bytes, bound to the secret's id; the key's own id is part of the result. */
  seal(secretId: string, plain: Uint8Array): Buffer;
  /** Throws when the key is another one or the bytes were changed; the message says which key is needed. */
  open(secretId: string, sealed: Uint8Array): Buffer;
}
