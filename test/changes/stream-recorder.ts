import {locatePgoutput, NULL_FIELD, UNCHANGED_FIELD} from '../../src/types/tuple.ts';
import type {
  RewrittenColumn,
  StreamListener,
  StreamRelation,
  TransactionEnd,
  TransactionStart,
  UnseenChange,
} from '../../src/changes/stream-listener.ts';

export interface RecordedChange {
  readonly op: 'insert' | 'update' | 'delete' | 'truncate' | UnseenChange['how'];
  readonly relation: string;
  /** Values by column name; the type decides how bytes are shown. `?` = unchanged TOAST. */
  readonly before?: Row | undefined;
  readonly beforeIsWhole?: boolean | undefined;
  readonly after?: Row | undefined;
  readonly columns?: readonly RewrittenColumn[] | undefined;
}
export type Row = Readonly<Record<string, string | null>>;

export interface RecordedTransaction extends TransactionStart, TransactionEnd {
  readonly changes: RecordedChange[];
}

/** Keeps whole transactions as plain values, so that two readings can be compared. */
export class StreamRecorder implements StreamListener {
  readonly transactions: RecordedTransaction[] = [];
  readonly idles: bigint[] = [];
  #open: {start: TransactionStart; changes: RecordedChange[]} | undefined;
  readonly #onCommit: (transaction: RecordedTransaction) => void;

  constructor(onCommit: (transaction: RecordedTransaction) => void = () => undefined) {
    this.#onCommit = onCommit;
  }

  get inTransaction(): boolean {
    return this.#open !== undefined;
  }

  /** Without the transactions that only move our own tables. */
  get users(): RecordedTransaction[] {
    return this.transactions.filter(t => t.changes.some(change => !change.relation.startsWith('mz_sluice.')));
  }

  begin(start: TransactionStart): void {
    if (this.#open !== undefined) throw new Error('begin within a transaction');
    this.#open = {start, changes: []};
  }

  insert(relation: StreamRelation, buf: Buffer, newAt: number): void {
    this.#add({op: 'insert', relation: nameOf(relation), after: rowOf(relation, buf, newAt)});
  }

  update(relation: StreamRelation, buf: Buffer, oldAt: number, oldIsWhole: boolean, newAt: number): void {
    const before = oldAt === -1 ? undefined : rowOf(relation, buf, oldAt);
    this.#add({
      op: 'update',
      relation: nameOf(relation),
      before,
      beforeIsWhole: oldIsWhole,
      after: rowOf(relation, buf, newAt),
    });
  }

  delete(relation: StreamRelation, buf: Buffer, oldAt: number, oldIsWhole: boolean): void {
    this.#add({
      op: 'delete',
      relation: nameOf(relation),
      before: rowOf(relation, buf, oldAt),
      beforeIsWhole: oldIsWhole,
    });
  }

  truncate(relations: readonly StreamRelation[]): void {
    for (const relation of relations) this.#add({op: 'truncate', relation: nameOf(relation)});
  }

  changedUnseen(relation: number, change: UnseenChange): void {
    const columns = change.how === 'rewrite' ? {columns: change.columns} : {};
    this.#add({op: change.how, relation: String(relation), ...columns});
  }

  commit(end: TransactionEnd): void {
    if (this.#open === undefined) throw new Error('commit outside of a transaction');
    const transaction = {...this.#open.start, ...end, changes: this.#open.changes};
    this.#open = undefined;
    this.transactions.push(transaction);
    this.#onCommit(transaction);
  }

  idle(walEnd: bigint): void {
    if (this.#open !== undefined) throw new Error('idle within a transaction');
    this.idles.push(walEnd);
  }

  #add(change: RecordedChange): void {
    if (this.#open === undefined) throw new Error(`${change.op} outside of a transaction`);
    this.#open.changes.push(change);
  }
}

const nameOf = (relation: StreamRelation) => `${relation.schema}.${relation.name}`;

export function rowOf(relation: StreamRelation, buf: Buffer, at: number): Row {
  const starts = new Int32Array(relation.columns.length);
  const lengths = new Int32Array(relation.columns.length);
  if (buf.readUInt16BE(at) !== relation.columns.length) throw new Error('a tuple does not fit its relation');
  locatePgoutput(buf, at, starts, lengths);
  return Object.fromEntries(
    relation.columns.map(({name, typeOid}, i) => [name, show(typeOid, buf, starts[i], lengths[i])]),
  );
}

export function show(typeOid: number, buf: Buffer, start: number, length: number): string | null {
  if (length === NULL_FIELD) return null;
  if (length === UNCHANGED_FIELD) return '?';
  switch (typeOid) {
    case 20:
      return buf.readBigInt64BE(start).toString();
    case 23:
      return buf.readInt32BE(start).toString();
    case 25:
      return buf.toString('utf8', start, start + length);
    default:
      return buf.toString('hex', start, start + length);
  }
}
