import type {SqlType} from '../types/sql-type.ts';
import {describeTypes} from './describe-types.ts';
import {partitionTree} from './partition-tree.ts';
import {queryJson} from './queryable.ts';
import type {Queryable} from './queryable.ts';

/** A column that exists: dropped ones are left out. A superset of the catalog's `SinkColumn`. */
export interface TableColumn {
  readonly attnum: number;
  readonly name: string;
  readonly type: SqlType;
  /** `pg_attribute.atttypmod`: -1 = none. */
  readonly typmod: number;
  /** No row can hold NULL: a NOT NULL constraint that has been validated. */
  readonly notNull: boolean;
  readonly generated: 'no' | 'stored' | 'virtual';
  /** `pg_attribute.attstorage` is not `p`: a long value can live outside of the row, and the log may then leave it out. */
  readonly toastable: boolean;
}

/** Columns of which no two rows have equal values. */
export interface UniqueKey {
  /** Name of the index. */
  readonly name: string;
  readonly primary: boolean;
  /** `attnum` of each column, in index order. */
  readonly columns: readonly number[];
}

/** `pg_class.relreplident`: default (primary key), nothing, full, an index. */
export type ReplicaIdentity = 'd' | 'n' | 'f' | 'i';

export interface PartitionLeaf {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  /** `pg_class.relkind`: `r`, or `f` for a foreign table. */
  readonly kind: string;
  /** `pg_class.relpersistence`. */
  readonly persistence: string;
  readonly replicaIdentity: ReplicaIdentity;
}

export interface RelationDescription {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  readonly owner: string;
  /** `pg_class.relkind`: r table, p partitioned table, v view, m materialized view, f foreign table, … */
  readonly kind: string;
  /** `pg_class.relpersistence`: p permanent, u unlogged, t temporary. */
  readonly persistence: string;
  readonly replicaIdentity: ReplicaIdentity;
  /** `attnum` of the columns that identify an old row in the log under `d` and `i`; empty under `n`, and under `f`, where all do. */
  readonly identityColumns: readonly number[];
  /** `pg_class.relrowsecurity` and `relforcerowsecurity`. */
  readonly rowSecurity: boolean;
  readonly forceRowSecurity: boolean;
  /** The topmost partitioned table, when this relation is one of its partitions. */
  readonly partitionRoot: number | undefined;
  /** All leaves below a partitioned table, by OID; empty for any other relation. */
  readonly leaves: readonly PartitionLeaf[];
  /** Tables that inherit from this one or that it inherits from (INHERITS, not partitions). */
  readonly inheritanceChildren: readonly number[];
  readonly inheritanceParents: readonly number[];
  readonly columns: readonly TableColumn[];
  /**
   * Primary key first. Valid, immediate unique indexes without predicate and expressions, all of whose columns are NOT NULL
   * or which are declared NULLS NOT DISTINCT.
   */
  readonly uniqueKeys: readonly UniqueKey[];
}

/**
 * `attnotnull` is also set while a NOT NULL constraint is NOT VALID (PostgreSQL 18); before 18 there are no constraints
 * of type `n`. A key WITHOUT OVERLAPS (18) is an exclusion constraint in the clothes of a unique index.
 */
