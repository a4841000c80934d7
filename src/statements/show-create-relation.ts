import type {Name, ShowableKind} from '../sql/ast.ts';
import {printName} from '../sql/print.ts';
import {quoteText} from '../sql/quote.ts';
import {relationOid} from './relation-oid.ts';

type RelationKind = Extract<ShowableKind, 'table' | 'view' | 'materializedView' | 'index'>;

const KINDS: Record<RelationKind, {readonly relkinds: string; readonly title: string}> = {
  table: {relkinds: 'r,p,f', title: 'a table'},
  view: {relkinds: 'v', title: 'a view'},
  materializedView: {relkinds: 'm', title: 'a materialized view'},
  index: {relkinds: 'i,I', title: 'an index'},
};

/** SHOW CREATE of PostgreSQL's own relations: one query, with the columns name and create_sql. */
export function showCreateRelation(kind: RelationKind, name: Name, redacted: boolean): string {
  const {relkinds, title} = KINDS[kind];
  const fullName = fullNameOf('c.relname');
  return (
    `SELECT ${fullName} AS name, CASE WHEN c.relkind = ANY ('{${relkinds}}') THEN mz_internal.relation_sql(c.oid, ${redacted}) ELSE ` +
    `mz_internal.raise_error('42809', ${fullName} || ' is not ${title}', NULL, NULL)::text END AS create_sql ` +
    `FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace ` +
    `WHERE c.oid = ${relationOid(name, 'true', {types: ['connection', 'secret', 'sink'], complaint: `${fullNameOf('o.name', 's.name')} || ' is not ${title}'`})}`
  );
}

/** The same for types. Those that come with something else have no statement of their own. */
export function showCreateType(name: Name, redacted: boolean): string {
  const fullName = fullNameOf('t.typname');
  return (
    `SELECT ${fullName} AS name, COALESCE(mz_internal.type_sql(t.oid, ${redacted}), mz_internal.raise_error('42809', ` +
    `${fullName} || ' has no CREATE TYPE of its own', 'It belongs to a relation, to another type, or to PostgreSQL itself.', NULL)::text) AS create_sql ` +
    `FROM pg_catalog.pg_type t JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace ` +
    `WHERE t.oid = ${quoteText(printName(name))}::pg_catalog.regtype`
  );
}

const fullNameOf = (column: string, schema = 'n.nspname'): string =>
  `pg_catalog.concat_ws('.', pg_catalog.current_database(), ${schema}, ${column})`;
