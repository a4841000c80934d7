import {SqlError} from '../base/sql-error.ts';
import {alterDefaultPrivileges, type GrantableKind, grantOn, grantOnSystem} from '../catalog/change-commands.ts';
import type {ObjectName} from '../catalog/commands.ts';
import type {AlterDefaultPrivileges, Grant, GrantOnSystem, Name, Role} from '../sql/ast.ts';
import {printRole} from '../sql/print.ts';
import {ask, objectName, singleName} from './ask.ts';
import {roleReference} from './change-object.ts';
import {requireGrantor} from './grantor.ts';
import {requireThisDatabase, schemasHere} from './schemas.ts';
import type {Plan} from './statement.ts';

export function planGrant(statement: Grant): Plan {
  const {kind, object, privileges, names, roles} = statement;
  const grant = {privileges, grantees: roles.map(roleReference), revoke: kind === 'revoke'};
  return {
    kind: 'run',
    tag: kind.toUpperCase(),
    run: async context => {
      await requireGrantor(statement, context);
      for (const name of names) await ask(context, grantOn(object, grantable(object, name), grant));
    },
  };
}

const grantable = (object: GrantableKind, name: Name): ObjectName =>
  object === 'cluster' ? [singleName(name, 'cluster')] : objectName(name);

/** What PostgreSQL keeps as an attribute of a role, and has rules of its own for who may give it. */
const ATTRIBUTES = ['CREATEROLE', 'CREATEDB'];

export function planGrantOnSystem(statement: GrantOnSystem): Plan {
  const {revoke, privileges, roles} = statement;
  return {
    kind: 'run',
    tag: revoke ? 'REVOKE' : 'GRANT',
    run: async context => {
      await requireGrantor(statement, context);
      const attributes = privileges.filter(privilege => ATTRIBUTES.includes(privilege));
      for (const role of attributes.length > 0 ? roles : []) {
        await context.query(
          `ALTER ROLE ${roleOf(role)} ${attributes.map(name => (revoke ? `NO${name}` : name)).join(' ')}`,
        );
      }
      const ours = privileges.filter(privilege => !ATTRIBUTES.includes(privilege));
      if (ours.length > 0) {
        await ask(context, grantOnSystem({privileges: ours, grantees: roles.map(roleReference), revoke}));
      }
    },
  };
}

function roleOf(role: Role): string {
  if ('session' in role || role.name !== 'public') return printRole(role);
  throw new SqlError('0LP01', 'CREATEROLE and CREATEDB cannot be granted to PUBLIC');
}

export function planAlterDefaultPrivileges(statement: AlterDefaultPrivileges): Plan {
  const {roles, schemas, database, object, privileges, grantees, revoke} = statement;
  return {
    kind: 'run',
    tag: 'ALTER DEFAULT PRIVILEGES',
    run: async context => {
      if (database !== undefined) {
        await requireThisDatabase(singleName(database, 'database'), database, context);
      }
      const names = await schemasHere(schemas, context);
      await ask(
        context,
        alterDefaultPrivileges(
          object,
          {roles: roles === 'all' ? 'all' : roles.map(roleReference), schemas: names},
          {privileges, grantees: grantees.map(roleReference), revoke},
        ),
      );
    },
  };
}
