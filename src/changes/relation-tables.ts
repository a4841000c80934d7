import type pg from 'pg';
import {SqlError} from '../base/sql-error.ts';
import {partitionTree} from '../engine/partition-tree.ts';
import {hasTruncateTrigger} from './announcements.ts';

/** A table that has to be prepared so that a relation's changes are in the log: the relation itself, or a partition of it. */
export interface PreparedTable {
  readonly oid: number;
  /** Qualified and quoted. */
  readonly name: string;
  /** `pg_class.relreplident`: d, n, f or i. */
  readonly replicaIdentity: string;
  /** The index of identity `i`. */
  readonly identityIndex: number | undefined;
  readonly hasTruncateTrigger: boolean;
}

/** The relation first, then all its partitions on every level. Throws 42P01 when it does not exist. */
export async function tablesOf(client: pg.ClientBase, relation: number): Promise<PreparedTable[]> {
  const {rows} = await client.query<{
    oid: string;
    name: string;
    identity: string;
    index: string | null;
    trigger: boolean;
  }>(
    `SELECT c.oid::text, format('%I.%I', n.nspname, c.relname) AS name, c.relreplident AS identity,
       (SELECT indexrelid::text FROM pg_index i WHERE i.indrelid = c.oid AND i.indisreplident) AS index,
       ${hasTruncateTrigger('c.oid')} AS trigger
     FROM ${partitionTree('$1')} t
     JOIN pg_class c ON c.oid = t.relid JOIN pg_namespace n ON n.oid = c.relnamespace
     ORDER BY c.oid <> $1::oid, c.oid`,
    [relation],
  );
  if (rows.length === 0) throw new SqlError('42P01', `relation with OID ${relation} does not exist`);
  return rows.map(({oid, name, identity, index, trigger}) => ({
    oid: Number(oid),
    name,
    replicaIdentity: identity,
    identityIndex: index === null ? undefined : Number(index),
    hasTruncateTrigger: trigger,
  }));
}

export type TableLock = 'SHARE ROW EXCLUSIVE' | 'ACCESS EXCLUSIVE';

/**
 * Locks the relation and all its partitions and returns them as they are then. Throws 55P03 after the session's lock_timeout, and 40001 when the
 * relation was renamed meanwhile (SQL can lock by name only).
 */
export async function lockRelation(client: pg.ClientBase, relation: number, mode: TableLock): Promise<PreparedTable[]> {
  const [{name}] = await tablesOf(client, relation);
  await client.query(`LOCK TABLE ${name} IN ${mode} MODE`);
  const tables = await tablesOf(client, relation);
  if (tables[0].name !== name) throw new SqlError('40001', `relation ${name} was renamed while it was being locked`);
  return tables;
}
