import {isSessionVariable} from '../sql/variables.ts';
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

/**
 * What the server gets in place of the client's start-up parameters: variables of ours become `sluice.…`, whether they came in `options`
 * or as parameters of their own; all else stays, in its order. `searchPath` is what the session would have without the client's word.
 */
export function translateStartup({protocol, parameters}: StartupPacket, searchPath?: string): StartupPacket {
  const translated: [string, string][] = [];
  for (const [name, value] of parameters) {
    if (name === 'replication') continue;
    if (name === 'options') translated.push([name, translateOptions(value)]);
    else if (name !== 'database' && isOurs(variable(name))) translated.push(ours(variable(name), value));
    else translated.push([name, name === 'search_path' ? withCatalog(value) : value]);
  }
  if (!translated.some(([name, value]) => name === 'database' && value !== '')) {
    translated.push(['database', DEFAULT_DATABASE]);
  }
  if (searchPath !== undefined) addDefaultPath(translated, searchPath);
  return {protocol, parameters: translated};
}

/** In front of the client's own options, because later ones win, and parameters of their own win over all options. */
function addDefaultPath(parameters: [string, string][], searchPath: string): void {
  const option = `-c ${escapeOption(`search_path=${withCatalog(searchPath)}`)}`;
  const given = parameters.find(([name]) => name === 'options');
  if (given === undefined) parameters.push(['options', option]);
  else given[1] = `${option} ${given[1]}`;
}

const escapeOption = (word: string): string => word.replaceAll(/[\\\s]/g, match => `\\${match}`);

/** Case does not matter in names of variables, and `-` stands for `_` in options. */
const variable = (name: string): string => name.toLowerCase().replaceAll('-', '_');

function ours(name: string, value: string): [string, string] {
  if (name === 'transaction_isolation' && POSTGRES_ISOLATION.has(value.toLowerCase())) {
    return ['default_transaction_isolation', value];
  }
  return [`sluice.${name}`, value];
}

/** `--name=value`, `-c name=value`, `-cname=value`, separated by blanks; a backslash takes away a blank's meaning. Other switches stay. */
function translateOptions(options: string): string {
  const words = splitOptions(options);
  const translated: string[] = [];
  for (let at = 0; at < words.length; at++) {
    const word = words[at];
    const apart = word === '-c' && at + 1 < words.length;
    const assignment = apart ? words[at + 1] : /^-[-c]./s.test(word) ? word.slice(2) : '';
    const instead = translateAssignment(assignment);
    if (instead !== undefined) translated.push('-c', instead);
    else translated.push(word, ...(apart ? [assignment] : []));
    if (apart) at++;
  }
  return translated.map(escapeOption).join(' ');
}

/** Undefined: it stays as it is. */
function translateAssignment(assignment: string): string | undefined {
  const equals = assignment.indexOf('=');
  if (equals === -1) return undefined;
  const name = variable(assignment.slice(0, equals));
  const value = assignment.slice(equals + 1);
  if (isOurs(name)) return ours(name, value).join('=');
  return name === 'search_path' ? `${name}=${withCatalog(value)}` : undefined;
}

/** As pg_split_opts in PostgreSQL's postinit.c. */
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
