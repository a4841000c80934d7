import {randomBytes} from 'node:crypto';
import {SqlError} from '../base/sql-error.ts';
import type {Name, SchemaOfDatabase, SwapSchema} from '../sql/ast.ts';
import {quoteName} from '../sql/quote.ts';
import {dotted} from './ask.ts';
import type {Plan, StatementContext} from './statement.ts';

/** The same without the database, which has to be the session's. PostgreSQL checks everything else. */
export function planSchemaOfDatabase({tag, names, before, rest}: SchemaOfDatabase): Plan {
  return {
    kind: 'run',
    tag,
    run: async context => {
      const schemas = await schemasHere(names, context);
      await context.query(`${before}${schemas.map(quoteName).join(', ')}${rest}`);
    },
  };
}

/** Two schemas change names, with everything that is in them. */
export function planSwapSchema({name, other}: SwapSchema): Plan {
  return {
    kind: 'run',
    tag: 'ALTER SCHEMA',
    run: async context => {
      const [one, two] = (await schemasHere([name, other], context)).map(quoteName);
      if (one === two) throw new SqlError('42710', 'a schema cannot be swapped with itself', {position: other.at});
      const between = quoteName(`swap_${randomBytes(8).toString('hex')}`);
      for (const [from, to] of [
        [one, between],
        [two, one],
        [between, two],
      ]) {
        await context.query(`ALTER SCHEMA ${from} RENAME TO ${to}`);
      }
    },
  };
}

/** The names without their database; 0A000 for the first that is in another one. */
export async function schemasHere(names: readonly Name[], context: StatementContext): Promise<string[]> {
  const schemas: string[] = [];
  for (const name of names) schemas.push(await schemaHere(name, context));
  return schemas;
}

async function schemaHere(name: Name, context: StatementContext): Promise<string> {
  const [schema, database, ...more] = name.parts.toReversed();
  if (more.length > 0) {
    throw new SqlError('42601', `improper schema name (too many dotted names): ${dotted(name)}`, {position: name.at});
  }
  if (database !== undefined) await requireThisDatabase(database, name, context);
  return schema;
}

export async function requireThisDatabase(database: string, name: Name, context: StatementContext): Promise<void> {
  const {rows} = await context.query('SELECT pg_catalog.current_database() = $1', [database]);
  if (rows[0][0] === 't') return;
  throw new SqlError('0A000', `cross-database references are not implemented: "${dotted(name)}"`, {position: name.at});
}
