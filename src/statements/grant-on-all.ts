import {type GrantableKind, grantOnAll} from '../catalog/change-commands.ts';
import {textArray} from '../catalog/commands.ts';
import type {GrantOnAll} from '../sql/ast.ts';
import {printGrantEnd, printRole} from '../sql/print.ts';
import {quoteName} from '../sql/quote.ts';
import {ask, singleName} from './ask.ts';
import {roleReference} from './change-object.ts';
import {requireGrantor} from './grantor.ts';
import {requireThisDatabase, schemasHere} from './schemas.ts';
import type {Plan, StatementContext} from './statement.ts';

/** Every object that there is now: of our kinds by the catalog, of PostgreSQL's by its own GRANT, which checks as it always does. */
export function planGrantOnAll(statement: GrantOnAll): Plan {
  const {object, schemas, databases, privileges, roles, revoke} = statement;
  return {
    kind: 'run',
    tag: revoke ? 'REVOKE' : 'GRANT',
    run: async context => {
      await requireGrantor(statement, context);
      for (const name of databases) await requireThisDatabase(singleName(name, 'database'), name, context);
      const within = await schemasHere(schemas, context);
      if (isOurs(object)) {
        await ask(context, grantOnAll(object, within, {privileges, grantees: roles.map(roleReference), revoke}));
        return;
      }
      const targets = await TARGETS[object](within, context);
      if (targets === undefined) return;
      // PostgreSQL reads "public" as everybody, quoted or not.
      const [verb, preposition] = revoke ? ['REVOKE', 'FROM'] : ['GRANT', 'TO'];
      const what = privileges.length === 0 ? 'ALL' : privileges.join(', ');
      await context.query(
        `${verb} ${what} ON ${targets} ${preposition} ${roles.map(printRole).join(', ')}${printGrantEnd(statement)}`,
      );
    },
  };
}

const isOurs = (object: GrantOnAll['object']): object is GrantableKind =>
  object === 'connection' || object === 'secret' || object === 'cluster';

const USER_SCHEMAS = `SELECT pg_catalog.quote_ident(name) AS name FROM mz_catalog.mz_schemas WHERE id LIKE 'u%'`;

/** What has privileges of its own: no arrays, no multiranges, no rows of tables. */
const USER_TYPES = `SELECT pg_catalog.format('%I.%I', n.nspname, t.typname) AS name
  FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace JOIN mz_catalog.mz_schemas s ON s.oid = n.oid
  WHERE s.id LIKE 'u%' AND t.typtype <> 'm' AND t.typcategory <> 'A'
    AND (t.typrelid = 0 OR EXISTS (SELECT 1 FROM pg_catalog.pg_class c WHERE c.oid = t.typrelid AND c.relkind = 'c'))`;

/** What stands behind ON in PostgreSQL's GRANT; undefined: there is none of them. */
const TARGETS: Record<
  Exclude<GrantOnAll['object'], GrantableKind>,
  (schemas: readonly string[], context: StatementContext) => Promise<string | undefined>
> = {
  table: (schemas, context) =>
    schemas.length > 0
      ? Promise.resolve(`ALL TABLES IN SCHEMA ${schemas.map(quoteName).join(', ')}`)
      : on('ALL TABLES IN SCHEMA', USER_SCHEMAS, context),
  schema: (_, context) => on('SCHEMA', USER_SCHEMAS, context),
  // The others of the server are not Sluice's.
  database: (_, context) =>
    on('DATABASE', 'SELECT pg_catalog.quote_ident(pg_catalog.current_database()) AS name', context),
  type: async (schemas, context) => {
    if (schemas.length === 0) return on('TYPE', USER_TYPES, context);
    const values = [textArray(schemas.map(quoteName))];
    // On its own, because a condition that PostgreSQL need not look at finds no missing schema.
    await context.query('SELECT $1::text[]::pg_catalog.regnamespace[]', values);
    return on('TYPE', `${USER_TYPES} AND n.oid = ANY ($1::text[]::pg_catalog.regnamespace[]::oid[])`, context, values);
  },
};

async function on(
  keywords: string,
  names: string,
  context: StatementContext,
  values: readonly string[] = [],
): Promise<string | undefined> {
  const {rows} = await context.query(`SELECT string_agg(name, ', ' ORDER BY name) FROM (${names}) AS names`, values);
  const [[list]] = rows;
  return list === null ? undefined : `${keywords} ${list}`;
}
