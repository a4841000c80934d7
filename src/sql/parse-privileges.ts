import {SqlError} from '../base/sql-error.ts';
import type {
  AlterDefaultPrivileges,
  Grant,
  GrantEnd,
  GrantOnAll,
  GrantOnSystem,
  Name,
  Role,
  SchemaOfDatabase,
  Unsupported,
} from './ast.ts';
import {parseStatementOnSchema} from './parse-schema.ts';
import type {TokenStream} from './token-stream.ts';

const KINDS = {connection: 'CONNECTION', secret: 'SECRET', cluster: 'CLUSTER'} as const;
type GrantableKind = keyof typeof KINDS;

/** Behind ON ALL, and what they may be restricted to. */
const PLURALS: Record<
  GrantOnAll['object'],
  {readonly keywords: string; readonly in: readonly ('schema' | 'database')[]}
> = {
  table: {keywords: 'TABLES', in: ['schema', 'database']},
  type: {keywords: 'TYPES', in: ['schema', 'database']},
  secret: {keywords: 'SECRETS', in: ['schema', 'database']},
  connection: {keywords: 'CONNECTIONS', in: ['schema', 'database']},
  schema: {keywords: 'SCHEMAS', in: ['database']},
  database: {keywords: 'DATABASES', in: []},
  cluster: {keywords: 'CLUSTERS', in: []},
};

export const pluralKeywords = (object: GrantOnAll['object']): string => PLURALS[object].keywords;

