import pg from 'pg';
import {formatLsn, parseLsn, type Lsn} from '../base/lsn.ts';
import {readCopy, type CopyRows} from './copy-reader.ts';
import {columnsOf, copyCommand, seeRelation, type SnapshotMoment, type SnapshotRequest} from './snapshot.ts';
import type {SystemIdentity} from './system-identity.ts';
import {formatSnapshot, parseSnapshot} from './visibility.ts';

/**
 * A snapshot that was copied into a table of ours, because PostgreSQL forgets a snapshot with the connection that took it:
 * the same rows in the same order, however often they are read. The table is never written again, so a heap block always holds
 * the same rows.
 */
export interface SnapshotSpool extends SnapshotMoment, SystemIdentity {
  /** OID of the table; a spool that is made again has another. */
  readonly id: number;
  /** Quoted name. */
  readonly table: string;
  /** The stream that belongs to it begins here. */
  readonly holdLsn: Lsn;
  /** Number of heap blocks. */
  readonly blocks: number;
}

export interface SpoolRequest extends SnapshotRequest {
  readonly sink: string;
  readonly hold: Lsn;
  readonly identity: SystemIdentity;
}

/** Copies the relation as of one moment, all or nothing; replaces a spool that the sink may have. Errors as `takeSnapshot`; 53100: the server's disk is full. */
export async function makeSpool(client: pg.ClientBase, request: SpoolRequest): Promise<SnapshotSpool> {
  const {sink, hold, identity} = request;
  await dropSpool(client, sink);
  const table = spoolTable(sink);
  try {
    const {table: source, moment} = await seeRelation(client, 'READ WRITE', request);
    const list = moment.columns.map(({name}) => pg.escapeIdentifier(name)).join(', ');
    // Nothing in it is ever dead, so there is nothing to vacuum.
    await client.query(
      `CREATE TABLE ${table} WITH (autovacuum_enabled = off, toast.autovacuum_enabled = off) AS SELECT ${list} FROM ${source}`,
    );
    await client.query(
      `INSERT INTO mz_sluice.spool (sink, relation, visible, until_lsn, hold_lsn, time, blocks, system, timeline)
       SELECT $1, oid, $2, $3, $4, $5, pg_relation_size(oid) / current_setting('block_size')::int, $6, $7
       FROM pg_class WHERE oid = $8::regclass`,
      [
        sink,
        formatSnapshot(moment.filter.visible),
        formatLsn(moment.filter.until),
        formatLsn(hold),
        moment.time.toString(),
        identity.system.toString(),
        identity.timeline,
        table,
      ],
    );
    await client.query('COMMIT');
  } catch (error) {
    await client.query('ROLLBACK');
    throw error;
  }
  return (await findSpool(client, sink))!;
}

interface SpoolRow {
  readonly id: string;
  readonly visible: string;
  readonly until: string;
  readonly hold: string;
  readonly time: string;
  readonly blocks: string;
  readonly system: string;
  readonly timeline: number;
  readonly attnums: number[];
}

/** The sink's finished spool, if there is one. */
export async function findSpool(client: pg.ClientBase, sink: string): Promise<SnapshotSpool | undefined> {
  const {rows} = await client.query<SpoolRow>(
    `SELECT relation::text AS id, visible::text, until_lsn::text AS until, hold_lsn::text AS hold, time::text, blocks::text,
       system::text, timeline, ARRAY(SELECT attnum FROM pg_attribute WHERE attrelid = relation AND attnum > 0 ORDER BY attnum) AS attnums
     FROM mz_sluice.spool WHERE sink = $1 AND EXISTS (SELECT FROM pg_class WHERE oid = relation)`,
    [sink],
  );
  if (rows.length === 0) return undefined;
  const [{id, visible, until, hold, time, blocks, system, timeline, attnums}] = rows;
  return {
    id: Number(id),
    table: spoolTable(sink),
    filter: {visible: parseSnapshot(visible), until: parseLsn(until)},
    time: BigInt(time),
    columns: await columnsOf(client, Number(id), attnums),
    holdLsn: parseLsn(hold),
    blocks: Number(blocks),
    system: BigInt(system),
    timeline,
  };
}

/** Rows of the heap blocks `from … to`, `to` excluded, in the order of the table. The client is idle before and after. */
export async function* readSpool(
  client: pg.Client,
  spool: SnapshotSpool,
  from: number,
  to: number,
): AsyncGenerator<CopyRows> {
  // Both would be free to begin elsewhere than at the first block.
  await client.query('SET synchronize_seqscans = off; SET max_parallel_workers_per_gather = 0');
  yield* readCopy(client, copyCommand(spool.table, spool.columns, `ctid >= '(${from},0)' AND ctid < '(${to},0)'`));
}

/** Removes the sink's spool, if there is one. */
export async function dropSpool(client: pg.ClientBase, sink: string): Promise<void> {
  // One string: one transaction.
  await client.query(
    `DROP TABLE IF EXISTS ${spoolTable(sink)}; DELETE FROM mz_sluice.spool WHERE sink = ${pg.escapeLiteral(sink)}`,
  );
}

function spoolTable(sink: string): string {
  return `mz_sluice.${pg.escapeIdentifier(`spool_${sink}`)}`;
}
