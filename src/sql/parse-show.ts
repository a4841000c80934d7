import {SqlError} from '../base/sql-error.ts';
import type {ListedKind, Name, ShowableKind, ShowCreate, ShowList, ShowVariable} from './ast.ts';
import type {TokenStream} from './token-stream.ts';
import {isShownByUs} from './variables.ts';

interface ListSyntax {
  readonly keywords: string;
  /** Which clauses besides LIKE and WHERE. */
  readonly from?: 'optional' | 'required' | undefined;
  readonly on?: 'relation' | 'source' | 'kind' | undefined;
  readonly cluster?: boolean | undefined;
  readonly role?: boolean | undefined;
}

const LISTS: Record<ListedKind, ListSyntax> = {
  databases: {keywords: 'DATABASES'},
  schemas: {keywords: 'SCHEMAS', from: 'optional'},
  roles: {keywords: 'ROLES'},
  secrets: {keywords: 'SECRETS', from: 'optional'},
  tables: {keywords: 'TABLES', from: 'optional', on: 'source'},
  views: {keywords: 'VIEWS', from: 'optional'},
  types: {keywords: 'TYPES', from: 'optional'},
  objects: {keywords: 'OBJECTS', from: 'optional'},
  connections: {keywords: 'CONNECTIONS', from: 'optional'},
  sources: {keywords: 'SOURCES', from: 'optional', cluster: true},
  sinks: {keywords: 'SINKS', from: 'optional', cluster: true},
  materializedViews: {keywords: 'MATERIALIZED VIEWS', from: 'optional', cluster: true},
  subsources: {keywords: 'SUBSOURCES', from: 'optional', on: 'source'},
  indexes: {keywords: 'INDEXES', from: 'optional', on: 'relation', cluster: true},
  columns: {keywords: 'COLUMNS', from: 'required'},
  clusters: {keywords: 'CLUSTERS'},
  clusterReplicas: {keywords: 'CLUSTER REPLICAS'},
  privileges: {keywords: 'PRIVILEGES', on: 'kind', role: true},
  defaultPrivileges: {keywords: 'DEFAULT PRIVILEGES', on: 'kind', role: true},
  roleMembership: {keywords: 'ROLE MEMBERSHIP', role: true},
  networkPolicies: {keywords: 'NETWORK POLICIES'},
};

const SHOWABLE: Record<ShowableKind, string> = {
  materializedView: 'MATERIALIZED VIEW',
  sink: 'SINK',
  connection: 'CONNECTION',
  cluster: 'CLUSTER',
  table: 'TABLE',
  view: 'VIEW',
  source: 'SOURCE',
  index: 'INDEX',
  type: 'TYPE',
};

/** ON is followed by a kind of object instead of an object. */
export const isOfKind = (list: ListedKind): boolean => LISTS[list].on === 'kind';
export const listKeywords = (list: ListedKind): string => LISTS[list].keywords;
export const showableKeywords = (object: ShowableKind): string => SHOWABLE[object];

/** Behind SHOW. */
export function parseShow(tokens: TokenStream): ShowList | ShowCreate | ShowVariable {
  const redacted = tokens.take('REDACTED');
  if (redacted && !tokens.sees('CREATE')) throw tokens.unexpected('CREATE');
  if (tokens.take('CREATE')) {
    for (const [object, keywords] of Object.entries(SHOWABLE)) {
      if (tokens.take(keywords)) {
        return {kind: 'showCreate', redacted, object: object as ShowableKind, name: tokens.name('object name')};
      }
    }
    throw tokens.unexpected(`one of ${Object.values(SHOWABLE).sort().join(' or ')}`);
  }
  for (const [list, syntax] of Object.entries(LISTS)) {
    if (tokens.take(syntax.keywords)) return parseList(tokens, list as ListedKind, syntax);
  }
  const {position} = tokens;
  const variable = tokens.identifier('variable name').toLowerCase();
  if (!isShownByUs(variable)) {
    throw new SqlError('42704', `unrecognized configuration parameter "${variable}"`, {position});
  }
  return {kind: 'showVariable', variable};
}

function parseList(tokens: TokenStream, list: ListedKind, syntax: ListSyntax): ShowList {
  let from: ShowList['from'];
  let on: ShowList['on'];
  let cluster: ShowList['cluster'];
  let role: ShowList['role'];
  let filter: ShowList['filter'];
  if (syntax.from === 'required' && !tokens.sees('FROM') && !tokens.sees('IN')) throw tokens.unexpected('FROM');
  if (syntax.from && !tokens.sees('IN CLUSTER') && (tokens.take('FROM') || tokens.take('IN'))) {
    from = tokens.name(list === 'columns' ? 'relation name' : 'schema name');
  }
  // SHOW TABLES takes both: the tables that a source has in a schema.
  const takesOn = syntax.on !== undefined && (from === undefined || list === 'tables');
  if (takesOn && tokens.take('ON')) {
    on = syntax.on === 'kind' ? parseKind(tokens) : tokens.name(`${syntax.on} name`);
  }
  if (syntax.cluster === true && tokens.take('IN CLUSTER')) cluster = tokens.name('cluster name');
  if (syntax.role === true && tokens.take('FOR')) role = tokens.identifier('role name');
  if (tokens.take('LIKE')) filter = {kind: 'like', pattern: tokens.string()};
  else if (tokens.take('WHERE')) filter = {kind: 'where', sql: tokens.expression(() => tokens.seesSymbol(';'))};
  return {kind: 'showList', list, from, on, cluster, role, filter};
}

/** What has privileges. */
const KINDS = [
  'CLUSTER',
  'CONNECTION',
  'DATABASE',
  'FUNCTION',
  'MATERIALIZED VIEW',
  'SCHEMA',
  'SECRET',
  'SEQUENCE',
  'SOURCE',
  'SYSTEM',
  'TABLE',
  'TYPE',
  'VIEW',
];

/** A kind of object in one or two words, singular or plural, as one name in the singular: `materialized view`. */
function parseKind(tokens: TokenStream): Name {
  const at = tokens.position;
  const kind = KINDS.find(words => tokens.take(`${words}S`) || tokens.take(words));
  if (kind === undefined) throw tokens.unexpected(`one of ${KINDS.join(' or ')}`);
  return {parts: [kind.toLowerCase()], at};
}
