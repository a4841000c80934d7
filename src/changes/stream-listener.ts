import type {Lsn} from '../base/lsn.ts';

export interface ColumnType {
  readonly typeOid: number;
  /** `pg_attribute.atttypmod`: -1 = none. */
  readonly typmod: number;
}

/** A column as the stream's Relation message describes it: no attribute number, no type name. */
export interface StreamColumn extends ColumnType {
  readonly name: string;
  /** Part of the replica identity (all columns under FULL). */
  readonly identity: boolean;
}

/** One Relation message. A new object for every message that differs from the relation's last one; the same object otherwise. */
export interface StreamRelation {
  readonly oid: number;
  readonly schema: string;
  readonly name: string;
  /** `pg_class.relreplident`: d, n, f or i. */
  readonly replicaIdentity: string;
  readonly columns: readonly StreamColumn[];
}

/** A column of which ALTER TABLE has written every value anew, with the type that it has since. */
export interface RewrittenColumn extends ColumnType {
  /** `pg_attribute.attnum` in the published relation. */
  readonly attnum: number;
}

/**
 * How DDL has changed the rows of a relation in a way that the log does not show: a partition with rows was attached, detached or
 * dropped; a table that belongs to it is not in the log at all (unlogged, foreign); or values were rewritten.
 */
export type UnseenChange =
  | {readonly how: 'attach' | 'detach' | 'drop' | 'unlogged'}
  | {readonly how: 'rewrite'; readonly columns: readonly RewrittenColumn[]};

export interface TransactionStart {
  /** Low 32 bits of the top-level transaction id. */
  readonly xid: number;
  readonly commitLsn: Lsn;
  /** Microseconds since 2000-01-01, as the log has it. */
  readonly commitTime: bigint;
}

export interface TransactionEnd {
  /** The position that progress is made of: where the next transaction may begin. */
  readonly endLsn: Lsn;
}

/**
 * Hears whole committed transactions in commit order, never an aborted one or a part of one. All calls are synchronous:
 * the bytes are the connection's own buffer and are overwritten afterwards. Throwing ends the stream with that error.
 * Tuples are framed as `pgoutput` (types/tuple.ts); offsets are -1 where there is no such tuple.
 */
export interface StreamListener {
  begin(transaction: TransactionStart): void;
  insert(relation: StreamRelation, buf: Buffer, newAt: number): void;
  /** `oldAt` is -1 when no column of the replica identity changed and the identity is not FULL. */
  update(relation: StreamRelation, buf: Buffer, oldAt: number, oldIsWhole: boolean, newAt: number): void;
  delete(relation: StreamRelation, buf: Buffer, oldAt: number, oldIsWhole: boolean): void;
  /** Rows were removed that the log does not name. A TRUNCATE that went by way of DELETE is not heard. */
  truncate(relations: readonly StreamRelation[]): void;
  /** DDL in this transaction; `relation` is the OID of the published relation. */
  changedUnseen?(relation: number, change: UnseenChange): void;
  commit(transaction: TransactionEnd): void;
  /** The server has nothing for us up to here (end LSN of a keepalive); only between transactions. */
  idle(walEnd: Lsn): void;
}
