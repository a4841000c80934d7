/** What Sluice knows of a PostgreSQL type. Built from `pg_type` by `engine/describe-types.ts`, or by hand in tests. */
export type SqlType = BaseType | ArrayType | CompositeType | EnumType | DomainType | RangeType | MultirangeType;

interface TypeIdentity {
  readonly oid: number;
  /** `pg_type.typname`, unqualified: `int4`, `_text`, `mood`. */
  readonly name: string;
  readonly schema: string;
  /** False: the type has no send function, so PostgreSQL gives its text form even where binary was asked for. */
  readonly binary: boolean;
}
export interface BaseType extends TypeIdentity {
  readonly kind: 'base';
}
export interface ArrayType extends TypeIdentity {
  readonly kind: 'array';
  readonly element: SqlType;
  /** `pg_type.typdelim` of the element: a comma, except for `box`. */
  readonly delimiter: string;
}
export interface CompositeType extends TypeIdentity {
  readonly kind: 'composite';
  readonly fields: readonly {readonly name: string; readonly type: SqlType; readonly typmod: number}[];
}
export interface EnumType extends TypeIdentity {
  readonly kind: 'enum';
  readonly labels: readonly string[];
}
export interface DomainType extends TypeIdentity {
  readonly kind: 'domain';
  readonly base: SqlType;
  readonly typmod: number;
}
export interface RangeType extends TypeIdentity {
  readonly kind: 'range';
  readonly subtype: SqlType;
}
export interface MultirangeType extends TypeIdentity {
  readonly kind: 'multirange';
  readonly range: RangeType;
}
