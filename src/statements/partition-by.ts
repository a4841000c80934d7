import {SqlError} from '../base/sql-error.ts';
import type {RelationDescription} from '../catalog/commands.ts';
import {quoteName} from '../sql/quote.ts';
import {TokenStream} from '../sql/token-stream.ts';
import type {StatementContext} from './statement.ts';

/** What becomes a partition number without losing what it says. */
const NUMBERS = ['smallint', 'integer', 'bigint', 'numeric', 'real', 'double precision', 'uint2', 'uint4', 'uint8'];

/** SQLSTATEs of PostgreSQL for what must not stand in a condition on one row, nor here. */
const NOT_OF_ONE_ROW: Readonly<Record<string, string>> = {
  '42803': 'aggregate functions',
  '42P20': 'window functions',
  '0A000': 'table functions',
};

interface PartitionBy {
  readonly sql: string;
  readonly at: number | undefined;
  readonly relation: RelationDescription;
  /** Undefined without a KEY clause. */
  readonly key: readonly string[] | undefined;
  readonly envelope: 'upsert' | 'debezium' | undefined;
}

/**
 * Has PostgreSQL look at the expression, as a condition that is never evaluated. 42703 for unknown columns, 42846 for a type that is no
 * number, 42P10 for a column outside the key, 0A000 for what does not depend on one row alone.
 */
export async function checkPartitionBy(expression: PartitionBy, context: StatementContext): Promise<void> {
  const {sql, at: position, relation, key, envelope} = expression;
  refuseSubqueries(expression);
  const {rows: names} = await context.query('SELECT $1::oid::pg_catalog.regclass::text', [String(relation.oid)]);
  const from = names[0][0]!;
  const ask = async (source: string): Promise<string> => {
    // A subquery without rows has its type all the same.
    const text = `SELECT pg_catalog.format_type(pg_catalog.pg_typeof((SELECT (${sql}) FROM ${source} WHERE (${sql}) IS NULL LIMIT 0)), NULL)`;
    const {rows} = await context.query(text);
    return rows[0][0]!;
  };
  let type: string;
  try {
    type = await ask(from);
  } catch (error) {
    if (!(error instanceof SqlError)) throw error;
    const {code, message, hint} = error;
    if (!Object.hasOwn(NOT_OF_ONE_ROW, code)) throw new SqlError(code, message, {hint, position, cause: error});
    throw refused(NOT_OF_ONE_ROW[code], position);
  }
  if (!NUMBERS.includes(type.replace(/^mz_catalog\./, ''))) {
    throw new SqlError('42846', `PARTITION BY does not support casting from ${type} to uint8`, {position});
  }
  if (envelope !== 'debezium') return;
  try {
    const columns = (key ?? []).map(quoteName).join(', ');
    await ask(`(SELECT ${columns} FROM ${from}) AS ${quoteName(relation.name.split('.').at(-1)!)}`);
  } catch (error) {
    if (!(error instanceof SqlError) || error.code !== '42703') throw error;
    throw new SqlError('42P10', `PARTITION BY expression cannot refer to non-key column "${culprit(expression)}"`, {
      detail:
        'With ENVELOPE DEBEZIUM only columns of the KEY clause may be referenced, so that a row stays in its partition.',
      position,
      cause: error,
    });
  }
}

const refused = (what: string, position: number | undefined): SqlError =>
  new SqlError('0A000', `PARTITION BY does not allow ${what}`, {position});

function refuseSubqueries({sql, at}: PartitionBy): void {
  const tokens = new TokenStream(sql);
  for (let opened = true; tokens.kind !== 'end'; tokens.skip()) {
    if (tokens.kind === 'parameter') throw refused('parameters', at);
    if (opened && ['select', 'values', 'with', 'table'].includes(tokens.word())) throw refused('subqueries', at);
    opened = tokens.seesSymbol('(');
  }
}

/** The first name in the expression that is a column outside the key. */
function culprit({sql, relation, key}: PartitionBy): string {
  const tokens = new TokenStream(sql);
  const others = relation.columns.map(({name}) => name).filter(name => key?.includes(name) !== true);
  for (; tokens.kind !== 'end'; tokens.skip()) {
    const name = tokens.kind === 'quotedWord' ? tokens.source().slice(1, -1).replaceAll('""', '"') : tokens.word();
    if (others.includes(name) && !tokens.seesSymbol('(', 1)) return name;
  }
  return others[0];
}
