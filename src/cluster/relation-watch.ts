import type pg from 'pg';
import type {ObjectId, SinkDefinition} from '../catalog/definitions.ts';
import {Stall} from '../sinks/errors.ts';

interface RelationNow {
  readonly sink: ObjectId;
  readonly name: string;
  /** OID of the entry in pg_publication_rel: another one when somebody has taken the relation out and put it back. */
  readonly entry: string | null;
  readonly narrowed: boolean;
  /** A table of the relation that does not have REPLICA IDENTITY FULL. */
  readonly poor: string | null;
  /** Types of the relation's columns, by attribute number. */
  readonly types: Readonly<Record<string, number>>;
}

const NOW = `
SELECT s.sink, format('%I.%I', n.nspname, c.relname) AS name, e.oid::text AS entry,
  coalesce(e.prqual IS NOT NULL OR e.prattrs IS NOT NULL, false) AS narrowed,
  (SELECT min(format('%I.%I', m.nspname, t.relname)) FROM pg_class t JOIN pg_namespace m ON m.oid = t.relnamespace
   WHERE t.relreplident <> 'f' AND t.relkind = 'r'
     AND (t.oid = c.oid OR t.oid IN (SELECT relid FROM pg_partition_tree(c.oid)))) AS poor,
  (SELECT json_object_agg(a.attnum, a.atttypid::bigint) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped) AS types
FROM unnest($2::text[], $3::oid[]) AS s (sink, relation)
JOIN pg_class c ON c.oid = s.relation JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN (SELECT r.* FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid WHERE p.pubname = $1) AS e ON e.prrelid = c.oid`;

/**
 * Looks whether relations are still what their sinks need, because the log does not say when somebody takes one out of the
 * publication, and says too late, or not at all, what became of its columns. What was found once stays true for this life of
 * the worker: rows that were not sent do not come back when the cause is mended.
 */
export class RelationWatch {
  readonly #publication: string;
  readonly #entries = new Map<ObjectId, string>();
  readonly #found = new Map<ObjectId, Stall>();

  constructor(publication: string) {
    this.#publication = publication;
  }

  /** One query for all of these sinks, which have been published. A relation that is gone takes its sinks along and is passed over. */
  async check(client: pg.ClientBase, sinks: readonly SinkDefinition[]): Promise<ReadonlyMap<ObjectId, Stall>> {
    const {rows} = await client.query<RelationNow>(NOW, [
      this.#publication,
      sinks.map(({id}) => id),
      sinks.map(({relation}) => relation),
    ]);
    const now = new Map(rows.map(row => [row.sink, row]));
    const stalls = new Map<ObjectId, Stall>();
    for (const definition of sinks) {
      const row = now.get(definition.id);
      if (row === undefined) continue;
      const stall = this.#found.get(definition.id) ?? this.#judge(definition, row);
      if (stall === undefined) continue;
      this.#found.set(definition.id, stall);
      stalls.set(definition.id, stall);
    }
    return stalls;
  }

  forget(sink: ObjectId): void {
    this.#entries.delete(sink);
    this.#found.delete(sink);
  }

  #judge({id, columns}: SinkDefinition, {name, entry, narrowed, poor, types}: RelationNow): Stall | undefined {
    const before = this.#entries.get(id);
    if (entry === null || (before !== undefined && before !== entry)) return notPublished(name, this.#publication);
    this.#entries.set(id, entry);
    if (narrowed) return narrowedPublication(name, this.#publication);
    if (poor !== null) return identityChanged(poor);
    const gone = columns.find(column => types[column.attnum] === undefined);
    if (gone !== undefined) {
      return new Stall('SL001', `column "${gone.name}" of ${name} is gone`, {
        hint: 'Drop the sink and create it again: rows that changed together with the column were not sent by the log.',
      });
    }
    const retyped = columns.find(column => types[column.attnum] !== column.type.oid);
    if (retyped !== undefined) {
      return new Stall('SL002', `column "${retyped.name}" of ${name} has changed its type`, {
        hint: 'Drop the sink and create it again: rows that were rewritten for the new type were not sent by the log.',
      });
    }
    return undefined;
  }
}

function notPublished(name: string, publication: string): Stall {
  return new Stall('SL006', `${name} was taken out of publication "${publication}"`, {
    hint: 'What was written since then is not in the log of the sink. Drop the sink, empty the target, and create the sink again.',
  });
}

function narrowedPublication(name: string, publication: string): Stall {
  return new Stall('SL006', `${name} is published with a row filter or a column list in "${publication}"`, {
    hint: 'What was left out is not in the log of the sink. Drop the sink, empty the target, and create the sink again.',
  });
}

function identityChanged(name: string): Stall {
  return new Stall('SL004', `${name} no longer has REPLICA IDENTITY FULL`, {
    hint: `Run ALTER TABLE ${name} REPLICA IDENTITY FULL, then drop the sink and create it again: old rows are missing from the log.`,
  });
}
