/**
 * What the supervisor and the workers of clusters read from and write to the catalog, over a connection of Sluice's own role.
 * Every method is one short statement (or two), so a connection may be shared.
 */
import type pg from 'pg';
import {formatLsn} from '../base/lsn.ts';
import type {Lsn} from '../base/lsn.ts';
import {SqlError} from '../base/sql-error.ts';
import {describeTypes} from '../engine/describe-types.ts';
import type {SqlType} from '../types/sql-type.ts';
import type {
  ClusterDefinition,
  KafkaSinkDefinition,
  ObjectId,
  SinkColumn,
  SinkDefinition,
  SinkInput,
  SinkStatisticsDelta,
  SinkStatus,
  SinkStatusChange,
} from './definitions.ts';
import {Fields, readKafkaConnection, readKafkaSink} from './read-definition.ts';

/** Rows of history that a sink keeps at most, and for how long. */
const HISTORY_ROWS = 1000;
const HISTORY_DAYS = 30;

/** A sink that is gone, with what may have to be undone for it in PostgreSQL. */
export interface DroppedSink {
  readonly id: ObjectId;
  /** May be gone too. */
  readonly relation: number;
  readonly environmentId: string;
  /** Undefined where it cannot be read, or the connection had gone before. */
  readonly target: KafkaSinkDefinition | undefined;
}

/** A relation that a sink has gone over from, or was to go over to. */
export interface ReleasedRelation {
  readonly id: string;
  readonly sink: ObjectId;
  readonly relation: number;
}

interface InputRow {
  readonly relation: number;
  readonly relationName: string;
  readonly columns: readonly {
    readonly attnum: number;
    readonly name: string;
    readonly typeOid: number;
    readonly typmod: number;
    readonly notNull: boolean;
  }[];
  /** Attribute numbers. */
  readonly key: readonly number[] | null;
  readonly version: number;
}

interface SinkRow extends InputRow {
  readonly id: ObjectId;
  readonly name: string;
  readonly cluster: ObjectId;
  readonly next: InputRow | null;
  readonly definition: unknown;
  readonly connection: {readonly id: string; readonly name: string; readonly definition: unknown};
  readonly committedOnce: boolean;
  readonly environmentId: string;
}

const SINKS = `
SELECT json_build_object('id', i.id, 'name', mz_sluice.full_name(i.schema, i.name), 'cluster', s.cluster,
  'relation', s.relation::bigint, 'relationName', mz_sluice.full_name(r.relnamespace, r.relname), 'columns', s.columns, 'key', s.key,
  'version', s.version, 'definition', i.definition, 'committedOnce', st.committed_once, 'environmentId', e.environment_id,
  'connection', json_build_object('id', c.id, 'name', mz_sluice.full_name(c.schema, c.name), 'definition', c.definition),
  'next', (SELECT json_build_object('relation', n.relation::bigint, 'relationName', mz_sluice.full_name(r.relnamespace, r.relname),
      'columns', n.columns, 'key', n.key, 'version', n.version)
    FROM mz_sluice.sink_change n JOIN pg_class r ON r.oid = n.relation WHERE n.sink = s.id ORDER BY n.version LIMIT 1)) AS sink
FROM mz_sluice.sink s
JOIN mz_sluice.item i ON i.id = s.id
JOIN pg_class a ON a.oid = i.anchor
JOIN pg_class r ON r.oid = s.relation
JOIN mz_sluice.item c ON c.id = s.connection
JOIN mz_sluice.sink_state st ON st.sink = s.id
CROSS JOIN mz_sluice.installation e
WHERE s.cluster = $1
ORDER BY i.created_at, i.id`;

interface DroppedRow {
  readonly id: string;
  readonly relation: string;
  readonly definition: unknown;
  readonly connection: SinkRow['connection'] | null;
  readonly environmentId: string;
}

export class WorkerCatalog {
  readonly #client: pg.Client | pg.Pool;

  constructor(client: pg.Client | pg.Pool) {
    this.#client = client;
  }

  /** pg_upgrade gives schemas other OIDs: to be called when a server is met that may be another one than before. */
  async followUpgrade(): Promise<void> {
    await this.#client.query('SELECT mz_sluice.follow_upgrade()');
  }

