import {foldAscii, Lexer, type LexicalOptions} from './lexer.ts';
import {isSessionVariable, isSetByUs, isShownByUs} from './variables.ts';
import type {StatementRange} from './split.ts';

/** By which of its families the parser reads a statement of ours. */
export type Family =
  | 'create'
  | 'alter'
  | 'drop'
  | 'comment'
  | 'grant'
  | 'revoke'
  | 'validate'
  | 'show'
  | 'set'
  | 'reset'
  | 'copy'
  | 'explain'
  | 'subscribe'
  | 'declare';

const OBJECT_KINDS = new Set(['sink', 'connection', 'secret', 'cluster', 'source']);
const GRANTABLE = new Set(['connection', 'secret', 'cluster']);
const GRANTABLE_IN_PLURAL = new Set(['connections', 'secrets', 'clusters']);
/** Of these PostgreSQL knows no ALL. */
const ALL_OF_OURS = new Set([...GRANTABLE_IN_PLURAL, 'databases', 'schemas', 'types']);
/** What ALTER … SET keeps variables for, in PostgreSQL. */
export const HAVE_SETTINGS: ReadonlySet<string> = new Set(['role', 'user', 'database']);
const SYSTEM_PRIVILEGES = new Set(['createrole', 'createdb', 'createcluster', 'createnetworkpolicy']);
const FIRST_WORDS = new Set([
  'create',
  'alter',
  'drop',
  'comment',
  'grant',
  'revoke',
  'validate',
  'show',
  'set',
  'reset',
  'copy',
  'explain',
  'subscribe',
  'declare',
]);
const SHOW_LISTS = new Set([
  'databases',
  'schemas',
  'roles',
  'secrets',
  'tables',
  'views',
  'types',
  'objects',
  'connections',
  'sources',
  'sinks',
  'materialized',
  'subsources',
  'indexes',
  'columns',
  'clusters',
  'privileges',
  'default',
  'role',
  'network',
  'create',
  'redacted',
]);

/**
 * Which family of ours a statement belongs to; undefined: it is PostgreSQL's, send it on as it is. Looks at the first tokens only,
 * except where the deciding word may stand further back (COPY, GRANT, DECLARE). A statement that only begins like one of ours and
 * then goes wrong is ours: then our error is the helpful one.
 */
export function familyOf(text: string, range?: StatementRange, options?: LexicalOptions): Family | undefined {
  const lexer = new Lexer(text, options, range?.start, range?.end);
  const first = nextWord(lexer);
  if (first === undefined || !FIRST_WORDS.has(first)) return undefined;
  const family = first as Family;
  return isOurs(family, lexer) ? family : undefined;
}

/** The lexer stands on the first word. */
function isOurs(family: Family, lexer: Lexer): boolean {
  switch (family) {
    case 'alter': {
      const second = nextWord(lexer) ?? '';
      if (second === 'default') return isDefaultPrivilegesOfOurs(lexer);
      if (HAVE_SETTINGS.has(second)) return isSettingOfOurs(lexer);
      return second === 'schema' ? isSchemaOfOurs(family, lexer) : OBJECT_KINDS.has(second);
    }
    case 'create':
    case 'drop': {
      const second = nextWord(lexer) ?? '';
      return second === 'schema' ? isSchemaOfOurs(family, lexer) : OBJECT_KINDS.has(second);
    }
    case 'comment':
      return isCommentOnOurs(lexer);
    case 'grant':
    case 'revoke':
      return isGrantOnOurs(lexer);
    case 'validate':
      return nextWord(lexer) === 'connection';
    case 'subscribe':
      return true;
    case 'show':
      return isShow(lexer);
    case 'set':
    case 'reset':
      return isSet(lexer);
    case 'copy':
      return isCopyWithString(lexer);
    case 'explain':
      return isExplainSchema(lexer);
    case 'declare':
      return isDeclareForSubscribe(lexer);
  }
}

/** The next token as a folded word, without its quotes if it is quoted; undefined if it is anything else. */
function nextName(lexer: Lexer): string | undefined {
  lexer.next();
  if (lexer.kind === 'quotedWord' && lexer.text.charCodeAt(lexer.start) === 0x22) {
    return lexer.text.slice(lexer.start + 1, lexer.end - 1).replaceAll('""', '"');
  }
  return wordOf(lexer);
}

function nextWord(lexer: Lexer): string | undefined {
  lexer.next();
  return wordOf(lexer);
}

function wordOf(lexer: Lexer): string | undefined {
  return lexer.kind === 'word' ? foldAscii(lexer.text.slice(lexer.start, lexer.end)) : undefined;
}

/** PostgreSQL has no list to SHOW, and a variable of one of these names cannot exist there. */
function isShow(lexer: Lexer): boolean {
  const name = nextName(lexer);
  if (name === undefined) return false;
  const quoted = lexer.kind === 'quotedWord';
  const second = nextWord(lexer);
  if (!quoted && (SHOW_LISTS.has(name) || (name === 'cluster' && second === 'replicas'))) return true;
  return isShownByUs(foldAscii(name)) && (lexer.kind === 'end' || lexer.isPunctuation(0x3b));
}

function isSet(lexer: Lexer): boolean {
  let name = nextName(lexer);
  if (lexer.kind === 'word' && (name === 'session' || name === 'local')) name = nextName(lexer);
  if (name === undefined || !isSetByUs(foldAscii(name))) return false;
  // `sluice.cluster` and the like are PostgreSQL's to keep.
  lexer.next();
  return !lexer.isPunctuation(0x2e);
}

