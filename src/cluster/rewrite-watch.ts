import type pg from 'pg';
import type {ObjectId, SinkDefinition} from '../catalog/definitions.ts';
import type {Stall} from '../sinks/errors.ts';
import {maybeRewritten, partitionsUnwatched} from '../sinks/stalls.ts';

/** What a rewrite of values changes at once: the file of the table, and the entry of the column in pg_attribute. */
interface Storage {
  readonly file: string;
  /** `xmin` by attribute number. */
  readonly columns: Readonly<Record<string, string>>;
}

interface StorageNow {
  readonly sink: ObjectId;
  readonly name: string;
  readonly partitioned: boolean;
  readonly hearing: boolean;
  readonly seen: Storage | null;
  readonly now: Storage;
}

const NOW = `
SELECT s.sink, n.nspname || '.' || c.relname AS name, c.relkind = 'p' AS partitioned, mz_sluice.hears_ddl() AS hearing,
  st.seen_storage AS seen, jsonb_build_object('file', coalesce(pg_relation_filenode(c.oid), 0)::text, 'columns', (
    SELECT jsonb_object_agg(a.attnum, a.xmin::text) FROM pg_attribute a
    WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)) AS now
FROM unnest($1::text[], $2::oid[], $3::bigint[]) AS s (sink, relation, version)
JOIN mz_sluice.sink_relation st ON st.sink = s.sink AND st.version = s.version
JOIN pg_class c ON c.oid = s.relation JOIN pg_namespace n ON n.oid = c.relnamespace`;

/**
 * Where there are no event triggers: ALTER TABLE that gives rows other values without sending them changes the table's file and the
 * entries of its columns in one transaction, so one look sees both or neither. VACUUM FULL, CLUSTER and TRUNCATE change the file only,
 * and DDL that leaves rows alone the columns only. Both together, in different transactions between two looks, stall a sink that
 * is right. What has been seen is kept in the catalog, so a worker that was away finds out too.
 */
export async function watchRewrites(
  client: pg.ClientBase,
  sinks: readonly SinkDefinition[],
): Promise<ReadonlyMap<ObjectId, Stall>> {
  const {rows} = await client.query<StorageNow>(NOW, [
    sinks.map(({id}) => id),
    sinks.map(({relation}) => relation),
    sinks.map(({version}) => version),
  ]);
  const definitions = new Map(sinks.map(definition => [definition.id, definition]));
  const stalls = new Map<ObjectId, Stall>();
  const seen: {sink: ObjectId; version: number; storage: Storage}[] = [];
  for (const row of rows) {
    const definition = definitions.get(row.sink)!;
    const stall = row.hearing ? undefined : judge(definition, row);
    if (stall !== undefined) stalls.set(row.sink, stall);
    else if (JSON.stringify(row.seen) !== JSON.stringify(row.now)) {
      seen.push({sink: row.sink, version: definition.version, storage: row.now});
    }
  }
  if (seen.length > 0) {
    await client.query(
      `UPDATE mz_sluice.sink_relation t SET seen_storage = s.storage
       FROM jsonb_to_recordset($1::jsonb) AS s (sink text, version bigint, storage jsonb) WHERE t.sink = s.sink AND t.version = s.version`,
      [JSON.stringify(seen)],
    );
  }
  return stalls;
}

function judge({columns}: Pick<SinkDefinition, 'columns'>, row: StorageNow): Stall | undefined {
  const {name, partitioned, seen, now} = row;
  if (partitioned) return partitionsUnwatched(name);
  if (seen === null || seen.file === now.file) return undefined;
  const touched = columns.find(({attnum}) => seen.columns[attnum] !== now.columns[attnum]);
  return touched === undefined ? undefined : maybeRewritten(name, touched.name);
}