const PRIVILEGES = ['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'CREATE', 'USAGE'];
/** What `familyOf` knows a GRANT ON SYSTEM by. */
const SYSTEM_PRIVILEGES = ['CREATEROLE', 'CREATEDB', 'CREATECLUSTER', 'CREATENETWORKPOLICY'];

/** Behind GRANT or REVOKE. */
export function parseGrant(
  tokens: TokenStream,
  verb: 'grant' | 'revoke',
): Grant | GrantOnAll | GrantOnSystem | SchemaOfDatabase {
  const {position} = tokens;
  const optionOnly = tokens.take('GRANT OPTION FOR');
  const privileges = parsePrivileges(tokens, [...PRIVILEGES, ...SYSTEM_PRIVILEGES]);
  tokens.expect('ON');
  if (tokens.take('SCHEMA')) return parseStatementOnSchema(tokens, verb.toUpperCase(), 'many');
  if (optionOnly) throw noGrantOptions(position);
  if (tokens.take('SYSTEM')) {
    const wrong = privileges.find(privilege => !SYSTEM_PRIVILEGES.includes(privilege));
    if (wrong !== undefined) throw new SqlError('0LP01', `invalid privilege type ${wrong} for system`);
    return {kind: 'grantOnSystem', revoke: verb === 'revoke', privileges, ...parseEnd(tokens, verb)};
  }
  if (tokens.take('ALL')) return parseGrantOnAll(tokens, verb, privileges);
  const object = (Object.keys(KINDS) as GrantableKind[]).find(kind => tokens.take(KINDS[kind]));
  if (object === undefined) throw tokens.unexpected('one of ALL or CLUSTER or CONNECTION or SECRET or SYSTEM');
  const names = tokens.list(() => tokens.name(`${object} name`));
  return {kind: verb, object, privileges, names, ...parseEnd(tokens, verb)};
}

function parseGrantOnAll(tokens: TokenStream, verb: 'grant' | 'revoke', privileges: readonly string[]): GrantOnAll {
  const object = (Object.keys(PLURALS) as GrantOnAll['object'][]).find(kind => tokens.take(PLURALS[kind].keywords));
  if (object === undefined) {
    throw tokens.unexpected(
      `one of ${Object.values(PLURALS)
        .map(({keywords}) => keywords)
        .sort()
        .join(' or ')}`,
    );
  }
  const within = (kind: 'schema' | 'database'): Name[] =>
    PLURALS[object].in.includes(kind) && tokens.take(`IN ${kind.toUpperCase()}`)
      ? tokens.list(() => tokens.name(`${kind} name`))
      : [];
  const schemas = within('schema');
  const databases = schemas.length === 0 ? within('database') : [];
  return {
    kind: 'grantOnAll',
    revoke: verb === 'revoke',
    object,
    privileges,
    schemas,
    databases,
    ...parseEnd(tokens, verb),
  };
}

/** Behind ALTER DEFAULT PRIVILEGES. */
export function parseAlterDefaultPrivileges(
  tokens: TokenStream,
): AlterDefaultPrivileges | SchemaOfDatabase | Unsupported {
  const at = tokens.position;
  let roles: AlterDefaultPrivileges['roles'] = [];
  const schemas: Name[] = [];
  if (tokens.take('FOR ALL ROLES')) roles = 'all';
  else if (tokens.take('FOR ROLE') || tokens.take('FOR USER')) roles = tokens.list(() => parseRole(tokens));
  if (tokens.take('IN SCHEMA')) {
    const onOurs = Object.values(KINDS).some(kind => tokens.seesLater(`ON ${kind}S`));
    if (roles !== 'all' && !onOurs) return parseStatementOnSchema(tokens, 'ALTER DEFAULT PRIVILEGES', 'many');
    schemas.push(...tokens.list(() => tokens.name('schema name')));
  }
  const database = tokens.take('IN DATABASE') ? tokens.name('database name') : undefined;
  const revoke = tokens.take('REVOKE');
  if (!revoke) tokens.expect('GRANT');
  if (tokens.sees('GRANT OPTION FOR')) throw noGrantOptions(tokens.position);
  const privileges = parsePrivileges(tokens, PRIVILEGES);
  tokens.expect('ON');
  const object = (Object.keys(KINDS) as GrantableKind[]).find(kind => tokens.take(`${KINDS[kind]}S`));
  if (object === undefined) {
    return {kind: 'unsupported', what: 'default privileges of all roles, or in a database, on these objects are', at};
  }
  const grantees = parseRoles(tokens, revoke ? 'revoke' : 'grant');
  // Nothing depends on a privilege of ours.
  if (revoke) parseBehavior(tokens);
  return {kind: 'alterDefaultPrivileges', roles, schemas, database, revoke, privileges, object, grantees};
}

function parsePrivileges(tokens: TokenStream, known: readonly string[]): string[] {
  if (tokens.take('ALL')) {
    tokens.take('PRIVILEGES');
    return [];
  }
  return tokens.list(() => {
    const privilege = known.find(word => tokens.take(word));
    if (privilege === undefined) throw tokens.unexpected(`one of ALL or ${PRIVILEGES.join(' or ')}`);
    return privilege;
  });
}

function parseEnd(tokens: TokenStream, verb: 'grant' | 'revoke'): GrantEnd & {readonly roles: readonly Role[]} {
  const roles = parseRoles(tokens, verb);
  const grantedBy = tokens.take('GRANTED BY') ? parseRole(tokens) : undefined;
  return {roles, grantedBy, behavior: verb === 'revoke' ? parseBehavior(tokens) : undefined};
}

export const parseBehavior = (tokens: TokenStream): 'cascade' | 'restrict' | undefined =>
  tokens.take('CASCADE') ? 'cascade' : tokens.take('RESTRICT') ? 'restrict' : undefined;

function parseRoles(tokens: TokenStream, verb: 'grant' | 'revoke'): Role[] {
  tokens.expect(verb === 'grant' ? 'TO' : 'FROM');
  const roles = tokens.list(() => {
    tokens.take('GROUP');
    return parseRole(tokens);
  });
  if (verb === 'grant' && tokens.sees('WITH GRANT OPTION')) throw noGrantOptions(tokens.position);
  return roles;
}

/** Neither for objects of ours nor in the forms that PostgreSQL does not have. */
const noGrantOptions = (position: number): SqlError =>
  new SqlError('0A000', 'grant options are not supported here', {
    hint: 'Only owners grant. To let a role grant like the owner, make it a member of the owner: GRANT owner TO role.',
    position,
  });

const SESSION_ROLES = ['current_user', 'current_role', 'session_user'] as const;

export function parseRole(tokens: TokenStream): Role {
  const session = SESSION_ROLES.find(role => tokens.take(role.toUpperCase()));
  return session === undefined ? {name: tokens.identifier('role name')} : {session};
}
