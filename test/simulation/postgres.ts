import type {Lsn} from '../../src/base/lsn.ts';
import {SqlError} from '../../src/base/sql-error.ts';
import type {ClockRecord} from '../../src/changes/clock-record.ts';
import type {SnapshotFilter} from '../../src/changes/snapshot-filter.ts';
import type {Row} from './rows.ts';
import type {Time} from './time.ts';

export const SYSTEM = {system: 77n, timeline: 1} as const;
export const HEARTBEAT = 99;
/** 2027 in milliseconds since 1970, and that moment in the microseconds since 2000 of the log. */
const EPOCH_MS = 1_798_761_600_000;
const POSTGRES_EPOCH_MS = 946_684_800_000;

export interface RowChange {
  readonly relation: number;
  readonly before: Row | undefined;
  readonly after: Row | undefined;
  /** Whether the log sends it: its relation was published when it was written. */
  readonly published: boolean;
}

export interface CommittedTransaction {
  readonly xid: bigint;
  readonly commitLsn: Lsn;
  readonly endLsn: Lsn;
  /** Microseconds since 2000-01-01. */
  readonly commitTime: bigint;
  readonly changes: readonly RowChange[];
}

interface OpenTransaction {
  readonly xid: bigint;
  readonly changes: RowChange[];
  /** In the first of two phases: nobody's session holds it, and it outlives the server. */
  prepared: boolean;
}

export interface TakenSnapshot {
  readonly filter: SnapshotFilter;
  /** Milliseconds since 1970. */
  readonly time: bigint;
  readonly rows: readonly Row[];
}

interface Spool extends TakenSnapshot {
  readonly id: number;
  readonly holdLsn: Lsn;
}

interface Relation {
  published: boolean;
  /** A lock is being waited for: nobody new may write. */
  closed: boolean;
  /** What a new snapshot sees. */
  readonly visible: Map<number, Row>;
  /** With what has been committed but is not visible yet, and what open transactions have done: row locks order all of it. */
  readonly present: Map<number, Row>;
  readonly locked: Set<number>;
}

/** Ends when another session takes the slot, when its process is cut off, or with the server. */
export interface Walsender {
  readonly sessionEnded: (error: SqlError) => void;
}

export interface PostgresOptions {
  readonly time: Time;
  readonly random: () => number;
  readonly relations: readonly number[];
  readonly firstXid: bigint;
  readonly onConfirm: (lsn: Lsn) => void;
}

/**
 * PostgreSQL as its change log and its snapshots show it. What matters is in it: a commit can be decoded before the transaction has
 * left the list of running ones; a slot begins where it was confirmed, whatever was asked for; a slot on disk lags behind;
 * commit times run backwards now and then; a commit's record may begin where the one before ends. log-conformance.ts has the cases that it and
 * PostgreSQL pass.
 *
 * Not in it: DDL, slots that are dropped or lost, keepalives (nobody in the sinks' loop listens to them), transactions that are
 * sent before their commit (the stream's reader hides that).
 */
export class ModelPostgres {
  readonly log: CommittedTransaction[] = [];
  readonly clockRecords = new Map<Lsn, ClockRecord>();
  readonly committedOnce = new Set<string>();
  readonly spools = new Map<string, Spool>();
  /** Ground truth: which transactions each snapshot has seen, by its filter. */
  readonly seen = new Map<SnapshotFilter, ReadonlySet<bigint>>();
  readonly #options: PostgresOptions;
  readonly #relations: ReadonlyMap<number, Relation>;
  readonly #running = new Map<bigint, OpenTransaction>();
  /** In the log, and still running for whoever takes a snapshot. */
  readonly #leaving = new Map<bigint, CommittedTransaction>();
  readonly #gone: bigint[] = [];
  #insertLsn: Lsn = 0x1000n;
  #nextXid: bigint;
  #latestCompleted: bigint;
  #confirmed: Lsn;
  #durable: Lsn;
  #walsender: Walsender | undefined;
  #onAppend: () => void = () => undefined;
  #clockOffsetMs = 0;
  #nextSpool = 1;

