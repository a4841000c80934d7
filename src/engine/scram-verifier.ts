import {createHash, createHmac, pbkdf2Sync, randomBytes} from 'node:crypto';

const ITERATIONS = 4096;

/**
 * What PostgreSQL stores in `pg_authid.rolpassword` (RFC 5802, RFC 7677): computed here, so that the password itself is in no
 * statement, log or `pg_stat_activity`.
 */
export function scramVerifier(password: string, salt: Buffer = randomBytes(16)): string {
  const salted = pbkdf2Sync(saslPrep(password), salt, ITERATIONS, 32, 'sha256');
  const hmac = (text: string) => createHmac('sha256', salted).update(text).digest();
  const storedKey = createHash('sha256').update(hmac('Client Key')).digest('base64');
  return `SCRAM-SHA-256$${ITERATIONS}:${salt.toString('base64')}$${storedKey}:${hmac('Server Key').toString('base64')}`;
}

/** The mappings of SASLprep (RFC 4013 section 2.1 and 2.2). What it prohibits is not looked for: `--password` refuses control characters. */
export function saslPrep(password: string): string {
  return password
    .replace(/[\u00A0\u1680\u2000-\u200B\u202F\u205F\u3000]/g, ' ')
    .replace(/[\u00AD\u034F\u1806\u180B-\u180D\u200C\u200D\u2060\uFE00-\uFE0F\uFEFF]/g, '')
    .normalize('NFKC');
}
