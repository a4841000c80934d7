import {SqlError} from '../base/sql-error.ts';
import {ANNOUNCEMENT_TABLE, parseAnnouncement} from './announcements.ts';
import {RelationCache} from './relation-message.ts';
import type {StreamListener, StreamRelation, TransactionStart} from './stream-listener.ts';
import type {SpooledTransaction, TransactionSpool} from './transaction-spool.ts';

const BEGIN = 0x42; // B
const COMMIT = 0x43; // C
const DELETE = 0x44; // D
const STREAM_STOP = 0x45; // E
const INSERT = 0x49; // I
const MESSAGE = 0x4d; // M
const ORIGIN = 0x4f; // O
const RELATION = 0x52; // R
const STREAM_START = 0x53; // S
const STREAM_ABORT = 0x41; // A
const STREAM_COMMIT = 0x63; // c
const TRUNCATE = 0x54; // T
const UPDATE = 0x55; // U
const TYPE = 0x59; // Y

const OLD_KEY = 0x4b; // K
const OLD_ROW = 0x4f; // O
const NEW_ROW = 0x4e; // N

const FIELD_NULL = 0x6e; // n
const FIELD_UNCHANGED = 0x75; // u

/**
 * Turns the messages of PostgreSQL's `pgoutput` plugin (protocol version 2, binary values, streaming on) into calls of a
 * listener, in commit order. Works on offsets in the connection's own buffer and allocates nothing per row.
 * A transaction that the server streams before its commit goes to the spool and comes back, when it commits, through the
 * same code; meanwhile nothing else may be fed: see `isReplaying`.
 * Source: PostgreSQL documentation, "Logical Streaming Replication Protocol" and "Logical Replication Message Formats".
 */
export class PgoutputDecoder {
  readonly #listener: StreamListener;
  readonly #spool: TransactionSpool;
  readonly #relations = new RelationCache();
  /** Number of Relation messages so far. */
  #arrival = 0;
  /** Between Begin and Commit. */
  #inTransaction = false;
  /** The top-level transaction between Stream Start and Stream Stop, else undefined. */
  #streamed: number | undefined;
  #replay:
    {readonly spooled: SpooledTransaction; readonly start: TransactionStart; readonly endLsn: bigint} | undefined;
  #announcements: StreamRelation | undefined;
  /** Relations whose rows were deleted in this transaction because a TRUNCATE follows. */
  readonly #emptied = new Set<number>();

  constructor(listener: StreamListener, spool: TransactionSpool) {
    this.#listener = listener;
    this.#spool = spool;
  }

  /** True between Begin and Commit, in a block of a streamed transaction and while one is replayed. */
  get inTransaction(): boolean {
    return this.#inTransaction || this.#streamed !== undefined || this.#replay !== undefined;
  }

  /** True: call `replay` until this is false before the next message. */
  get isReplaying(): boolean {
    return this.#replay !== undefined;
  }

