import {SqlError} from '../base/sql-error.ts';
import {quoteName} from '../sql/quote.ts';
import {ISOLATION_OF_OTHERS, isSessionVariable, normalValue} from '../sql/variables.ts';
import type {StartupPacket} from './startup-packet.ts';

/** The database of a client that names none; PostgreSQL would take the user's name. */
export const DEFAULT_DATABASE = 'materialize';

/** Values of `transaction_isolation` that PostgreSQL knows. */
const POSTGRES_ISOLATION: ReadonlySet<string> = new Set([
  'serializable',
  'repeatable read',
  'read committed',
  'read uncommitted',
]);

/** Never sent to PostgreSQL under its own name: it would refuse the connection. */
const OURS: ReadonlySet<string> = new Set(['transaction_isolation', 'database', 'schema']);

const isOurs = (name: string): boolean => isSessionVariable(name) || OURS.has(name);

/** True if the client asks for a replication session, by PostgreSQL's rule for booleans and `database`. */
export function asksForReplication(value: string): boolean {
  return !['false', 'fals', 'fal', 'fa', 'f', 'no', 'n', 'off', 'of', '0'].includes(value.toLowerCase());
}

export interface TranslatedStartup extends StartupPacket {
  /** Settings of ours with values that they do not take, which the server does not get. */
  readonly refused: readonly RefusedSetting[];
}

export interface RefusedSetting {
  readonly name: string;
  readonly error: SqlError;
}

/**
 * What the server gets in place of the client's start-up parameters: variables of ours become `sluice.…`, whether they came in `options`
 * or as parameters of their own; all else stays, in its order.
 */
export function translateStartup({protocol, parameters}: StartupPacket): TranslatedStartup {
  const given = parameters.findLast(([name, value]) => name === 'database' && value !== '');
  const database = given?.[1] ?? DEFAULT_DATABASE;
  const refused: RefusedSetting[] = [];
  const translated: [string, string][] = [];
  const translate: Translate = (name, value) => {
    try {
      return ours(name, value, database);
    } catch (error) {
      if (!(error instanceof SqlError)) throw error;
      refused.push({name, error});
      return undefined;
    }
  };
  for (const [name, value] of parameters) {
    if (name === 'replication') continue;
    if (name === 'options') translated.push([name, translateOptions(value, translate)]);
    else if (name === 'search_path') translated.push([name, withCatalog(value)]);
    else if (name === 'database' || !isOurs(variable(name))) translated.push([name, value]);
    else translated.push(...pairOf(translate(variable(name), value)));
  }
  if (given === undefined) translated.push(['database', DEFAULT_DATABASE]);
  return {protocol, parameters: translated, refused};
}

/**
 * With the search_path that the session would have without the client's word. In front of the client's own options, because later ones
 * win, and parameters of their own win over all options.
 */
export function withDefaultPath({protocol, parameters}: StartupPacket, searchPath: string): StartupPacket {
  const option = `-c ${escapeOption(`search_path=${withCatalog(searchPath)}`)}`;
  const given = parameters.findLastIndex(([name]) => name === 'options');
  if (given === -1) return {protocol, parameters: [...parameters, ['options', option]]};
  return {protocol, parameters: parameters.with(given, ['options', `${option} ${parameters[given][1]}`])};
}

/** What the client sets, by the server's names: later values win over earlier ones, and parameters of their own over `options`. */
export function givenSettings({parameters}: StartupPacket): ReadonlyMap<string, string> {
  const settings = new Map<string, string>();
  const note = (name: string, value: string) =>
    settings.set(variable(name), Buffer.from(value, 'latin1').toString('utf8'));
  for (const {assignment} of switchesOf(parameters.findLast(([name]) => name === 'options')?.[1] ?? '')) {
    const equals = assignment.indexOf('=');
    if (equals !== -1) note(assignment.slice(0, equals), assignment.slice(equals + 1));
  }
  for (const [name, value] of parameters) if (name !== 'options') note(name, value);
  return settings;
}

/** A setting of ours as PostgreSQL gets it; undefined: not at all. */
type Translate = (name: string, value: string) => [name: string, value: string] | undefined;

const pairOf = (pair: [string, string] | undefined): [string, string][] => (pair === undefined ? [] : [pair]);

const escapeOption = (word: string): string => word.replaceAll(/[\\\s]/g, match => `\\${match}`);

/** Case does not matter in names of variables, and `-` stands for `_` in options. */
const variable = (name: string): string => name.toLowerCase().replaceAll('-', '_');

/** Throws `SqlError` for a value that it does not take. */
function ours(name: string, value: string, database: string): ReturnType<Translate> {
  if (isSessionVariable(name)) return [`sluice.${name}`, normalValue(name, [value])];
  if (name === 'schema') return ['search_path', withCatalog(quoteName(value))];
  if (name === 'database') {
    if (value === database) return undefined;
    throw new SqlError('0A000', 'a session cannot change its database');
  }
  const level = value.toLowerCase();
  if (POSTGRES_ISOLATION.has(level)) return ['default_transaction_isolation', value];
  if (ISOLATION_OF_OTHERS.includes(level)) return ['sluice.transaction_isolation', value];
  throw new SqlError('22023', `invalid value for parameter "${name}"`);
}

function translateOptions(options: string, translate: Translate): string {
  const translated: string[] = [];
  for (const {words, assignment} of switchesOf(options)) {
    const equals = assignment.indexOf('=');
    const name = equals === -1 ? '' : variable(assignment.slice(0, equals));
    const value = assignment.slice(equals + 1);
    if (name === 'search_path') translated.push('-c', `${name}=${withCatalog(value)}`);
    else if (isOurs(name)) translated.push(...pairOf(translate(name, value)).flatMap(pair => ['-c', pair.join('=')]));
    else translated.push(...words);
  }
  return translated.map(escapeOption).join(' ');
}

/**
 * The words of `options`, one or two at a time: `--name=value`, `-c name=value`, `-cname=value` and other switches, which have no
 * assignment.
 */
function* switchesOf(options: string): Generator<{words: readonly string[]; assignment: string}> {
  const words = splitOptions(options);
  for (let at = 0; at < words.length; at++) {
    const word = words[at];
    if (word === '-c' && at + 1 < words.length) yield {words: [word, words[++at]], assignment: words[at]};
    else yield {words: [word], assignment: /^-[-c]./s.test(word) ? word.slice(2) : ''};
  }
}

/** Separated by blanks; a backslash takes away a blank's meaning. As pg_split_opts in PostgreSQL's postinit.c. */
function splitOptions(options: string): string[] {
  const words: string[] = [];
  let word: string | undefined;
  for (let at = 0; at < options.length; at++) {
    const character = options[at];
    if (character === '\\') word = (word ?? '') + (options[++at] ?? '');
    else if (!/[ \t\n\r\f\v]/.test(character)) word = (word ?? '') + character;
    else if (word !== undefined) {
      words.push(word);
      word = undefined;
    }
  }
  if (word !== undefined) words.push(word);
  return words;
}

/** Our catalog is found on any search_path, behind everything else. */
const withCatalog = (path: string): string => {
  if (/(^|,)\s*"?mz_catalog"?\s*(,|$)/.test(path)) return path;
  return path.trim() === '' ? 'mz_catalog' : `${path}, mz_catalog`;
};

/** What a client is told of its search_path. */
export const withoutCatalog = (path: string): string => path.replace(/(^|, )mz_catalog$/, '');
