/**
 * First words of statements that can never be ours, whatever follows. Only saves the lexer work on the way of ordinary traffic: a
 * word that is missing here costs time, one that should not be here would hide a statement of ours.
 */
const PLAIN: ReadonlySet<string> = new Set([
  'select',
  'insert',
  'update',
  'delete',
  'merge',
  'with',
  'values',
  'table',
  'begin',
  'start',
  'commit',
  'end',
  'rollback',
  'abort',
  'savepoint',
  'release',
  'execute',
  'deallocate',
  'move',
  'close',
  'listen',
  'unlisten',
  'notify',
  'lock',
  'truncate',
  'vacuum',
  'analyze',
  'call',
  'do',
]);
const LONGEST = 10;

const SEMICOLON = 0x3b;
const isSpace = (code: number): boolean => code === 0x20 || (code >= 0x09 && code <= 0x0d);

/** A CREATE SECRET that follows without a semicolon is a syntax error whose text PostgreSQL would log, so it has to be looked at. */
const SECRET = ['secret', 'SECRET', 'Secret'].map(word => Buffer.from(word));

/** True if the text is one statement that surely is not ours, judged by its bytes in any encoding that PostgreSQL offers. */
export function isPlain(buffer: Buffer, start: number, end: number): boolean {
  let at = start;
  while (at < end && isSpace(buffer[at])) at++;
  const word = at;
  while (at < end && at - word <= LONGEST && (buffer[at] | 0x20) >= 0x61 && (buffer[at] | 0x20) <= 0x7a) at++;
  if (!PLAIN.has(buffer.toString('latin1', word, at).toLowerCase())) return false;
  // A second statement can only stand behind a semicolon; one at the end is common and harmless.
  while (end > at && (isSpace(buffer[end - 1]) || buffer[end - 1] === SEMICOLON)) end--;
  return !holdsSemicolon(buffer, at, end) && !namesSecret(buffer.subarray(at, end));
}

const namesSecret = (text: Buffer): boolean => SECRET.some(word => text.includes(word));

function holdsSemicolon(buffer: Buffer, start: number, end: number): boolean {
  if (end - start > 256) return buffer.subarray(start, end).includes(SEMICOLON);
  for (let at = start; at < end; at++) if (buffer[at] === SEMICOLON) return true;
  return false;
}