  /** One message of the plugin, `buf[at … end)`: what XLogData carries. */
  message(buf: Buffer, at: number, end: number): void {
    const type = buf[at];
    if (this.#streamed !== undefined) this.#streamedMessage(type, buf, at, end);
    else if (type === INSERT || type === UPDATE || type === DELETE) this.#change(type, buf, at + 1);
    else this.#controlMessage(type, buf, at, end);
  }

  /** Delivers about `bytes` bytes of the committed streamed transaction; the last call also ends it. */
  replay(bytes: number): void {
    const {spooled, start, endLsn} = this.#replay!;
    // The listener may close us.
    while (bytes > 0 && this.#replay !== undefined) {
      if (!spooled.next()) {
        this.#endReplay(endLsn);
        return;
      }
      bytes -= spooled.end - spooled.start;
      const type = spooled.buf[spooled.start];
      if (type === RELATION) {
        this.#describe(spooled.buf, spooled.start + 1, spooled.end, spooled.arrival);
        continue;
      }
      // Only now: a transaction of which nothing is left is not announced, just as without streaming.
      if (!this.#inTransaction) this.#begin(start);
      if (type === TRUNCATE) this.#truncate(spooled.buf, spooled.start + 1);
      else this.#change(type, spooled.buf, spooled.start + 1);
    }
  }

  /** Gives up what has not been delivered. */
  close(): void {
    this.#replay?.spooled.close();
    this.#replay = undefined;
    this.#spool.close();
  }

  #controlMessage(type: number, buf: Buffer, at: number, end: number): void {
    switch (type) {
      case BEGIN:
        this.#begin({
          commitLsn: buf.readBigUInt64BE(at + 1),
          commitTime: buf.readBigInt64BE(at + 9),
          xid: buf.readUInt32BE(at + 17),
        });
        break;
      case COMMIT:
        // Flags, commit LSN, end LSN, commit time.
        this.#commit(buf.readBigUInt64BE(at + 10));
        break;
      case RELATION:
        this.#describe(buf, at + 1, end, ++this.#arrival);
        break;
      case TRUNCATE:
        this.#truncate(buf, at + 1);
        break;
      case STREAM_START:
        this.#streamed = buf.readUInt32BE(at + 1);
        this.#spool.resume(this.#streamed, buf[at + 5] === 1);
        break;
      case STREAM_ABORT:
        this.#spool.abort(buf.readUInt32BE(at + 1), buf.readUInt32BE(at + 5));
        break;
      case STREAM_COMMIT:
        this.#startReplay(buf, at + 1);
        break;
      case TYPE:
      case ORIGIN:
      case MESSAGE:
        break;
      default:
        throw unexpected(type);
    }
  }

  /** Between Stream Start and Stop every change carries the id of its subtransaction behind the type byte. */
  #streamedMessage(type: number, buf: Buffer, at: number, end: number): void {
    switch (type) {
      case RELATION:
        this.#arrival++;
        this.#spool.append(buf.readUInt32BE(at + 1), this.#arrival, type, buf, at + 5, end);
        break;
      case INSERT:
      case UPDATE:
      case DELETE:
      case TRUNCATE:
        this.#spool.append(buf.readUInt32BE(at + 1), this.#arrival, type, buf, at + 5, end);
        break;
      case STREAM_STOP:
        this.#spool.suspend();
        this.#streamed = undefined;
        break;
      case TYPE:
      case ORIGIN:
      case MESSAGE:
        break;
      default:
        throw unexpected(type);
    }
  }

  #begin(start: TransactionStart): void {
    this.#inTransaction = true;
    this.#listener.begin(start);
  }

  #commit(endLsn: bigint): void {
    this.#inTransaction = false;
    this.#emptied.clear();
    this.#listener.commit({endLsn});
  }

  /** `at` is behind the type byte and the transaction id, if any. */
  #change(type: number, buf: Buffer, at: number): void {
    const relation = this.#relations.get(
      ((buf[at] << 24) | (buf[at + 1] << 16) | (buf[at + 2] << 8) | buf[at + 3]) >>> 0,
    );
    const kind = buf[at + 4];
    const tuple = at + 5;
    if (relation === this.#announcements) this.#announce(type, buf, tuple);
    else if (type === INSERT && kind === NEW_ROW) this.#listener.insert(relation, buf, tuple);
    else if (type === UPDATE && kind === NEW_ROW) this.#listener.update(relation, buf, -1, false, tuple);
    else if (kind !== OLD_ROW && kind !== OLD_KEY) throw unexpected(kind);
    else if (type === DELETE) this.#listener.delete(relation, buf, tuple, kind === OLD_ROW);
    else if (type === UPDATE) {
      const next = skipTuple(buf, tuple);
      if (buf[next] !== NEW_ROW) throw unexpected(buf[next]);
      this.#listener.update(relation, buf, tuple, kind === OLD_ROW, next + 1);
    } else throw unexpected(type);
  }

  #describe(buf: Buffer, at: number, end: number, arrival: number): void {
    const relation = this.#relations.add(buf, at, end, arrival);
    if (relation.schema === ANNOUNCEMENT_TABLE.schema && relation.name === ANNOUNCEMENT_TABLE.name) {
      this.#announcements = relation;
    }
  }

  /** A row of our table of announcements. It is never heard as a change itself. */
  #announce(type: number, buf: Buffer, tuple: number): void {
    // An update has no old tuple: its key is unchanged.
    if (type !== INSERT && type !== UPDATE) return;
    const {relation, change} = parseAnnouncement(buf, tuple);
    if (change === 'emptied') this.#emptied.add(relation);
    else this.#listener.changedUnseen?.(relation, change);
  }

  #truncate(buf: Buffer, at: number): void {
    const count = buf.readUInt32BE(at);
    const relations: StreamRelation[] = [];
    for (let i = 0; i < count; i++) {
      const oid = buf.readUInt32BE(at + 5 + 4 * i);
      if (!this.#emptied.has(oid)) relations.push(this.#relations.get(oid));
    }
    if (relations.length > 0) this.#listener.truncate(relations);
  }

  #startReplay(buf: Buffer, at: number): void {
    const xid = buf.readUInt32BE(at);
    const spooled = this.#spool.take(xid);
    if (spooled === undefined) return;
    // Behind the id: flags, commit LSN, end LSN, commit time.
    const start = {xid, commitLsn: buf.readBigUInt64BE(at + 5), commitTime: buf.readBigInt64BE(at + 21)};
    this.#replay = {spooled, start, endLsn: buf.readBigUInt64BE(at + 13)};
    this.#relations.beginReplay();
  }

  #endReplay(endLsn: bigint): void {
    this.#replay!.spooled.close();
    this.#replay = undefined;
    this.#relations.endReplay();
    if (this.#inTransaction) this.#commit(endLsn);
  }
}

/** Returns the offset behind the TupleData that begins at `at`. */
function skipTuple(buf: Buffer, at: number): number {
  let fields = (buf[at] << 8) | buf[at + 1];
  at += 2;
  for (; fields > 0; fields--) {
    const kind = buf[at++];
    if (kind === FIELD_NULL || kind === FIELD_UNCHANGED) continue;
    at += 4 + ((buf[at] << 24) | (buf[at + 1] << 16) | (buf[at + 2] << 8) | buf[at + 3]);
  }
  return at;
}

function unexpected(byte: number): SqlError {
  return new SqlError('08P01', `unexpected byte 0x${byte.toString(16)} in the replication stream`);
}
