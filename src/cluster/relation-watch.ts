import type pg from 'pg';
import type {ObjectId, SinkDefinition} from '../catalog/definitions.ts';
import {PUBLICATION_MARK, SENDS_EVERYTHING} from '../changes/publication.ts';
import type {ColumnType} from '../changes/stream-listener.ts';
import {partitionTree} from '../engine/partition-tree.ts';
import type {Stall} from '../sinks/errors.ts';
import {watchRewrites} from './rewrite-watch.ts';
import {hasSameValues} from '../sinks/shape.ts';
import {
  columnDropped,
  columnRetyped,
  identityChanged,
  notInLog,
  notPublished,
  publicationChanged,
  publicationTouched,
  publishedInPart,
  typeChanged,
} from '../sinks/stalls.ts';
import type {SqlType} from '../types/sql-type.ts';
import {canChange, looksTheSame} from '../types/type-change.ts';

interface RelationNow {
  readonly sink: ObjectId;
  readonly name: string;
  /** True while the entry in pg_publication_rel is the one that `notePublished` has recorded. */
  readonly published: boolean;
  /** With a row filter or a column list. */
  readonly narrowed: boolean;
  /** False when the publication lacks a kind of change, or a table of ours. */
  readonly whole: boolean;
  /** True while the publication is as it was then: not even changed and put back. */
  readonly untouched: boolean;
  /** A table of the relation that does not have REPLICA IDENTITY FULL. */
  readonly poor: string | null;
  /** A table that belongs to the relation and whose changes are not in the log. */
  readonly unlogged: string | null;
  /** The relation's columns by attribute number. */
  readonly columns: Readonly<Record<string, ColumnType>>;
  /** What types that can change were like when the relation was published, by attribute number. */
  readonly types: Readonly<Record<string, SqlType>> | null;
}

const NOW = `
SELECT s.sink, n.nspname || '.' || c.relname AS name, coalesce(e.oid = st.publication_entry, false) AS published,
  coalesce(e.prqual IS NOT NULL OR e.prattrs IS NOT NULL, false) AS narrowed,
  coalesce((SELECT ${SENDS_EVERYTHING} FROM pg_publication p WHERE p.pubname = $1), true) AS whole,
  coalesce((SELECT ${PUBLICATION_MARK} = st.publication_mark FROM pg_publication p WHERE p.pubname = $1), false) AS untouched, tables.poor, tables.unlogged, st.column_types AS types,
  (SELECT coalesce(json_object_agg(a.attnum, json_build_object('typeOid', a.atttypid::bigint, 'typmod', a.atttypmod)), '{}')
   FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS columns
FROM unnest($2::text[], $3::oid[], $4::bigint[]) AS s (sink, relation, version)
JOIN mz_sluice.sink_relation st ON st.sink = s.sink AND st.version = s.version
JOIN pg_class c ON c.oid = s.relation JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN (SELECT r.* FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid WHERE p.pubname = $1) AS e ON e.prrelid = c.oid
CROSS JOIN LATERAL (
  SELECT min(m.nspname || '.' || t.relname) FILTER (WHERE t.relkind = 'r' AND t.relreplident <> 'f' AND inside) AS poor,
    min(m.nspname || '.' || t.relname) FILTER (WHERE t.relpersistence <> 'p' OR t.relkind = 'f' OR NOT inside) AS unlogged
  FROM (
    SELECT relid, true FROM ${partitionTree('c.oid')} AS own
    UNION SELECT inhrelid, false FROM pg_inherits WHERE inhparent = c.oid AND c.relkind = 'r'
  ) AS member (oid, inside)
  JOIN pg_class t ON t.oid = member.oid JOIN pg_namespace m ON m.oid = t.relnamespace
) AS tables`;

/**
 * Looks whether relations are still what their sinks need, because the log does not say when somebody takes one out of the
 * publication, and says too late, or not at all, what became of its columns. What was found once stays true for this life of
 * the worker: rows that were not sent do not come back when the cause is mended.
 */
export class RelationWatch {
  readonly #publication: string;
  readonly #found = new Map<ObjectId, {readonly version: number; readonly stall: Stall}>();

  constructor(publication: string) {
    this.#publication = publication;
  }

  /** After the relation was published and before its snapshot: from now on only this very entry of the publication as it is will do, and these types. */
  async notePublished(client: pg.ClientBase, {id, relation, columns, version}: SinkDefinition): Promise<void> {
    const types = columns.filter(({type}) => canChange(type)).map(({attnum, type}) => [attnum, type] as const);
    await client.query(
      `UPDATE mz_sluice.sink_relation SET publication_entry = r.oid, publication_mark = ${PUBLICATION_MARK}, column_types = $4
       FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
       WHERE sink = $2 AND version = $5 AND publication_entry IS NULL AND p.pubname = $1 AND r.prrelid = $3::oid`,
      [this.#publication, id, relation, JSON.stringify(Object.fromEntries(types)), version],
    );
  }

  /** One query for all of these sinks, which have been published. A relation that is gone takes its sinks along and is passed over. */
  async check(client: pg.ClientBase, sinks: readonly SinkDefinition[]): Promise<ReadonlyMap<ObjectId, Stall>> {
    const {rows} = await client.query<RelationNow>(NOW, [
      this.#publication,
      sinks.map(({id}) => id),
      sinks.map(({relation}) => relation),
      sinks.map(({version}) => version),
    ]);
    const now = new Map(rows.map(row => [row.sink, row]));
    const rewritten = await watchRewrites(client, sinks);
    const stalls = new Map<ObjectId, Stall>();
    for (const definition of sinks) {
      const row = now.get(definition.id);
      if (row === undefined) continue;
      const {id, version} = definition;
      const before = this.#found.get(id);
      const known = before?.version === version ? before.stall : undefined;
      const stall = known ?? this.#judge(definition, row) ?? rewritten.get(id);
      if (stall === undefined) continue;
      this.#found.set(id, {version, stall});
      stalls.set(definition.id, stall);
    }
    return stalls;
  }

  /** Only whether every change that the sink needed was published until now: the relation itself may have changed since. */
  async checkPublished(client: pg.ClientBase, definition: SinkDefinition): Promise<Stall | undefined> {
    const stall = (await this.check(client, [definition])).get(definition.id);
    return stall?.code === 'SL006' ? stall : undefined;
  }

  forget(sink: ObjectId): void {
    this.#found.delete(sink);
  }

  #judge({columns}: SinkDefinition, now: RelationNow): Stall | undefined {
    const {name, poor, unlogged} = now;
    if (!now.whole) return publicationChanged(this.#publication);
    if (!now.published) return notPublished(name, this.#publication);
    if (!now.untouched) return publicationTouched(this.#publication);
    if (now.narrowed) return publishedInPart(name, this.#publication);
    if (poor !== null) return identityChanged(poor);
    const gone = columns.find(({attnum}) => now.columns[attnum] === undefined);
    if (gone !== undefined) return columnDropped(name, gone.name);
    const retyped = columns.find(column => !hasSameValues(column, now.columns[column.attnum]));
    if (retyped !== undefined) return columnRetyped(name, retyped.name);
    for (const [attnum, before] of Object.entries(now.types ?? {})) {
      const column = columns.find(candidate => candidate.attnum === Number(attnum));
      if (column !== undefined && !looksTheSame(before, column.type))
        return typeChanged(name, column.name, before.name);
    }
    return unlogged === null ? undefined : notInLog(name, unlogged);
  }
}
