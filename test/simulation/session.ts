import type {Lsn} from '../../src/base/lsn.ts';
import {SqlError} from '../../src/base/sql-error.ts';
import {chooseStart} from '../../src/changes/clock-record.ts';
import type {StreamListener} from '../../src/changes/stream-listener.ts';
import {Stall} from '../../src/sinks/errors.ts';
import type {Position} from '../../src/sinks/intake.ts';
import type {DirectSnapshot, SnapshotRows, SnapshotSource, SpooledSnapshot} from '../../src/sinks/snapshot-source.ts';
import type {ChangeSource, OpenStream} from '../../src/sinks/stream-host.ts';
import type {RowShape} from '../../src/types/relation.ts';
import type {Life} from './life.ts';
import {Connection, Cut, type Weather} from './network.ts';
import {
  HEARTBEAT,
  SYSTEM,
  type CommittedTransaction,
  type ModelPostgres,
  type RowChange,
  type Walsender,
} from './postgres.ts';
import {
  COLUMNS,
  COPY_TUPLE_BYTES,
  STREAM_TUPLE_BYTES,
  streamRelation,
  writeCopyTuple,
  writeStreamTuple,
  type Row,
} from './rows.ts';
import type {EarlyCut, SimulatedSink} from './scenario.ts';
import type {SimulatedWeather} from './weather.ts';

export interface SessionOptions {
  readonly life: Life;
  readonly postgres: ModelPostgres;
  readonly weather: Weather & Pick<SimulatedWeather, 'takeEarlyCut'>;
  readonly random: () => number;
}

interface StreamOptions extends SessionOptions {
  readonly listener: StreamListener;
  /** Runs what the server says last, when the process hears of it. */
  readonly hear: (act: () => void) => void;
  /** What streams of this process have brought before, whole. */
  readonly known: {until: Lsn};
}

const BLOCK_ROWS = 8;
/** Of one transaction, that come at once. */
const MOST_CHANGES = 100;

/** All connections of one worker to PostgreSQL; a successor, or the server's end, ends all of them. */
export class PostgresSession {
  readonly #options: SessionOptions;
  readonly #connection: Connection;
  readonly #pending = new Set<(error: SqlError) => void>();
  readonly #streams = new Set<ModelStream>();
  #ended = false;
  /** The process knows. */
  #heardEnd: SqlError | undefined;
  #deafUntil = 0;
  readonly #known = {until: 0n};
  readonly #onEnd: () => void;

  constructor(options: SessionOptions, onEnd: () => void) {
    this.#options = options;
    this.#connection = new Connection(options.life, options.weather);
    this.#onEnd = onEnd;
  }

