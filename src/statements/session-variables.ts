import {SqlError} from '../base/sql-error.ts';
import type {AlterSettings, ResetVariable, SetVariable, ShowVariable} from '../sql/ast.ts';
import {quoteName, quoteText} from '../sql/quote.ts';
import {ISOLATION_OF_OTHERS, isSessionVariable, normalValue, SESSION_VARIABLES} from '../sql/variables.ts';
import type {SessionVariableName} from '../sql/variables.ts';
import {orRefuse, refuse} from './ask.ts';
import type {Plan, StatementContext} from './statement.ts';

/** Behind every path of a user, so that `mz_sinks` is found without its schema; SHOW hides it. */
const CATALOG_SCHEMA = 'mz_catalog';

export function planShowVariable({variable}: ShowVariable): Plan {
  return {kind: 'rewrite', sql: `SELECT ${shown(variable)} AS ${quoteName(variable)}`};
}

function shown(variable: string): string {
  switch (variable) {
    case 'database':
      return 'pg_catalog.current_database()::text';
    case 'schema':
      return `NULLIF(pg_catalog.current_schema()::text, '${CATALOG_SCHEMA}')`;
    case 'mz_version':
      return 'mz_catalog.mz_version()';
    case 'search_path':
      return `pg_catalog.regexp_replace(pg_catalog.current_setting('search_path'), '(^|, *)${CATALOG_SCHEMA}$', '')`;
    default: {
      const {default: value} = SESSION_VARIABLES[variable as keyof typeof SESSION_VARIABLES];
      // A setting of a rolled back SET LOCAL stays behind as an empty text.
      return `COALESCE(NULLIF(pg_catalog.current_setting('sluice.${variable}', true), ''), ${quoteText(value)})`;
    }
  }
}

/** Undefined: PostgreSQL knows the variable and the value. */
export function planSetVariable({scope, variable, values}: SetVariable): Plan | undefined {
  const set = scope === 'local' ? 'SET LOCAL' : 'SET';
  if (variable === 'search_path' || variable === 'schema') return planSetPath(set, variable, values);
  if (variable === 'transaction_isolation') return planSetIsolation(set, values);
  if (variable === 'database') return planSetDatabase(values);
  if (!isSessionVariable(variable)) return undefined;
  return orRefuse('SET', () => {
    const sql = assignment(set, variable, values);
    return variable === 'cluster' && values !== undefined ? planSetCluster(sql, values[0]) : {kind: 'rewrite', sql};
  });
}

/** Throws 22023. */
function assignment(set: string, variable: SessionVariableName, values: readonly string[] | undefined): string {
  return `${set} sluice.${variable} TO ${values === undefined ? 'DEFAULT' : quoteText(normalValue(variable, values))}`;
}

/** Who may is PostgreSQL's to say; it asks for SET on the parameter as well, because it does not know it. */
export function planAlterSettings({before, setting}: AlterSettings): Plan {
  const {variable} = setting;
  return orRefuse('ALTER', () => {
    const change =
      setting.kind === 'setVariable' && isSessionVariable(variable)
        ? assignment('SET', variable, setting.values)
        : `RESET sluice.${variable}`;
    return {kind: 'rewrite', sql: `${before}${change}`};
  });
}

export function planResetVariable({variable}: ResetVariable): Plan {
  const name = variable === 'schema' || variable === 'search_path' ? 'search_path' : variable;
  const ours = isSessionVariable(name) || name === 'database';
  return {kind: 'rewrite', sql: ours ? `RESET sluice.${name}` : `RESET ${name}`};
}

function planSetPath(set: string, variable: string, values: readonly string[] | undefined): Plan {
  if (values === undefined) return {kind: 'rewrite', sql: `${set} search_path TO DEFAULT`};
  if (variable === 'schema' && values.length !== 1) {
    return refuse('SET', new SqlError('22023', 'SET schema takes only one argument'));
  }
  const path = values.includes(CATALOG_SCHEMA) ? values : [...values, CATALOG_SCHEMA];
  return {kind: 'rewrite', sql: `${set} search_path TO ${path.map(quoteText).join(', ')}`};
}

/** What PostgreSQL does not know is kept and changes nothing: the level stays PostgreSQL's own. */
function planSetIsolation(set: string, values: readonly string[] | undefined): Plan | undefined {
  const value = values?.join(' ').toLowerCase();
  if (value === undefined || !ISOLATION_OF_OTHERS.includes(value)) return undefined;
  return {kind: 'rewrite', sql: `${set} sluice.transaction_isolation TO ${quoteText(value)}`};
}

function planSetDatabase(values: readonly string[] | undefined): Plan {
  return {
    kind: 'run',
    tag: 'SET',
    run: async context => {
      if (values === undefined) return;
      const {rows} = await context.query('SELECT pg_catalog.current_database() = $1', [values[0]]);
      if (rows[0][0] === 't') return;
      throw new SqlError('0A000', 'a session cannot change its database', {
        hint: `Connect to database "${values[0]}".`,
      });
    },
  };
}

function planSetCluster(sql: string, name: string): Plan {
  return {
    kind: 'run',
    tag: 'SET',
    run: async context => {
      await context.query(sql);
      const {rows} = await context.query(
        `SELECT 1 FROM mz_catalog.mz_clusters WHERE name = $1
         UNION ALL SELECT 2 WHERE ${shown('current_object_missing_warnings')} = 'off'`,
        [name],
      );
      if (rows.length > 0) return;
      context.notice({severity: 'NOTICE', code: 'MZ007', message: `cluster "${name}" does not exist`});
    },
  };
}

/** The session's cluster, undefined if there is none of that name. */
export async function activeCluster(context: StatementContext): Promise<string | undefined> {
  const {rows} = await context.query(`SELECT name FROM mz_catalog.mz_clusters WHERE name = ${shown('cluster')}`);
  return rows[0]?.[0] ?? undefined;
}