const RELATION = `
WITH attributes AS (
  SELECT a.attnum, a.attname, a.atttypid, a.atttypmod, a.attgenerated, a.attstorage,
    a.attnotnull AND NOT EXISTS (
      SELECT FROM pg_catalog.pg_constraint k
      WHERE k.conrelid = a.attrelid AND k.contype = 'n' AND k.conkey[1] = a.attnum AND NOT k.convalidated) AS notnull
  FROM pg_catalog.pg_attribute a
  WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped
), indexes AS (
  SELECT i.*, i.indkey::int2[] AS key, x.relname
  FROM pg_catalog.pg_index i
  JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid
  WHERE i.indrelid = $1::oid AND i.indisvalid
)
SELECT pg_catalog.json_build_object(
  'oid', c.oid::int8,
  'schema', n.nspname,
  'name', c.relname,
  'owner', pg_catalog.pg_get_userbyid(c.relowner),
  'kind', c.relkind,
  'persistence', c.relpersistence,
  'replicaIdentity', c.relreplident,
  'identityColumns', coalesce((
    SELECT pg_catalog.json_agg(part.attnum ORDER BY part.at)
    FROM indexes i, LATERAL unnest(i.key) WITH ORDINALITY AS part(attnum, at)
    WHERE part.at <= i.indnkeyatts
      AND ((c.relreplident = 'd' AND i.indisprimary) OR (c.relreplident = 'i' AND i.indisreplident))), '[]'),
  'rowSecurity', c.relrowsecurity,
  'forceRowSecurity', c.relforcerowsecurity,
  'partitionRoot', CASE WHEN c.relispartition THEN pg_catalog.pg_partition_root(c.oid)::oid::int8 END,
  'leaves', coalesce((
    SELECT pg_catalog.json_agg(pg_catalog.json_build_object('oid', l.oid::int8, 'schema', ln.nspname, 'name', l.relname,
      'kind', l.relkind, 'persistence', l.relpersistence, 'replicaIdentity', l.relreplident) ORDER BY l.oid)
    FROM ${partitionTree('c.oid')} member
    JOIN pg_catalog.pg_class l ON l.oid = member.relid
    JOIN pg_catalog.pg_namespace ln ON ln.oid = l.relnamespace
    WHERE c.relkind = 'p' AND l.relkind <> 'p'), '[]'),
  'inheritanceChildren', coalesce((
    SELECT pg_catalog.json_agg(h.inhrelid::int8 ORDER BY h.inhrelid) FROM pg_catalog.pg_inherits h
    WHERE h.inhparent = c.oid AND c.relkind NOT IN ('p', 'I')), '[]'),
  'inheritanceParents', coalesce((
    SELECT pg_catalog.json_agg(h.inhparent::int8 ORDER BY h.inhseqno) FROM pg_catalog.pg_inherits h
    WHERE h.inhrelid = c.oid AND NOT c.relispartition), '[]'),
  'columns', coalesce((
    SELECT pg_catalog.json_agg(pg_catalog.json_build_object('attnum', a.attnum, 'name', a.attname, 'type', a.atttypid::int8,
      'typmod', a.atttypmod, 'notNull', a.notnull, 'generated', a.attgenerated, 'toastable', a.attstorage <> 'p') ORDER BY a.attnum)
    FROM attributes a), '[]'),
  'uniqueKeys', coalesce((
    SELECT pg_catalog.json_agg(pg_catalog.json_build_object('name', i.relname, 'primary', i.indisprimary,
      'columns', i.key[0:i.indnkeyatts - 1]) ORDER BY i.indisprimary DESC, i.indexrelid)
    FROM indexes i
    WHERE i.indisunique AND i.indimmediate AND NOT i.indisexclusion AND i.indpred IS NULL AND i.indexprs IS NULL
      AND (i.indnullsnotdistinct OR NOT EXISTS (
        SELECT FROM unnest(i.key[0:i.indnkeyatts - 1]) AS part(attnum)
        WHERE NOT EXISTS (SELECT FROM attributes a WHERE a.attnum = part.attnum AND a.notnull)))), '[]')
)::text
FROM pg_catalog.pg_class c
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid = $1::oid`;

interface ColumnRow {
  readonly attnum: number;
  readonly name: string;
  readonly type: number;
  readonly typmod: number;
  readonly notNull: boolean;
  /** `pg_attribute.attgenerated`. */
  readonly generated: string;
  readonly toastable: boolean;
}

interface RelationRow extends Omit<RelationDescription, 'columns' | 'partitionRoot'> {
  readonly columns: readonly ColumnRow[];
  readonly partitionRoot: number | null;
}

/**
 * The relation with this OID (`pg_class.oid`), undefined if there is none. Two queries: whoever needs them to agree holds a lock on
 * the relation or asks in a snapshot.
 */
export async function describeRelation(session: Queryable, oid: number): Promise<RelationDescription | undefined> {
  const row = (await queryJson(session, RELATION, [String(oid)])) as RelationRow | undefined;
  if (row === undefined) return undefined;
  const types = await describeTypes(session, [...new Set(row.columns.map(column => column.type))]);
  return {
    ...row,
    partitionRoot: row.partitionRoot ?? undefined,
    columns: row.columns.map(column => ({
      ...column,
      type: knownType(types, column),
      generated: column.generated === 's' ? 'stored' : column.generated === 'v' ? 'virtual' : 'no',
    })),
  };
}

function knownType(types: ReadonlyMap<number, SqlType>, column: ColumnRow): SqlType {
  const type = types.get(column.type);
  if (!type) throw new Error(`the type of column "${column.name}" was dropped while the relation was described`);
  return type;
}
