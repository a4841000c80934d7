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

const BLOCK_ROWS = 8;

/** All connections of one worker to PostgreSQL; a successor, or the server's end, ends all of them. */
export class PostgresSession {
  readonly #options: SessionOptions;
  readonly #connection: Connection;
  #pending = new Set<(error: SqlError) => void>();
  #streams = new Set<ModelStream>();
  #ended: SqlError | undefined;
  readonly #onEnd: () => void;

  constructor(options: SessionOptions, onEnd: () => void) {
    this.#options = options;
    this.#connection = new Connection(options.life, options.weather);
    this.#onEnd = onEnd;
  }

  /** The server ends it. The process hears of it when it is awake. */
  end(): void {
    if (this.#ended !== undefined) return;
    this.#ended = new SqlError('57P01', 'terminating connection due to administrator command');
    const {life, postgres} = this.#options;
    for (const stream of this.#streams) if (postgres.holdsSlot(stream)) postgres.releaseSlot();
    const pending = this.#pending;
    this.#pending = new Set();
    life.run(() => {
      for (const reject of pending) reject(this.#ended!);
      this.#onEnd();
    });
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
    if (this.#ended !== undefined) throw this.#ended;
    let give: (error: SqlError) => void = () => undefined;
    const ended = new Promise<never>((_, reject) => {
      give = reject;
    });
    ended.catch(() => undefined);
    this.#pending.add(give);
    try {
      // What arrives after the end is not carried out.
      const served = this.#connection.callLater<T>('postgres', answer => {
        if (this.#ended === undefined) serve(answer);
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
    const stream = new ModelStream(this.#options, listener);
    await this.ask(() => {
      const at = postgres.startReplication(start, stream, () => stream.send());
      this.#streams.add(stream);
      if (postgres.confirmedLsn > start)
        throw new SqlError('55000', 'the slot has been moved forward by somebody else');
      stream.begin(at);
    });
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
  readonly #options: SessionOptions;
  readonly #listener: StreamListener;
  readonly #relations = new Map<number, ReturnType<typeof streamRelation>>();
  readonly #buf = Buffer.alloc(2 * STREAM_TUPLE_BYTES + 1);
  #settle: {resolve: () => void; reject: (error: unknown) => void} | undefined;
  #at = 0;
  #begun = false;
  #paused = false;
  #sending = false;
  #cutWithin = false;
  /** What is left of it; `after` counts down. */
  #earlyCut: EarlyCut | undefined;

  constructor(options: SessionOptions, listener: StreamListener) {
    this.#options = options;
    this.#listener = listener;
    this.ended = new Promise((resolve, reject) => {
      this.#settle = {resolve, reject};
    });
    this.ended.catch(() => undefined);
  }

  begin(at: number): void {
    this.#at = at;
    this.#begun = true;
    this.#earlyCut = this.#options.weather.takeEarlyCut();
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
    life.time.after(weather.latency('postgres'), () => {
      if (postgres.holdsSlot(this)) postgres.confirm(lsn);
    });
  }

  async close(): Promise<void> {
    const {life, postgres} = this.#options;
    this.#settle?.resolve();
    this.#settle = undefined;
    await life.clock.sleep(1);
    if (postgres.holdsSlot(this)) postgres.releaseSlot();
  }

  readonly sessionEnded = (error: SqlError): void => {
    this.#options.life.run(() => this.#fail(error));
  };

  cut(within: boolean): boolean {
    if (this.#settle === undefined || !this.#begun) return false;
    if (within) this.#cutWithin = true;
    else this.#break();
    return true;
  }

  #break(): void {
    const {postgres} = this.#options;
    if (postgres.holdsSlot(this)) postgres.releaseSlot();
    else this.#fail(new SqlError('08006', 'the connection was lost'));
  }

  #fail(error: unknown): void {
    this.#settle?.reject(error);
    this.#settle = undefined;
  }

  send(): void {
    const {life, postgres, weather, random} = this.#options;
    if (!this.#begun || this.#sending || this.#paused || this.#at >= postgres.log.length) return;
    this.#sending = true;
    const count = 1 + Math.floor(random() * 6);
    life.after(weather.latency('postgres'), () => {
      this.#sending = false;
      for (let i = 0; i < count && this.#settle !== undefined && this.#at < postgres.log.length; i++) {
        this.#hear(postgres.log[this.#at++]);
        if (this.#standsStill()) return;
      }
      if (this.#settle !== undefined) this.send();
    });
  }

  /** True once, where an early cut says so: it goes on by itself. */
  #standsStill(): boolean {
    const cut = this.#earlyCut;
    if (cut === undefined) return false;
    this.#earlyCut = {...cut, after: cut.after - 1};
    if (cut.after !== 0) return false;
    this.#sending = true;
    this.#options.life.after(cut.stillMs, () => {
      this.#sending = false;
      this.send();
    });
    return true;
  }

  #isToBreak(sent: readonly RowChange[], at: number): boolean {
    if (at !== sent.length - 1 || sent[at].relation === HEARTBEAT) return false;
    return this.#cutWithin || (sent.length > 1 && this.#earlyCut !== undefined && this.#earlyCut.after < 0);
  }

  #hear(transaction: CommittedTransaction): void {
    const sent = transaction.changes.filter(({published}) => published);
    // The server leaves out transactions in which nothing is published.
    if (sent.length === 0) return;
    const listener = this.#listener;
    const {xid, commitLsn, commitTime, endLsn} = transaction;
    try {
      listener.begin({xid: Number(BigInt.asUintN(32, xid)), commitLsn, commitTime});
      for (const [i, change] of sent.entries()) {
        if (this.#isToBreak(sent, i)) {
          this.#cutWithin = false;
          this.#earlyCut = undefined;
          this.#break();
          return;
        }
        this.#change(change.relation, change.before, change.after);
      }
      listener.commit({endLsn});
    } catch (error) {
      const {postgres} = this.#options;
      this.#fail(error);
      if (postgres.holdsSlot(this)) postgres.releaseSlot();
    }
  }

  #change(oid: number, before: Row | undefined, after: Row | undefined): void {
    const buf = this.#buf;
    const relation = this.#relation(oid);
    if (before !== undefined) writeStreamTuple(buf, 0, before);
    const newAt = before === undefined ? 0 : STREAM_TUPLE_BYTES + 1;
    if (after !== undefined) writeStreamTuple(buf, newAt, after);
    if (before === undefined) this.#listener.insert(relation, buf, newAt);
    else if (after === undefined) this.#listener.delete(relation, buf, 0, true);
    else this.#listener.update(relation, buf, 0, true, newAt);
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
