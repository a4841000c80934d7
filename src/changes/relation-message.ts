import type {StreamColumn, StreamRelation} from './stream-listener.ts';

const IDENTITY_FLAG = 1;

/**
 * Reads a Relation message of pgoutput from its OID on (behind the type byte, without a transaction id).
 * Source: PostgreSQL documentation, "Logical Replication Message Formats".
 */
export function parseRelation(buf: Buffer, at: number): StreamRelation {
  const oid = buf.readUInt32BE(at);
  const schemaEnd = buf.indexOf(0, at + 4);
  const nameEnd = buf.indexOf(0, schemaEnd + 1);
  // pg_catalog is sent as an empty string.
  const schema = buf.toString('utf8', at + 4, schemaEnd) || 'pg_catalog';
  const name = buf.toString('utf8', schemaEnd + 1, nameEnd);
  const replicaIdentity = String.fromCharCode(buf[nameEnd + 1]);
  const count = buf.readUInt16BE(nameEnd + 2);
  const columns: StreamColumn[] = [];
  at = nameEnd + 4;
  for (let i = 0; i < count; i++) {
    const identity = (buf[at] & IDENTITY_FLAG) !== 0;
    const columnEnd = buf.indexOf(0, at + 1);
    columns.push({
      name: buf.toString('utf8', at + 1, columnEnd),
      typeOid: buf.readUInt32BE(columnEnd + 1),
      typmod: buf.readInt32BE(columnEnd + 5),
      identity,
    });
    at = columnEnd + 9;
  }
  return {oid, schema, name, replicaIdentity, columns};
}

interface Entry {
  readonly relation: StreamRelation;
  readonly raw: Buffer;
  /** Position of the message in the order of arrival. */
  readonly arrival: number;
}

/**
 * The relations as the stream has last described them. While a streamed transaction is replayed, its own descriptions cover
 * the others; when it commits they become the general ones, except where the server has described the relation again since.
 */
export class RelationCache {
  readonly #general = new Map<number, Entry>();
  #own: Map<number, Entry> | undefined;
  #last: StreamRelation | undefined;

  /** `buf[at … end)` is the message from its OID on. `arrival` rises with every Relation message of the connection. */
  add(buf: Buffer, at: number, end: number, arrival: number): StreamRelation {
    const oid = buf.readUInt32BE(at);
    const raw = buf.subarray(at, end);
    const known = this.#own?.get(oid) ?? this.#general.get(oid);
    const same = known?.raw.equals(raw) === true ? known : undefined;
    const entry: Entry = {
      relation: same?.relation ?? parseRelation(buf, at),
      raw: same?.raw ?? Buffer.from(raw),
      arrival,
    };
    (this.#own ?? this.#general).set(oid, entry);
    this.#last = undefined;
    return entry.relation;
  }

  get(oid: number): StreamRelation {
    const last = this.#last;
    if (last?.oid === oid) return last;
    const entry = this.#own?.get(oid) ?? this.#general.get(oid);
    if (entry === undefined) throw new Error(`the stream has a change of relation ${oid} that it never described`);
    this.#last = entry.relation;
    return entry.relation;
  }

  beginReplay(): void {
    this.#own = new Map();
    this.#last = undefined;
  }

  endReplay(): void {
    for (const [oid, entry] of this.#own ?? []) {
      const general = this.#general.get(oid);
      if (general === undefined || general.arrival < entry.arrival) this.#general.set(oid, entry);
    }
    this.#own = undefined;
    this.#last = undefined;
  }
}
