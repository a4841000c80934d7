import type {SqlType} from './sql-type.ts';

/** A column as a sink sees it. */
export interface Column {
  readonly name: string;
  readonly type: SqlType;
  /** `pg_attribute.atttypmod`: -1 = none. */
  readonly typmod: number;
}

/**
 * Where the fields of a row lie in bytes.
 * `pgoutput`: TupleData of the logical replication protocol (int16 count, then per field a kind byte `n`, `u`, `t` or `b`
 * and, for the last two, int32 length and data). `copy`: a tuple of COPY BINARY (int16 count, then int32 length or -1, and data).
 */
export type Framing = 'pgoutput' | 'copy';

/** The row shape of a relation at one moment of its history. Two moments with the same shape share one object. */
export interface RowShape {
  /** OID of the relation that the sink reads (a partitioned root, not its leaf). */
  readonly relation: number;
  readonly schema: string;
  readonly name: string;
  readonly columns: readonly Column[];
  readonly framing: Framing;
}
