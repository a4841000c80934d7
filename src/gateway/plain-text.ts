/**
 * First words of statements that can never be ours, whatever follows. Only saves the lexer work on the way of ordinary traffic: a
 * word that is missing here costs time, one that should not be here would hide a statement of ours.
 */
export const PLAIN_WORDS: readonly string[] = [
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
];
const PLAIN: ReadonlySet<string> = new Set(PLAIN_WORDS);
const LONGEST = 10;

const SEMICOLON = 0x3b;
const isSpace = (code: number): boolean => code === 0x20 || (code >= 0x09 && code <= 0x0d);

/** True if the text is one statement that surely is not ours, judged by its bytes in any encoding that PostgreSQL offers. */
export function isPlain(buffer: Buffer, start: number, end: number): boolean {
  let at = start;
  while (at < end && isSpace(buffer[at])) at++;
  const word = at;
  while (at < end && at - word <= LONGEST && (buffer[at] | 0x20) >= 0x61 && (buffer[at] | 0x20) <= 0x7a) at++;
  if (!PLAIN.has(buffer.toString('latin1', word, at).toLowerCase())) return false;
  // A second statement can only stand behind a semicolon; one at the end is common and harmless.
  while (end > at && (isSpace(buffer[end - 1]) || buffer[end - 1] === SEMICOLON)) end--;
  return !holdsWhatMatters(buffer, at, end);
}

const SECRET = Buffer.from('secret');
const OPEN = 0x28;
const CLOSE = 0x29;
/** How the names of `current_role()` and its sisters end (src/sql/role-calls.ts). */
const ROLE_ENDINGS = ['role', 'user', 'alog'];

/**
 * A semicolon; `current_role()`; or a CREATE SECRET that follows without a semicolon, which is a syntax error whose text PostgreSQL would
 * log, so it has to be looked at.
 */
function holdsWhatMatters(buffer: Buffer, start: number, end: number): boolean {
  for (let at = start; at < end; at++) {
    const code = buffer[at];
    if (code === SEMICOLON) return true;
    if (code === CLOSE && at - start >= 5 && buffer[at - 1] === OPEN) {
      if (ROLE_ENDINGS.includes(buffer.toString('latin1', at - 5, at - 1).toLowerCase())) return true;
    }
    if ((code | 0x20) === SECRET[0] && at + SECRET.length <= end) {
      let same = 1;
      while (same < SECRET.length && (buffer[at + same] | 0x20) === SECRET[same]) same++;
      if (same === SECRET.length) return true;
    }
  }
  return false;
}