  constructor(options: PostgresOptions) {
    this.#options = options;
    this.#nextXid = options.firstXid;
    this.#latestCompleted = options.firstXid - 1n;
    this.#confirmed = this.#insertLsn;
    this.#durable = this.#insertLsn;
    const relation = (): Relation => ({
      published: false,
      closed: false,
      visible: new Map(),
      present: new Map(),
      locked: new Set(),
    });
    this.#relations = new Map(options.relations.map(oid => [oid, relation()]));
  }

  get insertLsn(): Lsn {
    return this.#insertLsn;
  }

  get confirmedLsn(): Lsn {
    return this.#confirmed;
  }

  get wallMs(): number {
    return EPOCH_MS + this.#clockOffsetMs + Math.floor(this.#options.time.now());
  }

  /** Somebody sets the server's clock. */
  shiftClock(ms: number): void {
    this.#clockOffsetMs += ms;
  }

  // What the users do.

  begin(): OpenTransaction {
    const open = {xid: this.#nextXid++, changes: [], prepared: false};
    this.#running.set(open.xid, open);
    return open;
  }

  /** False: somebody else holds the row or the table. An id that is not there yet is inserted. */
  write(open: OpenTransaction, oid: number, id: number, to: Row | undefined): boolean {
    if (!this.#running.has(open.xid)) return false;
    const relation = this.#relations.get(oid)!;
    const touches = open.changes.some(change => change.relation === oid);
    if (relation.closed && !touches) return false;
    const mine = (row: number) =>
      open.changes.some(({relation: r, before, after}) => r === oid && (before?.id === row || after?.id === row));
    const ids = to === undefined || to.id === id ? [id] : [id, to.id];
    if (ids.some(row => relation.locked.has(row) && !mine(row))) return false;
    const before = relation.present.get(id);
    if (before === undefined && to === undefined) return false;
    if (to !== undefined && to.id !== id && (before === undefined || relation.present.has(to.id))) return false;
    for (const row of ids) relation.locked.add(row);
    if (before !== undefined) relation.present.delete(id);
    if (to !== undefined) relation.present.set(to.id, to);
    open.changes.push({relation: oid, before, after: to, published: relation.published});
    return true;
  }

  rollback(open: OpenTransaction): void {
    if (!this.#running.delete(open.xid)) return;
    for (const {relation: oid, before, after} of [...open.changes].reverse()) {
      const {present} = this.#relations.get(oid)!;
      if (after !== undefined) present.delete(after.id);
      if (before !== undefined) present.set(before.id, before);
    }
    this.#unlock(open);
    this.#complete(open.xid);
  }

  prepare(open: OpenTransaction): void {
    open.prepared = true;
  }

  /** `gapMs`: how long it still counts as running after its commit can be decoded. False: the server has ended it. */
  commit(open: OpenTransaction, gapMs: number): boolean {
    if (!this.#running.delete(open.xid)) return false;
    const {random} = this.#options;
    // In a quarter of all cases nothing is written between two commits.
    const commitLsn = this.#insertLsn + (random() < 0.25 ? 0n : BigInt(8 * (1 + Math.floor(random() * 30))));
    const endLsn = commitLsn + BigInt(8 * (4 + Math.floor(random() * 10)));
    const backwardsMicros = random() < 0.2 ? Math.floor(random() * 2000) : 0;
    const micros = (this.wallMs - POSTGRES_EPOCH_MS) * 1000 + Math.floor(random() * 1000) - backwardsMicros;
    const transaction = {xid: open.xid, commitLsn, endLsn, commitTime: BigInt(micros), changes: open.changes};
    this.#insertLsn = endLsn;
    this.log.push(transaction);
    this.#leaving.set(open.xid, transaction);
    if (gapMs === 0) this.#leave(transaction);
    else this.#options.time.after(gapMs, () => this.#leave(transaction));
    this.#onAppend();
    return true;
  }

  /** The cluster's heartbeat row moves. */
  beat(): void {
    const open = this.begin();
    open.changes.push({relation: HEARTBEAT, before: undefined, after: {id: 1, n: 0}, published: true});
    this.commit(open, 0);
  }

  #leave(transaction: CommittedTransaction): void {
    if (!this.#leaving.delete(transaction.xid)) return;
    for (const {relation: oid, before, after} of transaction.changes) {
      const relation = this.#relations.get(oid);
      if (relation === undefined) continue;
      if (before !== undefined) relation.visible.delete(before.id);
      if (after !== undefined) relation.visible.set(after.id, after);
    }
    this.#gone.push(transaction.xid);
    this.#unlock(transaction);
    this.#complete(transaction.xid);
  }

  #unlock({changes}: {readonly changes: readonly RowChange[]}): void {
    for (const {relation: oid, before, after} of changes) {
      const locked = this.#relations.get(oid)?.locked;
      if (before !== undefined) locked?.delete(before.id);
      if (after !== undefined) locked?.delete(after.id);
    }
  }

  #complete(xid: bigint): void {
    if (xid > this.#latestCompleted) this.#latestCompleted = xid;
  }

  // The hand-over.

  isPublished(oid: number): boolean {
    return this.#relations.get(oid)!.published;
  }

  /** Transactions that hold a lock for writing: also those that have committed and still count as running. */
  writersOf(oid: number): bigint[] {
    const touches = ({changes}: {readonly changes: readonly RowChange[]}) =>
      changes.some(({relation}) => relation === oid);
    return [...this.#running.values(), ...this.#leaving.values()].filter(touches).map(({xid}) => xid);
  }

  /** The lock is asked for: who does not write yet has to wait. */
  close(oid: number): void {
    this.#relations.get(oid)!.closed = true;
  }

  reopen(oid: number): void {
    this.#relations.get(oid)!.closed = false;
  }

  publish(oid: number): void {
    this.#relations.get(oid)!.published = true;
  }

  takeSnapshot(oid: number): TakenSnapshot {
    const running = [...this.#running.keys(), ...this.#leaving.keys()];
    const xmax = this.#latestCompleted + 1n;
    const below = running.filter(xid => xid < xmax).sort((a, b) => (a < b ? -1 : 1));
    const filter: SnapshotFilter = {
      visible: {xmin: below[0] ?? xmax, xmax, running: below},
      until: this.#insertLsn,
    };
    this.seen.set(filter, new Set(this.#gone));
    return {filter, time: BigInt(this.wallMs), rows: [...this.#relations.get(oid)!.visible.values()]};
  }

  makeSpool(sink: string, oid: number, holdLsn: Lsn): Spool {
    const spool = {...this.takeSnapshot(oid), id: this.#nextSpool++, holdLsn};
    this.spools.set(sink, spool);
    return spool;
  }

  // The slot.

  /** The session that reads the slot is ended, if there is one. */
  releaseSlot(): void {
    const walsender = this.#walsender;
    this.#walsender = undefined;
    walsender?.sessionEnded(new SqlError('57P01', 'terminating connection due to administrator command'));
  }

  /** Index into the log of what is sent first. The server begins at its confirmed position at the earliest. */
  startReplication(start: Lsn, walsender: Walsender, onAppend: () => void): number {
    if (this.#walsender !== undefined) throw new SqlError('55006', 'the slot is in use');
    this.#walsender = walsender;
    this.#onAppend = onAppend;
    const from = start > this.#confirmed ? start : this.#confirmed;
    let at = this.log.length;
    while (at > 0 && this.log[at - 1].commitLsn >= from) at--;
    return at;
  }

  holdsSlot(walsender: Walsender): boolean {
    return this.#walsender === walsender;
  }

  confirm(lsn: Lsn): void {
    if (lsn <= this.#confirmed) return;
    this.#options.onConfirm(lsn);
    this.#confirmed = lsn;
  }

  checkpoint(): void {
    this.#durable = this.#confirmed;
  }

  /** The server dies and is back at once: sessions and their open transactions are gone, the slot is as it is on disk. */
  crash(): void {
    for (const open of [...this.#running.values()]) if (!open.prepared) this.rollback(open);
    for (const transaction of [...this.#leaving.values()]) this.#leave(transaction);
    this.#confirmed = this.#durable;
    this.releaseSlot();
  }
}