  async clusters(): Promise<ClusterDefinition[]> {
    const {rows} = await this.#client.query<{id: string; name: string; replication_factor: number}>(
      `SELECT c.id, c.name, c.replication_factor FROM mz_sluice.cluster c JOIN pg_class a ON a.oid = c.anchor ORDER BY c.id`,
    );
    return rows.map(row => ({id: row.id, name: row.name, replicationFactor: row.replication_factor}));
  }

  /** The cluster's sinks. One whose definition cannot be read is left out and gets the status `stalled`. */
  async sinks(cluster: ObjectId): Promise<SinkDefinition[]> {
    await this.#client.query('SELECT mz_sluice.sweep(), mz_sluice.note_schema_names()');
    const {rows} = await this.#client.query<{sink: SinkRow}>(SINKS, [cluster]);
    const inputs = rows.flatMap(({sink}) => (sink.next === null ? [sink] : [sink, sink.next]));
    const oids = new Set(inputs.flatMap(({columns}) => columns.map(column => column.typeOid)));
    const types = await describeTypes(this.#client, [...oids]);
    const sinks: SinkDefinition[] = [];
    for (const {sink} of rows) {
      try {
        sinks.push(readSink(sink, types));
      } catch (error) {
        await this.recordStatus({
          sink: sink.id,
          status: 'stalled',
          error: error instanceof Error ? error.message : String(error),
          details: {hints: ['Drop the sink and create it again with CREATE SINK.'], retrying: false},
        });
      }
    }
    return sinks;
  }

  /** Adds to the history unless it says the same already. A sink that is gone meanwhile is passed over. */
  async recordStatus(change: SinkStatusChange): Promise<void> {
    if (change.status === 'created') return;
    const {rowCount} = await this.#client.query(
      `INSERT INTO mz_sluice.sink_status_history (sink, status, error, details, replica)
       SELECT s.id, $2, $3, $4::jsonb, s.cluster FROM mz_sluice.sink s
       LEFT JOIN LATERAL (SELECT h.status, h.error, h.details FROM mz_sluice.sink_status_history h
                          WHERE h.sink = s.id ORDER BY h.id DESC LIMIT 1) AS last ON true
       WHERE s.id = $1 AND (last.status, last.error, last.details) IS DISTINCT FROM ($2, $3, $4::jsonb)`,
      [change.sink, change.status, change.error ?? null, change.details ? JSON.stringify(change.details) : null],
    );
    if (rowCount === 1) await this.#pruneHistory(change.sink);
  }

  /** What the history said last; undefined = nothing yet. */
  async lastStatus(sink: ObjectId): Promise<SinkStatus | undefined> {
    const {rows} = await this.#client.query<{status: SinkStatus}>(
      'SELECT status FROM mz_sluice.sink_status_history WHERE sink = $1 ORDER BY id DESC LIMIT 1',
      [sink],
    );
    return rows[0]?.status;
  }

  /** The same for every sink that the cluster has by now. */
  async recordStatusOfAll(cluster: ObjectId, change: Omit<SinkStatusChange, 'sink'>): Promise<void> {
    const {rows} = await this.#client.query<{id: string}>('SELECT id FROM mz_sluice.sink WHERE cluster = $1', [
      cluster,
    ]);
    for (const {id} of rows) await this.recordStatus({sink: id, ...change});
  }

  async #pruneHistory(sink: ObjectId): Promise<void> {
    await this.#client.query(
      `DELETE FROM mz_sluice.sink_status_history h WHERE
         h.sink = $1 AND h.id <= (SELECT o.id FROM mz_sluice.sink_status_history o WHERE o.sink = $1 ORDER BY o.id DESC OFFSET $2 LIMIT 1)
         OR h.occurred_at < now() - $3 * interval '1 day' AND (
           EXISTS (SELECT FROM mz_sluice.sink_status_history n WHERE n.sink = h.sink AND n.id > h.id)
           OR NOT EXISTS (SELECT FROM mz_sluice.sink s WHERE s.id = h.sink))`,
      [sink, HISTORY_ROWS, HISTORY_DAYS],
    );
  }

  async addStatistics(deltas: readonly SinkStatisticsDelta[]): Promise<void> {
    await this.#client.query(
      `UPDATE mz_sluice.sink_statistics t SET messages_staged = t.messages_staged + d."messagesStaged",
         messages_committed = t.messages_committed + d."messagesCommitted",
         bytes_staged = t.bytes_staged + d."bytesStaged", bytes_committed = t.bytes_committed + d."bytesCommitted"
       FROM (
         SELECT sink, sum("messagesStaged") AS "messagesStaged", sum("messagesCommitted") AS "messagesCommitted",
           sum("bytesStaged") AS "bytesStaged", sum("bytesCommitted") AS "bytesCommitted"
         FROM jsonb_to_recordset($1::jsonb) AS d (sink text, "messagesStaged" numeric, "messagesCommitted" numeric,
           "bytesStaged" numeric, "bytesCommitted" numeric)
         GROUP BY sink
       ) AS d WHERE t.sink = d.sink`,
      [JSON.stringify(deltas)],
    );
  }

  /** Before the target's first commit. Throws `SqlError` 42704 when the sink is gone. */
  async markCommittedOnce(sink: ObjectId): Promise<void> {
    const {rowCount} = await this.#client.query(
      'UPDATE mz_sluice.sink_state SET committed_once = true WHERE sink = $1 AND EXISTS (SELECT FROM mz_sluice.item WHERE id = $1)',
      [sink],
    );
    if (rowCount !== 1) throw new SqlError('42704', `sink with id "${sink}" does not exist`);
  }

  /** Before a worker may be the first to write to the target. No more than the latest hundred are kept. */
  async noteWriter(sink: ObjectId, writer: string): Promise<void> {
    await this.#client.query(
      `UPDATE mz_sluice.sink_state SET writers = array_remove(writers[greatest(cardinality(writers) - 98, 1):], $2) || $2
       WHERE sink = $1 AND NOT committed_once`,
      [sink, writer],
    );
  }

  /**
   * False: the target's progress is by none of the writers that may have written it. Otherwise `next` is the only other one who may from
   * now on. `writer` undefined: the progress does not say.
   */
  async acceptWriter(sink: ObjectId, writer: string | undefined, next: string): Promise<boolean> {
    const {rowCount} = await this.#client.query(
      `UPDATE mz_sluice.sink_state SET writers = array_remove(ARRAY[$2::text, $3], NULL)
       WHERE sink = $1 AND ($2::text IS NULL OR $2 = ANY (writers))`,
      [sink, writer ?? null, next],
    );
    return rowCount === 1;
  }

  /** Nothing that the target has is of this database's history. */
  async disownWriters(sink: ObjectId): Promise<void> {
    await this.#client.query(`UPDATE mz_sluice.sink_state SET writers = '{}' WHERE sink = $1`, [sink]);
  }

  /** For the views only. `frontier`: the next logical time that the target has not committed. */
  async recordFrontier(sink: ObjectId, endLsn: Lsn, frontier: bigint): Promise<void> {
    await this.#client.query(
      'UPDATE mz_sluice.sink_state SET end_lsn = $2::pg_lsn, time = $3, updated_at = clock_timestamp() WHERE sink = $1',
      [sink, formatLsn(endLsn), String(frontier)],
    );
  }

  /** Sinks of this cluster that are gone and not yet undone. */
  async droppedSinks(cluster: ObjectId): Promise<DroppedSink[]> {
    const {rows} = await this.#client.query<DroppedRow>(
      `SELECT d.id, d.relation::bigint, d.definition, d.connection, e.environment_id AS "environmentId"
       FROM mz_sluice.dropped_sink d CROSS JOIN mz_sluice.installation e WHERE d.cluster = $1 ORDER BY d.dropped_at`,
      [cluster],
    );
    return rows.map(row => ({
      id: row.id,
      relation: Number(row.relation),
      environmentId: row.environmentId,
      target: readDroppedTarget(row),
    }));
  }

  /**
   * Before the target may have the version: from then on no ALTER SINK takes it back. False: one has, or is about to.
   * Does not wait for its transaction.
   */
  async beginCutOver(sink: ObjectId, version: number): Promise<boolean> {
    const {rowCount} = await this.#client.query(
      `UPDATE mz_sluice.sink_change SET begun = true WHERE (sink, version) IN (
         SELECT sink, version FROM mz_sluice.sink_change WHERE sink = $1 AND version = $2 FOR NO KEY UPDATE SKIP LOCKED)`,
      [sink, version],
    );
    return rowCount === 1;
  }

  /** The target has the version: the sink reads its relation from now on, and leaves the one before. May be repeated. */
  async finishCutOver(sink: ObjectId, version: number): Promise<void> {
    await this.#client.query(
      `WITH change AS (DELETE FROM mz_sluice.sink_change WHERE sink = $1 AND version = $2 RETURNING *),
            memory AS (DELETE FROM mz_sluice.sink_relation r USING change c WHERE r.sink = c.sink AND r.version < c.version),
            released AS (INSERT INTO mz_sluice.released_relation (sink, cluster, relation)
                         SELECT s.id, s.cluster, s.relation FROM mz_sluice.sink s JOIN change c ON c.sink = s.id)
       UPDATE mz_sluice.sink s SET relation = c.relation, columns = c.columns, key = c.key, version = c.version
       FROM change c WHERE s.id = c.sink`,
      [sink, version],
    );
  }

  /** Of this cluster, and not yet undone. */
  async releasedRelations(cluster: ObjectId): Promise<ReleasedRelation[]> {
    const {rows} = await this.#client.query<{id: string; sink: string; relation: string}>(
      'SELECT id, sink, relation::bigint FROM mz_sluice.released_relation WHERE cluster = $1 ORDER BY id',
      [cluster],
    );
    return rows.map(row => ({...row, relation: Number(row.relation)}));
  }

  /** Once it is undone. The sink no longer keeps the relation from being dropped. */
  async forgetReleasedRelation({id, sink}: ReleasedRelation): Promise<void> {
    await this.#client.query(
      `WITH released AS (DELETE FROM mz_sluice.released_relation WHERE id = $1) SELECT mz_sluice.renew_sink_anchor($2)`,
      [id, sink],
    );
  }

  /** Once everything is undone. */
  async forgetDroppedSink(id: ObjectId): Promise<void> {
    await this.#client.query(
      `WITH state AS (DELETE FROM mz_sluice.sink_state WHERE sink = $1),
            relations AS (DELETE FROM mz_sluice.sink_relation WHERE sink = $1),
            statistics AS (DELETE FROM mz_sluice.sink_statistics WHERE sink = $1)
       DELETE FROM mz_sluice.dropped_sink WHERE id = $1`,
      [id],
    );
  }
}

