import {SqlError} from '../base/sql-error.ts';
import type {CreateSink, Format, Name} from '../sql/ast.ts';
import {AVRO_OPTIONS} from '../sql/options/sink.ts';
import {printName} from '../sql/print.ts';
import {dotted} from './ask.ts';
import type {StatementContext} from './statement.ts';

/** Refuses DOC ON of what is not there: 42704 for a relation or type, 42703 for a column of one. */
export async function checkDocNames({format}: CreateSink, context: StatementContext): Promise<void> {
  const formats: readonly Format[] =
    format === undefined ? [] : format.kind === 'one' ? [format.format] : [format.key, format.value];
  for (const each of formats) {
    for (const {name: option, target} of each.kind === 'avro' ? each.options : []) {
      if (target === undefined) continue;
      const ofColumn = AVRO_OPTIONS[option as 'DOC ON TYPE' | 'DOC ON COLUMN'].target === 'column';
      await checkName(target, ofColumn, context);
    }
  }
}

async function checkName(target: Name, ofColumn: boolean, context: StatementContext): Promise<void> {
  const object = ofColumn ? {...target, parts: target.parts.slice(0, -1)} : target;
  const {rows} = await context.query(
    `SELECT r.oid IS NOT NULL OR t.oid IS NOT NULL, EXISTS (
       SELECT 1 FROM pg_catalog.pg_attribute a
       WHERE a.attrelid = COALESCE(r.oid, t.typrelid) AND a.attname = $2 AND a.attnum > 0 AND NOT a.attisdropped)
     FROM (SELECT pg_catalog.to_regclass($1)::oid AS oid) AS r LEFT JOIN pg_catalog.pg_type t ON t.oid = pg_catalog.to_regtype($1)`,
    [printName(object), target.parts.at(-1)!],
  );
  const [known, hasColumn] = rows[0];
  if (known !== 't') {
    throw new SqlError('42704', `unknown catalog item '${dotted(object)}'`, {position: target.at});
  }
  if (ofColumn && hasColumn !== 't') {
    throw new SqlError('42703', `column "${dotted(target)}" does not exist`, {position: target.at});
  }
}
