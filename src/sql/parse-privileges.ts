import {SqlError} from '../base/sql-error.ts';
import type {AlterDefaultPrivileges, Grant, GrantOnSystem, Name, Role, Unsupported} from './ast.ts';
import type {TokenStream} from './token-stream.ts';

const KINDS = {connection: 'CONNECTION', secret: 'SECRET', cluster: 'CLUSTER'} as const;
type GrantableKind = keyof typeof KINDS;

const PRIVILEGES = ['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'CREATE', 'USAGE'];
/** What `familyOf` knows a GRANT ON SYSTEM by. */
const SYSTEM_PRIVILEGES = ['CREATEROLE', 'CREATEDB', 'CREATECLUSTER', 'CREATENETWORKPOLICY'];

/** Behind GRANT or REVOKE. */
export function parseGrant(tokens: TokenStream, verb: 'grant' | 'revoke'): Grant | GrantOnSystem {
  const privileges = parsePrivileges(tokens, [...PRIVILEGES, ...SYSTEM_PRIVILEGES]);
  tokens.expect('ON');
  if (tokens.take('SYSTEM')) {
    const wrong = privileges.find(privilege => !SYSTEM_PRIVILEGES.includes(privilege));
    if (wrong !== undefined) throw new SqlError('0LP01', `invalid privilege type ${wrong} for system`);
    return {kind: 'grantOnSystem', revoke: verb === 'revoke', privileges, roles: parseRoles(tokens, verb)};
  }
  const object = (Object.keys(KINDS) as GrantableKind[]).find(kind => tokens.take(KINDS[kind]));
  if (object === undefined) throw tokens.unexpected('one of CLUSTER or CONNECTION or SECRET or SYSTEM');
  const names = tokens.list(() => tokens.name(`${object} name`));
  return {kind: verb, object, privileges, names, roles: parseRoles(tokens, verb)};
}

/** Behind ALTER DEFAULT PRIVILEGES. */
export function parseAlterDefaultPrivileges(tokens: TokenStream): AlterDefaultPrivileges | Unsupported {
  const at = tokens.position;
  let roles: AlterDefaultPrivileges['roles'] = [];
  const schemas: Name[] = [];
  if (tokens.take('FOR ALL ROLES')) roles = 'all';
  else if (tokens.take('FOR ROLE') || tokens.take('FOR USER')) roles = tokens.list(() => parseRole(tokens));
  if (tokens.take('IN SCHEMA')) schemas.push(...tokens.list(() => tokens.name('schema name')));
  const database = tokens.take('IN DATABASE') ? tokens.name('database name') : undefined;
  const revoke = tokens.take('REVOKE');
  if (!revoke) tokens.expect('GRANT');
  const privileges = parsePrivileges(tokens, PRIVILEGES);
  tokens.expect('ON');
  const object = (Object.keys(KINDS) as GrantableKind[]).find(kind => tokens.take(`${KINDS[kind]}S`));
  if (object === undefined) {
    return {kind: 'unsupported', what: 'default privileges of all roles, or in a database, on these objects are', at};
  }
  const grantees = parseRoles(tokens, revoke ? 'revoke' : 'grant');
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

function parseRoles(tokens: TokenStream, verb: 'grant' | 'revoke'): Role[] {
  tokens.expect(verb === 'grant' ? 'TO' : 'FROM');
  return tokens.list(() => {
    tokens.take('GROUP');
    return parseRole(tokens);
  });
}

const SESSION_ROLES = ['current_user', 'current_role', 'session_user'] as const;

export function parseRole(tokens: TokenStream): Role {
  const session = SESSION_ROLES.find(role => tokens.take(role.toUpperCase()));
  return session === undefined ? {name: tokens.identifier('role name')} : {session};
}
