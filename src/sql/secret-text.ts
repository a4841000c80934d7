import {RESERVED} from './keywords.ts';
import {foldAscii, Lexer, type LexicalOptions} from './lexer.ts';

/** Words that may stand between CREATE and SECRET, here or in the dialects that people come from. */
const BETWEEN = new Set(['or', 'replace', 'temp', 'temporary', 'persistent']);
/**
 * For text that cannot be cut into tokens or not even be decoded: whether somebody may have meant CREATE SECRET or ALTER SECRET in
 * it. Judged by two words; PostgreSQL refuses such text anyway, so a wrong yes costs only the wording of the error.
 */
export function mayHoldSecret(text: string): boolean {
  const verb = text.search(/\b(?:create|alter)\b/i);
  return verb !== -1 && /\bsecret\b/i.test(text.slice(verb));
}

/**
 * Whether a statement that is not one of ours holds CREATE SECRET or ALTER SECRET outside of its constants: PREPARE … AS CREATE
 * SECRET, CREATE OR REPLACE SECRET, or because somebody has forgotten a semicolon. The offset of that CREATE or ALTER, or -1. To
 * PostgreSQL all of these are syntax errors, which its log shows with the value.
 */
export function findSecretStatement(statement: string, options?: LexicalOptions): number {
  if (!/secret/i.test(statement)) return -1;
  const lexer = new Lexer(statement, options);
  for (let word = nextWord(lexer); lexer.kind !== 'end' && lexer.kind !== 'broken';) {
    const verb = lexer.start;
    const begins = word === 'create' || word === 'alter';
    word = nextWord(lexer);
    if (!begins) continue;
    while (word !== undefined && BETWEEN.has(word)) word = nextWord(lexer);
    if (word !== 'secret') continue;
    word = nextWord(lexer);
    if (isName(word, lexer)) return verb;
  }
  return -1;
}

/** ALTER is no reserved word, so there may be `SELECT alter secret FROM t` and `UPDATE alter secret SET a = 1`. */
const isName = (word: string | undefined, {kind}: Lexer): boolean =>
  word === undefined ? kind === 'quotedWord' : word === 'as' || (word !== 'set' && !RESERVED.has(word));

function nextWord(lexer: Lexer): string | undefined {
  return lexer.next() === 'word' ? foldAscii(lexer.text.slice(lexer.start, lexer.end)) : undefined;
}
