import pg from 'pg';
import {parseLsn} from '../base/lsn.ts';
import {SqlError} from '../base/sql-error.ts';
import {partitionTree} from '../engine/partition-tree.ts';
import {readCopy, type CopyRows} from './copy-reader.ts';
import {tablesOf} from './relation-tables.ts';
import type {SnapshotFilter} from './snapshot-filter.ts';
import {parseSnapshot} from './visibility.ts';

/** A column as the snapshot has it. */
export interface SnapshotColumn {
  readonly attnum: number;
  readonly name: string;
  readonly typeOid: number;
  readonly typmod: number;
  /** False: the type has no send function, so the value is text, as in the change stream. */
  readonly binary: boolean;
}

/** What one moment shows of a relation, and which transactions of the stream it has already shown. */
export interface SnapshotMoment {
  readonly filter: SnapshotFilter;
  /** Milliseconds since the Unix epoch, by the server's clock. */
  readonly time: bigint;
  /** In the order that was asked for: that of the fields of each row. */
  readonly columns: readonly SnapshotColumn[];
}

export interface Snapshot extends SnapshotMoment {
  /** All rows, once. */
  rows(): AsyncIterable<CopyRows>;
  /** Ends the transaction and the connection. */
  close(): Promise<void>;
}

export interface SnapshotRequest {
  /** `pg_class.oid` of a table or a partitioned root, which `publishRelation` has prepared. */
  readonly relation: number;
  /** `pg_attribute.attnum` of the columns wanted. */
  readonly attnums: readonly number[];
}

/**
 * Takes a snapshot of a relation: rule 4 of the hand-over. Together with the stream from a hold that was registered before
 * `publishRelation`, less what `filter` says, it shows every change once. The client is used up by it.
 * Errors: 42P01 the relation is gone, 42703 a column is gone, 55000 the server is a standby.
 */
export async function takeSnapshot(client: pg.Client, request: SnapshotRequest): Promise<Snapshot> {
  const {table, moment} = await seeRelation(client, 'READ ONLY', request);
  return {
    ...moment,
    rows: () => readCopy(client, copyCommand(table, moment.columns)),
    close: () => client.end(),
  };
}

/** Opens a transaction that sees one moment of the relation, and says which. `table` is the relation's quoted name. */
export async function seeRelation(
  client: pg.ClientBase,
  access: 'READ ONLY' | 'READ WRITE',
  {relation, attnums}: SnapshotRequest,
): Promise<{table: string; moment: SnapshotMoment}> {
  // Outside: the transaction's snapshot is that of its first query.
  const [{name: table}] = await tablesOf(client, relation);
  await client.query(`BEGIN ISOLATION LEVEL REPEATABLE READ ${access}`);
  await client.query('SET LOCAL row_security = off');
  // Before the snapshot, because TRUNCATE and rewrites do not care for older ones. Neither statement takes it.
  await client.query(`LOCK TABLE ${table} IN ACCESS SHARE MODE`);
  // In this order: no transaction that commits behind `until` can be in the snapshot.
  const {rows} = await client.query<{visible: string; until: string; time: string; oid: string | null}>(
    `SELECT pg_current_snapshot()::text AS visible, pg_current_wal_insert_lsn()::text AS until,
       floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint::text AS time, to_regclass($1)::oid::text AS oid`,
    [table],
  );
  const {visible, until, time, oid} = rows[0];
  if (oid !== String(relation)) throw new SqlError('40001', `relation ${table} was renamed while it was being locked`);
  const columns = await columnsOf(client, relation, attnums);
  return {
    table,
    moment: {filter: {visible: parseSnapshot(visible), until: parseLsn(until)}, time: BigInt(time), columns},
  };
}

export async function columnsOf(
  client: pg.ClientBase,
  relation: number,
  attnums: readonly number[],
): Promise<SnapshotColumn[]> {
  const {rows} = await client.query<SnapshotColumn>(
    `SELECT a.attnum, a.attname AS name, a.atttypid::int8::float8 AS "typeOid", a.atttypmod AS typmod, t.typsend <> 0 AS binary
     FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
     WHERE a.attrelid = $1::oid AND a.attnum > 0 AND NOT a.attisdropped`,
    [relation],
  );
  const byNumber = new Map(rows.map(row => [row.attnum, row]));
  return attnums.map(attnum => {
    const column = byNumber.get(attnum);
    if (column === undefined) throw new SqlError('42703', `column ${attnum} of relation ${relation} does not exist`);
    return column;
  });
}

/** As `COPY` writes it; `where` restricts the rows. */
export function copyCommand(table: string, columns: readonly SnapshotColumn[], where?: string): string {
  const list = columns.map(({name, binary}) => `${pg.escapeIdentifier(name)}${binary ? '' : '::text'}`).join(', ');
  return `COPY (SELECT ${list} FROM ${table}${where === undefined ? '' : ` WHERE ${where}`}) TO STDOUT (FORMAT binary)`;
}

/**
 * Of a relation with all its partitions: bytes on disk, without indexes, and rows as the last ANALYZE or VACUUM has counted them, undefined
 * where there was none. Takes no lock.
 */
export async function relationSize(
  client: pg.ClientBase,
  relation: number,
): Promise<{bytes: number; rows: number | undefined}> {
  const {rows} = await client.query<{bytes: string; rows: number | null}>(
    // A root has no storage, and asking for its size would lock it.
    `SELECT coalesce(sum(pg_table_size(c.oid)), 0)::text AS bytes,
       CASE WHEN bool_and(c.reltuples >= 0) THEN sum(c.reltuples)::float8 END AS rows
     FROM ${partitionTree('$1')} t JOIN pg_class c ON c.oid = t.relid WHERE c.relkind = 'r'`,
    [relation],
  );
  const [{bytes, rows: counted}] = rows;
  return {bytes: Number(bytes), rows: counted ?? undefined};
}