function readSink(row: SinkRow, types: ReadonlyMap<number, SqlType>): SinkDefinition {
  const definition = new Fields(row.definition, `sink ${row.name}`);
  return {
    id: row.id,
    name: row.name,
    cluster: row.cluster,
    ...readInput(row, types),
    next: row.next === null ? undefined : readInput(row.next, types),
    keyEnforced: definition.boolean('keyEnforced'),
    envelope: definition.oneOf('envelope', ['upsert', 'debezium']),
    snapshot: definition.boolean('snapshot'),
    target: readKafkaSink(
      {name: row.name, target: definition.get('target')},
      readKafkaConnection(row.connection, row.environmentId),
    ),
    committedOnce: row.committedOnce,
  };
}

function readInput(row: InputRow, types: ReadonlyMap<number, SqlType>): SinkInput {
  const {relation, relationName, columns, key, version} = row;
  return {
    relation,
    relationName,
    columns: columns.map(column => readColumn(column, types)),
    key: key?.map(attnum => columns.findIndex(column => column.attnum === attnum)),
    version,
  };
}

function readDroppedTarget({id, definition, connection, environmentId}: DroppedRow): KafkaSinkDefinition | undefined {
  if (connection === null) return undefined;
  try {
    const {target} = definition as {readonly target: unknown};
    return readKafkaSink({name: id, target}, readKafkaConnection(connection, environmentId));
  } catch {
    return undefined;
  }
}

/** A type that has been dropped took the column with it; the sink finds that out when it looks at the relation. */
function readColumn(column: InputRow['columns'][number], types: ReadonlyMap<number, SqlType>): SinkColumn {
  const {attnum, name, typeOid: oid, typmod, notNull} = column;
  const type: SqlType = types.get(oid) ?? {kind: 'base', oid, name: '???', schema: 'pg_catalog', binary: false};
  return {attnum, name, type, typmod, notNull};
}