/** PostgreSQL keeps the settings of roles and databases, but does not know our variables. */
function isSettingOfOurs(lexer: Lexer): boolean {
  nextName(lexer);
  let word = nextWord(lexer);
  if (word === 'in' && nextWord(lexer) === 'database') {
    nextName(lexer);
    word = nextWord(lexer);
  }
  if (word !== 'set' && word !== 'reset') return false;
  const name = nextName(lexer);
  if (name === undefined || !isSessionVariable(foldAscii(name))) return false;
  lexer.next();
  return !lexer.isPunctuation(0x2e);
}

/** Calls `see` for every token outside of parentheses until it answers; -1 behind the end. */
function scanTopLevel(lexer: Lexer, see: (word: string | undefined) => boolean | undefined): boolean {
  let parentheses = 0;
  while (lexer.next() !== 'end' && lexer.kind !== 'broken') {
    if (lexer.isPunctuation(0x28)) parentheses++;
    else if (lexer.isPunctuation(0x29)) parentheses--;
    else if (parentheses === 0) {
      const answer = see(wordOf(lexer));
      if (answer !== undefined) return answer;
    }
  }
  return false;
}

/** `COPY … {TO | FROM} 'string'`: a file of the server to PostgreSQL, an object store to us. Also `COPY (SUBSCRIBE …)`. */
function isCopyWithString(lexer: Lexer): boolean {
  const inner = new Lexer(lexer.text, {}, lexer.end);
  if (inner.next() === 'punctuation' && inner.isPunctuation(0x28) && nextWord(inner) === 'subscribe') return true;
  return scanTopLevel(lexer, word => (word === 'to' || word === 'from' ? lexer.next() === 'string' : undefined));
}

function isGrantOnOurs(lexer: Lexer): boolean {
  let ofSystem = false;
  return scanTopLevel(lexer, word => {
    ofSystem ||= SYSTEM_PRIVILEGES.has(word ?? '');
    if (word !== 'on') return undefined;
    const object = nextWord(lexer) ?? '';
    if (object === 'system' && ofSystem) return true;
    if (object === 'all') return isAllOfOurs(lexer);
    if (object === 'schema') return isAnyQualified(lexer);
    if (!GRANTABLE.has(object)) return false;
    // `GRANT SELECT ON connection TO alice` is about a table of that name.
    const next = nextName(lexer);
    return next !== undefined && (lexer.kind === 'quotedWord' || (next !== 'to' && next !== 'from'));
  });
}

/** `ALL TABLES IN SCHEMA a, b` is PostgreSQL's, unless a name has the database in front. */
function isAllOfOurs(lexer: Lexer): boolean {
  const kind = nextWord(lexer) ?? '';
  if (kind !== 'tables') return ALL_OF_OURS.has(kind);
  if (nextWord(lexer) !== 'in' || nextWord(lexer) !== 'schema') return true;
  return isAnyQualified(lexer);
}

/** In a list of names, the next of which is the first. Goes to what stands behind them. */
function isAnyQualified(lexer: Lexer): boolean {
  do {
    nextName(lexer);
    lexer.next();
    if (lexer.isPunctuation(0x2e)) return true;
  } while (lexer.isPunctuation(0x2c));
  return false;
}

function isCommentOnOurs(lexer: Lexer): boolean {
  if (nextWord(lexer) !== 'on') return false;
  const object = nextWord(lexer) ?? '';
  return object === 'schema' ? isAnyQualified(lexer) : OBJECT_KINDS.has(object);
}

/** PostgreSQL does not take a schema's database in front of its name, nor SWAP WITH. */
function isSchemaOfOurs(family: 'create' | 'alter' | 'drop', lexer: Lexer): boolean {
  let name = nextName(lexer);
  if (name === 'if' && lexer.kind === 'word') {
    do name = nextName(lexer);
    while (lexer.kind === 'word' && (name === 'not' || name === 'exists'));
  }
  for (lexer.next(); name !== undefined; lexer.next()) {
    if (lexer.isPunctuation(0x2e)) return true;
    if (family === 'alter') return wordOf(lexer) === 'swap';
    if (family === 'create' || !lexer.isPunctuation(0x2c)) return false;
    name = nextName(lexer);
  }
  return false;
}

/** PostgreSQL knows no default privileges for our kinds of objects, for all roles at once, for a database, or for a schema with its database. */
function isDefaultPrivilegesOfOurs(lexer: Lexer): boolean {
  if (nextWord(lexer) !== 'privileges') return false;
  let previous: string | undefined;
  return scanTopLevel(lexer, word => {
    if (previous === 'on') return GRANTABLE_IN_PLURAL.has(word ?? '');
    if ((previous === 'for' && word === 'all') || (previous === 'in' && word === 'database')) return true;
    if (previous === 'in' && word === 'schema' && isAnyQualified(lexer)) return true;
    previous = word;
    return undefined;
  });
}

function isExplainSchema(lexer: Lexer): boolean {
  const word = nextWord(lexer);
  return word === 'schema' || ((word === 'key' || word === 'value') && nextWord(lexer) === 'schema');
}

function isDeclareForSubscribe(lexer: Lexer): boolean {
  return scanTopLevel(lexer, word => (word === 'for' ? nextWord(lexer) === 'subscribe' : undefined));
}
