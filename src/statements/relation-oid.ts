import type {Name} from '../sql/ast.ts';
import {printName} from '../sql/print.ts';
import {quoteText} from '../sql/quote.ts';
import {dotted} from './ask.ts';

/** What to say of objects that have the name but are no relations that are meant. */
interface Others {
  /** `mz_objects.type`. */
  readonly types: readonly string[];
  /** An expression, of the object `o` (mz_objects) in the schema `s` (mz_schemas). */
  readonly complaint: string;
}

/**
 * An expression for the OID of the relation of this name, which fails where there is none: with 42809 and the complaint if it is one of
 * the others, with 42P01 otherwise. `condition` is about the relation `c` (pg_class).
 */
export function relationOid(name: Name, condition: string, {types, complaint}: Others): string {
  const raise = (code: string, message: string) =>
    `mz_internal.raise_error('${code}', ${message}, NULL, NULL)::text::oid`;
  const schema =
    name.parts.length > 1
      ? `s.name = ${quoteText(name.parts.at(-2)!)}`
      : 's.name = ANY (pg_catalog.current_schemas(true)::text[])';
  const found =
    `(SELECT c.oid FROM pg_catalog.pg_class c ` +
    `WHERE c.oid = pg_catalog.to_regclass(${quoteText(printName(name))}) AND ${condition})`;
  const other =
    `(SELECT ${raise('42809', complaint)} FROM mz_catalog.mz_objects o JOIN mz_catalog.mz_schemas s ON s.id = o.schema_id ` +
    `WHERE o.name = ${quoteText(name.parts.at(-1)!)} AND o.type IN (${types.map(quoteText).join(', ')}) AND ${schema} LIMIT 1)`;
  return `COALESCE(${found}, ${other}, ${raise('42P01', quoteText(`relation "${dotted(name)}" does not exist`))})`;
}
