import type {CompositeType, RangeType, SqlType} from '../types/sql-type.ts';
import {queryJson} from './queryable.ts';
import type {Queryable} from './queryable.ts';

/**
 * Everything that the given types are made of, in one snapshot. A true array is what its element names as `typarray`:
 * `int2vector` and `oidvector` also have elements, but another text form. A composite cannot contain itself (42P16), so
 * the recursion ends.
 */
const TYPES = `
WITH RECURSIVE needed(oid) AS (
  SELECT unnest($1::oid[])
  UNION
  SELECT part.oid
  FROM needed
  JOIN pg_catalog.pg_type t ON t.oid = needed.oid
  CROSS JOIN LATERAL (
    SELECT e.oid FROM pg_catalog.pg_type e WHERE e.oid = t.typelem AND e.typarray = t.oid
    UNION ALL SELECT t.typbasetype WHERE t.typtype = 'd'
    UNION ALL SELECT r.rngsubtype FROM pg_catalog.pg_range r WHERE r.rngtypid = t.oid
    UNION ALL SELECT r.rngtypid FROM pg_catalog.pg_range r WHERE r.rngmultitypid = t.oid
    UNION ALL SELECT a.atttypid FROM pg_catalog.pg_attribute a
      WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
  ) part
)
SELECT pg_catalog.json_agg(pg_catalog.json_build_object(
  'oid', t.oid::int8,
  'name', t.typname,
  'schema', n.nspname,
  'type', t.typtype,
  'binary', t.typsend <> 0,
  'element', e.oid::int8,
  'delimiter', e.typdelim,
  'base', t.typbasetype::int8,
  'typmod', t.typtypmod,
  'subtype', (SELECT r.rngsubtype::int8 FROM pg_catalog.pg_range r WHERE r.rngtypid = t.oid),
  'range', (SELECT r.rngtypid::int8 FROM pg_catalog.pg_range r WHERE r.rngmultitypid = t.oid),
  'labels', (SELECT pg_catalog.json_agg(l.enumlabel ORDER BY l.enumsortorder) FROM pg_catalog.pg_enum l WHERE l.enumtypid = t.oid),
  'fields', (
    SELECT pg_catalog.json_agg(pg_catalog.json_build_object('name', a.attname, 'type', a.atttypid::int8, 'typmod', a.atttypmod) ORDER BY a.attnum)
    FROM pg_catalog.pg_attribute a
    WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped)
))::text
FROM needed
JOIN pg_catalog.pg_type t ON t.oid = needed.oid
JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem AND e.typarray = t.oid`;

interface TypeRow {
  readonly oid: number;
  readonly name: string;
  readonly schema: string;
  /** `pg_type.typtype`. */
  readonly type: string;
  readonly binary: boolean;
  readonly element: number | null;
  readonly delimiter: string | null;
  readonly base: number;
  readonly typmod: number;
  readonly subtype: number | null;
  readonly range: number | null;
  readonly labels: readonly string[] | null;
  readonly fields: readonly {readonly name: string; readonly type: number; readonly typmod: number}[] | null;
}

class TypeBuilder {
  readonly #rows: ReadonlyMap<number, TypeRow>;
  readonly #built = new Map<number, SqlType>();

  constructor(rows: readonly TypeRow[]) {
    this.#rows = new Map(rows.map(row => [row.oid, row]));
  }

  has(oid: number): boolean {
    return this.#rows.has(oid);
  }

  type(oid: number): SqlType {
    const known = this.#built.get(oid);
    if (known) return known;
    const row = this.#rows.get(oid);
    if (!row) throw new Error(`pg_type has no row for type ${oid}, which another type refers to`);
    const built = this.#build(row);
    this.#built.set(oid, built);
    return built;
  }

  #build(row: TypeRow): SqlType {
    const identity = {oid: row.oid, name: row.name, schema: row.schema, binary: row.binary};
    if (row.element !== null) {
      return {...identity, kind: 'array', element: this.type(row.element), delimiter: row.delimiter ?? ','};
    }
    switch (row.type) {
      case 'c':
        return {...identity, kind: 'composite', fields: this.#fields(row)};
      case 'd':
        return {...identity, kind: 'domain', base: this.type(row.base), typmod: row.typmod};
      case 'e':
        return {...identity, kind: 'enum', labels: row.labels ?? []};
      case 'r':
        return {...identity, kind: 'range', subtype: this.type(present(row.subtype, row))};
      case 'm':
        return {...identity, kind: 'multirange', range: this.type(present(row.range, row)) as RangeType};
      default:
        return {...identity, kind: 'base'};
    }
  }

  #fields(row: TypeRow): CompositeType['fields'] {
    return (row.fields ?? []).map(field => ({name: field.name, type: this.type(field.type), typmod: field.typmod}));
  }
}

function present(oid: number | null, row: TypeRow): number {
  if (oid === null) throw new Error(`pg_range has no row for type "${row.schema}"."${row.name}"`);
  return oid;
}

/**
 * The types with these OIDs (`pg_type.oid`) and all that they are made of. An OID that does not exist (dropped meanwhile) is not
 * in the result. One query, whatever the depth.
 */
export async function describeTypes(session: Queryable, oids: readonly number[]): Promise<Map<number, SqlType>> {
  const rows = (await queryJson(session, TYPES, [`{${oids.join(',')}}`])) as readonly TypeRow[] | null | undefined;
  const builder = new TypeBuilder(rows ?? []);
  const types = new Map<number, SqlType>();
  for (const oid of oids) if (builder.has(oid)) types.set(oid, builder.type(oid));
  return types;
}

/**
 * The part of a type that has no send function although something around it has one: PostgreSQL then cannot send the whole in
 * binary at all (`aclitem[]`: array_send fails with 42883), neither by COPY nor in the change stream. Undefined: no such part.
 */
export function unsendablePart(type: SqlType): SqlType | undefined {
  if (!type.binary) return undefined;
  for (const part of parts(type)) {
    const found = part.binary ? unsendablePart(part) : part;
    if (found) return found;
  }
  return undefined;
}

function parts(type: SqlType): readonly SqlType[] {
  switch (type.kind) {
    case 'array':
      return [type.element];
    case 'composite':
      return type.fields.map(field => field.type);
    case 'domain':
      return [type.base];
    case 'range':
      return [type.subtype];
    case 'multirange':
      return [type.range];
    case 'base':
    case 'enum':
      return [];
  }
}