  /** The server ends it. The process hears of it when it is awake. */
  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    const {postgres} = this.#options;
    for (const stream of this.#streams) if (postgres.holdsSlot(stream)) postgres.releaseSlot();
    this.#hear(() => {
      const error = new SqlError('57P01', 'terminating connection due to administrator command');
      this.#heardEnd = error;
      for (const reject of this.#pending) reject(error);
      this.#onEnd();
    });
  }

  /** So long what tells the process of the end of a session is lost on its way, as by a network that has forgotten the connection. */
  deafen(ms: number): void {
    this.#deafUntil = this.#options.life.time.now() + ms;
  }

  #hear(act: () => void): void {
    const {life} = this.#options;
    const lateMs = this.#deafUntil - life.time.now();
    if (lateMs > 0) life.after(lateMs, act);
    else life.run(act);
  }

  ask<T>(serve: () => T): Promise<T> {
    return this.askLater(answer => {
      try {
        const result = serve();
        answer(() => result);
      } catch (error) {
        answer(() => {
          throw error;
        });
      }
    });
  }

  async askLater<T>(serve: (answer: (result: () => T) => void) => void): Promise<T> {
    if (this.#heardEnd !== undefined) throw this.#heardEnd;
    let give: (error: SqlError) => void = () => undefined;
    const ended = new Promise<never>((_, reject) => {
      give = reject;
    });
    ended.catch(() => undefined);
    this.#pending.add(give);
    try {
      // What arrives after the end is not carried out.
      const served = this.#connection.callLater<T>('postgres', answer => {
        if (!this.#ended) serve(answer);
      });
      return await Promise.race([served, ended]);
    } catch (error) {
      throw error instanceof Cut ? new SqlError('08006', 'the connection was lost') : error;
    } finally {
      this.#pending.delete(give);
    }
  }

  /** Rules 1 to 3 of the hand-over as hand-over.ts has them; the locks are the model's. */
  async publish(oid: number): Promise<void> {
    const {life, postgres} = this.#options;
    const gone = (writers: readonly bigint[]) =>
      this.#poll(() => {
        const still = new Set(postgres.writersOf(oid));
        return writers.every(xid => !still.has(xid));
      });
    if (await this.ask(() => postgres.isPublished(oid))) {
      await gone(await this.ask(() => postgres.writersOf(oid)));
      return;
    }
    for (let pauseMs = 50; ; pauseMs = Math.min(2000, pauseMs * 2)) {
      const done = await this.askLater<boolean>(answer => {
        postgres.close(oid);
        const deadline = life.time.now() + 100;
        const look = (): void => {
          const free = postgres.writersOf(oid).length === 0;
          if (free) postgres.publish(oid);
          if (free || life.time.now() >= deadline) {
            postgres.reopen(oid);
            answer(() => free);
          } else life.time.after(2, look);
        };
        look();
      });
      if (done) return;
      await life.clock.sleep(pauseMs);
    }
  }

  /** A connection of its own: long enough for others to write between publication and snapshot. */
  #logIn(): Promise<void> {
    const {life, random} = this.#options;
    return life.clock.sleep(random() < 0.5 ? 300 * random() : 1);
  }

  async #poll(condition: () => boolean): Promise<void> {
    while (!(await this.ask(condition))) await this.#options.life.clock.sleep(10);
  }

  snapshots(sink: SimulatedSink): SnapshotSource {
    const {postgres, life} = this.#options;
    const shape: RowShape = {
      relation: sink.relation,
      schema: '',
      name: `t${sink.relation}`,
      columns: COLUMNS,
      framing: 'copy',
    };
    const spooled = (spool: {
      id: number;
      holdLsn: Lsn;
      rows: readonly Row[];
      time: bigint;
      filter: DirectSnapshot['filter'];
    }) => ({
      ...spool,
      shape,
      blocks: Math.ceil(spool.rows.length / BLOCK_ROWS),
      rows: (from: number, to: number) => chunks(spool.rows.slice(from * BLOCK_ROWS, to * BLOCK_ROWS), life),
    });
    return {
      // As much as makes each of the three ways come up: the spool, a long span of writes, a short one.
      estimate: () => this.ask(() => ({bytes: sink.spooled ? 2 : sink.partitions > 1 ? 1 : 0, rows: undefined})),
      take: async (): Promise<DirectSnapshot> => {
        await this.#logIn();
        const {filter, time, rows} = await this.ask(() => postgres.takeSnapshot(sink.relation));
        return {filter, time, shape, rows: () => chunks(rows, life), close: () => this.ask(() => undefined)};
      },
      findSpool: async (): Promise<SpooledSnapshot | undefined> => {
        const spool = await this.ask(() => postgres.spools.get(sink.id));
        return spool && spooled(spool);
      },
      makeSpool: async hold => {
        await this.#logIn();
        return spooled(await this.ask(() => postgres.makeSpool(sink.id, sink.relation, hold)));
      },
      dropSpool: () => this.ask(() => void postgres.spools.delete(sink.id)),
    };
  }

  /** As ClusterLog has it, over the model's tables. */
  async openLog(): Promise<{source: ChangeSource; earliest: Lsn}> {
    const {postgres} = this.#options;
    const choose = (progress: Lsn | undefined) =>
      chooseStart([...postgres.clockRecords.values()], {
        confirmed: postgres.confirmedLsn,
        progress,
        present: SYSTEM,
        history: [],
      });
    const earliest = await this.ask(() => {
      postgres.releaseSlot();
      if (postgres.clockRecords.size === 0) {
        const first = {...SYSTEM, endLsn: postgres.confirmedLsn, clock: BigInt(postgres.wallMs)};
        postgres.clockRecords.set(first.endLsn, first);
      }
      postgres.beat();
      return choose(undefined)?.endLsn ?? postgres.confirmedLsn;
    });
    const source: ChangeSource = {
      open: (start, listener) => this.#openStream(start, listener),
      chooseStart: async notAfter => {
        const best = await this.ask(() => choose(notAfter));
        if (best === undefined) throw new Stall('SL022', 'no recorded time', {hint: 'None.'});
        return best;
      },
      recordClock: ({endLsn, clock}: Position) =>
        this.ask(() => void postgres.clockRecords.set(endLsn, {...SYSTEM, endLsn, clock})),
      diagnose: () => this.ask(() => undefined),
    };
    return {source, earliest};
  }

  async #openStream(start: Lsn, listener: StreamListener): Promise<OpenStream> {
    const {postgres} = this.#options;
    const hear = (act: () => void) => this.#hear(act);
    const stream = new ModelStream({...this.#options, listener, hear, known: this.#known});
    this.#streams.add(stream);
    try {
      const at = await this.ask(() => {
        const from = postgres.startReplication(start, stream, () => stream.send());
        if (postgres.confirmedLsn > start)
          throw new SqlError('55000', 'the slot has been moved forward by somebody else');
        return from;
      });
      stream.begin(at);
    } catch (error) {
      await stream.close();
      throw error;
    }
    return stream;
  }

  /** The replication connection alone is lost. */
  cutStreams(within: boolean): boolean {
    let cut = false;
    for (const stream of this.#streams) cut = stream.cut(within) || cut;
    return cut;
  }
}

async function* chunks(rows: readonly Row[], {clock}: Life): AsyncGenerator<SnapshotRows> {
  const bytes = Buffer.alloc(BLOCK_ROWS * COPY_TUPLE_BYTES);
  for (let from = 0; from < rows.length; from += BLOCK_ROWS) {
    await clock.sleep(1);
    const part = rows.slice(from, from + BLOCK_ROWS);
    const offsets = Int32Array.from(part, (_, i) => i * COPY_TUPLE_BYTES);
    for (const [i, row] of part.entries()) writeCopyTuple(bytes, offsets[i], row);
    yield {bytes, offsets, count: part.length};
    // Whoever has kept a reference to it shall see that.
    bytes.fill(0xee);
  }
}

/** One connection of the change stream. */
class ModelStream implements OpenStream, Walsender {
  readonly ended: Promise<void>;
  readonly #options: StreamOptions;
  readonly #relations = new Map<number, ReturnType<typeof streamRelation>>();
  readonly #buf = Buffer.alloc(2 * STREAM_TUPLE_BYTES + 1);
  #settle: {resolve: () => void; reject: (error: unknown) => void} | undefined;
  /** Of the log: what is sent next, and how many of its changes have been. */
  #at = 0;
  #changes = 0;
  #begun = false;
  #paused = false;
  #sending = false;
  #confirmed: Lsn = 0n;
  #cutWithin = false;
  /** What is left of it; `after` counts down. */
  #earlyCut: EarlyCut | undefined;

  constructor(options: StreamOptions) {
    this.#options = options;
    this.ended = new Promise((resolve, reject) => {
      this.#settle = {resolve, reject};
    });
    this.ended.catch(() => undefined);
  }

  /** Nothing comes before whoever has opened it knows that. */
  begin(at: number): void {
    this.#at = at;
    this.#begun = true;
    const {postgres, weather, known} = this.#options;
    const again = postgres.log.slice(at).filter(({endLsn}) => endLsn <= known.until);
    const long = again.filter(({changes}) => changes.filter(change => change.published).length > 1);
    this.#earlyCut = weather.takeEarlyCut(long.length);
    this.send();
  }

  pause(): void {
    this.#paused = true;
  }

  resume(): void {
    this.#paused = false;
    this.send();
  }

  confirm(lsn: Lsn): void {
    const {life, postgres, weather} = this.#options;
    if (lsn > this.#confirmed) this.#confirmed = lsn;
    life.time.after(weather.latency('postgres'), () => {
      if (postgres.holdsSlot(this)) postgres.confirm(lsn);
    });
  }

  /** What was confirmed last is told before it goes. */
  async close(): Promise<void> {
    this.#settle?.resolve();
    this.#settle = undefined;
    await this.#options.life.clock.sleep(1);
    const {postgres} = this.#options;
    if (!postgres.holdsSlot(this)) return;
    postgres.confirm(this.#confirmed);
    postgres.releaseSlot();
  }

  readonly sessionEnded = (error: SqlError): void => {
    this.#options.hear(() => this.#fail(error));
  };

  cut(within: boolean): boolean {
    if (this.#settle === undefined || !this.#begun) return false;
    if (within) this.#cutWithin = true;
    else this.abandon();
    return true;
  }

  /** The connection is gone, and the server notices a moment later. */
  abandon(): void {
    const {life, postgres, weather} = this.#options;
    life.run(() => this.#fail(new SqlError('08006', 'the connection was lost')));
    life.time.after(weather.latency('postgres'), () => {
      if (postgres.holdsSlot(this)) postgres.releaseSlot();
    });
  }

  #fail(error: unknown): void {
    this.#settle?.reject(error);
    this.#settle = undefined;
  }

  /** The server sends some transactions of those that it has, if it still serves this stream. */
  send(): void {
    const {life, postgres, weather, random} = this.#options;
    if (!this.#begun || this.#sending || this.#paused || this.#settle === undefined) return;
    if (this.#at >= postgres.log.length || !postgres.holdsSlot(this)) return;
    this.#sending = true;
    const until = Math.min(postgres.log.length, this.#at + 1 + Math.floor(random() * 6));
    life.after(weather.latency('postgres'), () => {
      this.#sending = false;
      while (this.#settle !== undefined && this.#at < until) {
        const isLast = this.#at === until - 1;
        if (!this.#hear(postgres.log[this.#at], isLast && random() < 0.3)) break;
        this.#at++;
        this.#changes = 0;
        if (this.#standsStill()) return;
      }
      this.send();
    });
  }

  /** True once, where an early cut says so: it goes on by itself. */
  #standsStill(): boolean {
    const cut = this.#earlyCut;
    if (cut === undefined) return false;
    this.#earlyCut = {...cut, after: cut.after - 1};
    if (cut.after !== 0) return false;
    this.#sending = true;
    const {life, postgres, known} = this.#options;
    const until = life.time.now() + cut.stillMs;
    const goOn = (): void => {
      if (life.time.now() < until && !(cut.known === true && postgres.confirmedLsn >= known.until)) {
        life.after(Math.min(20, until - life.time.now()), goOn);
        return;
      }
      this.#sending = false;
      this.send();
    };
    goOn();
    return true;
  }

  /** Within the transaction, when all of it but the last change has come. */
  #isToBreak({endLsn}: CommittedTransaction, sent: readonly RowChange[], at: number): boolean {
    if (at !== sent.length - 1 || sent[at].relation === HEARTBEAT) return false;
    if (this.#cutWithin) return true;
    const cut = this.#earlyCut;
    if (cut === undefined || cut.after >= 0 || sent.length === 1) return false;
    return cut.known !== true || endLsn <= this.#options.known.until;
  }

  /** False: the rest of it has not come yet, or never will. `partly`: what arrives now ends within it, if it has not begun before. */
  #hear(transaction: CommittedTransaction, partly: boolean): boolean {
    const sent = transaction.changes.filter(({published}) => published);
    // The server leaves out transactions in which nothing is published.
    if (sent.length === 0) return true;
    const {listener, random, known} = this.#options;
    const {xid, commitLsn, commitTime, endLsn} = transaction;
    const begins = this.#changes === 0;
    const end = this.#changes + (partly && begins ? 1 + Math.floor(random() * sent.length) : MOST_CHANGES);
    try {
      if (begins) listener.begin({xid: Number(BigInt.asUintN(32, xid)), commitLsn, commitTime});
      for (; this.#changes < sent.length; this.#changes++) {
        if (this.#changes >= end || this.#settle === undefined) return false;
        if (this.#isToBreak(transaction, sent, this.#changes)) {
          this.#cutWithin = false;
          this.#earlyCut = undefined;
          this.abandon();
          return false;
        }
        const {relation, before, after} = sent[this.#changes];
        this.#change(relation, before, after);
      }
      if (this.#changes >= end || this.#settle === undefined) return false;
      if (endLsn > known.until) known.until = endLsn;
      listener.commit({endLsn});
      return true;
    } catch (error) {
      const {postgres} = this.#options;
      this.#fail(error);
      if (postgres.holdsSlot(this)) postgres.releaseSlot();
      return false;
    }
  }

  #change(oid: number, before: Row | undefined, after: Row | undefined): void {
    const {listener} = this.#options;
    const buf = this.#buf;
    const relation = this.#relation(oid);
    if (before !== undefined) writeStreamTuple(buf, 0, before);
    const newAt = before === undefined ? 0 : STREAM_TUPLE_BYTES + 1;
    if (after !== undefined) writeStreamTuple(buf, newAt, after);
    if (before === undefined) listener.insert(relation, buf, newAt);
    else if (after === undefined) listener.delete(relation, buf, 0, true);
    else listener.update(relation, buf, 0, true, newAt);
    buf.fill(0xee);
  }

  #relation(oid: number): ReturnType<typeof streamRelation> {
    let relation = this.#relations.get(oid);
    if (relation === undefined) {
      relation = streamRelation(oid);
      this.#relations.set(oid, relation);
    }
    return relation;
  }
}
