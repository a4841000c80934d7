import {formatLsn, parseLsn, type Lsn} from '../../src/base/lsn.ts';
import type {CommittedData, ModelMessage} from './broker.ts';
import {HEARTBEAT, type CommittedTransaction, type ModelPostgres} from './postgres.ts';
import type {SimulatedSink} from './scenario.ts';

const POSTGRES_EPOCH_MS = 946_684_800_000n;

/** Something that must never be seen was seen. `rule` names it, for whoever shrinks the run that has shown it. */
export class Violation extends Error {
  override readonly name = 'Violation';
  readonly rule: string;
  constructor(rule: string, message: string) {
    super(`${rule}: ${message}`);
    this.rule = rule;
  }
}

interface Recorded {
  readonly version: number;
  readonly endLsn: Lsn;
  readonly time: bigint;
  readonly frontier: bigint;
  readonly filter: string | undefined;
  readonly snapshot: {readonly spool: number; readonly nextBlock: number} | undefined;
}

interface ProgressJson {
  readonly version: number;
  readonly frontier: readonly [number];
  readonly sluice: {
    readonly lsn: string;
    readonly time: string;
    readonly filter?: {
      readonly xmin: string;
      readonly xmax: string;
      readonly running: readonly string[];
      readonly until: string;
    };
    readonly snapshot?: {readonly spool: number; readonly nextBlock: number};
  };
}

/** What a key was after one change; undefined = gone. */
interface State {
  readonly n: number | undefined;
  readonly time: bigint;
}

/** What one sink's topic and progress have shown so far. */
interface Shown {
  readonly sink: SimulatedSink;
  /** What it reads from version to version; the last of them are still to come. */
  readonly relations: number[];
  progress: Recorded | undefined;
  /** What a reader of committed data has who has applied all of it. */
  readonly view: Map<number, number>;
  readonly partitionOf: Map<number, number>;
  /** Set when the snapshot is complete: what it held is not to be sent again, nor what the catalog says is older. */
  seen: ReadonlySet<bigint> | undefined;
  snapshotTime: bigint;
  readonly snapshotRows: Map<number, {n: number; time: bigint}>;
  /** Of the log: all before it is in the topic. */
  covered: number;
  /** Nobody waits for it any more. */
  dropped: boolean;
  /** Whose `open` has come back last. */
  owner: Writer | undefined;
  messages: number;
}

interface Writer {
  readonly transactionalId: string;
  readonly epoch: number;
}

/**
 * Judges every commit of the model broker at the moment in which it becomes certain, against the log of the model PostgreSQL:
 * per key the history once and in order, the right logical time on each message, a progress that is never ahead of its data.
 */
export class Oracle {
  readonly #postgres: ModelPostgres;
  readonly #shown = new Map<string, Shown>();
  /** Ids of sinks by the transactional ids that they have opened. */
  readonly #writers = new Map<string, string>();
  readonly #times: bigint[] = [];
  #clock: bigint | undefined;

  constructor(postgres: ModelPostgres) {
    this.#postgres = postgres;
  }

  expect(sink: SimulatedSink): void {
    this.#shown.set(sink.id, {
      sink,
      relations: [sink.relation],
      progress: undefined,
      view: new Map(),
      partitionOf: new Map(),
      seen: undefined,
      snapshotTime: 0n,
      snapshotRows: new Map(),
      covered: 0,
      dropped: false,
      owner: undefined,
      messages: 0,
    });
  }

  goesOver(sink: string, relation: number): void {
    this.#shown.get(sink)!.relations.push(relation);
  }

  forget(sink: string): void {
    this.#shown.get(sink)!.dropped = true;
  }

  get messages(): number {
    return [...this.#shown.values()].reduce((sum, {messages}) => sum + messages, 0);
  }

  /** `open` has come back: from now on nobody who has opened earlier may commit. */
  opened(sink: string, writer: Writer): void {
    this.#writers.set(writer.transactionalId, sink);
    const shown = this.#shown.get(sink)!;
    // A process that stood still may hear of its own opening after that of its successor.
    const isLate = shown.owner?.transactionalId === writer.transactionalId && shown.owner.epoch > writer.epoch;
    if (!isLate) shown.owner = writer;
  }

  /** Every sink has committed a progress at or behind `lsn`. */
  isLevel(lsn: Lsn): boolean {
    return [...this.#shown.values()].every(
      ({progress, dropped, relations}) =>
        dropped ||
        (progress !== undefined &&
          progress.snapshot === undefined &&
          progress.endLsn >= lsn &&
          progress.version === relations.length - 1),
    );
  }

  confirmed(lsn: Lsn): void {
    for (const {sink, progress, dropped} of this.#shown.values()) {
      if (!dropped && progress !== undefined && progress.endLsn < lsn) {
        throw new Violation(
          'confirm behind all',
          `${formatLsn(lsn)} is confirmed, ${sink.id} is at ${formatLsn(progress.endLsn)}`,
        );
      }
    }
    if (!this.#postgres.clockRecords.has(lsn)) {
      throw new Violation('record the time before confirming it', `${formatLsn(lsn)} has no recorded time`);
    }
  }

  committed({transactionalId, epoch, messages}: CommittedData): void {
    const shown = this.#shown.get(this.#writers.get(transactionalId) ?? '');
    if (shown?.owner === undefined) throw new Violation('one owner', `${transactionalId} commits before it is open`);
    const {sink, owner} = shown;
    if (transactionalId !== owner.transactionalId || epoch < owner.epoch) {
      throw new Violation(
        'one owner',
        `${sink.id}: ${transactionalId}, epoch ${epoch}, commits after ${owner.transactionalId}, epoch ${owner.epoch}, had opened`,
      );
    }
    // A late copy of a request to add partitions has begun it.
    if (messages.length === 0) return;
    const records = messages.filter(({topic}) => topic === 'progress');
    if (records.length !== 1)
      throw new Violation('progress with the data', `${sink.id}: ${records.length} progress records`);
    const progress = readProgress(records[0].message);
    const before = shown.progress;
    const data = messages.filter(({topic}) => topic === `data-${sink.id}`);
    if (data.length + 1 !== messages.length) throw new Violation('topics', `${sink.id} writes to another topic`);
    shown.messages += data.length;
    if (before === undefined) {
      if (data.length > 0) throw new Violation('no data before a proved beginning', `${sink.id} begins with data`);
    } else {
      if (progress.endLsn < before.endLsn || progress.frontier < before.frontier) {
        throw new Violation('progress goes forward', `${sink.id}: from ${describe(before)} to ${describe(progress)}`);
      }
      if (progress.version !== before.version) this.#goOver(shown, before, progress, data);
      else if (before.snapshot !== undefined) this.#snapshotPart(shown, progress, data);
      else this.#streamPart(shown, before, progress, data);
    }
    shown.progress = progress;
  }

  /** Whoever has applied the topic has the old rows for keys that do not change; what is before a change is the new relation's. */
  #goOver(shown: Shown, before: Recorded, progress: Recorded, data: CommittedData['messages']): void {
    const {sink, relations, view} = shown;
    const {version} = progress;
    if (data.length > 0 || progress.endLsn !== before.endLsn)
      throw new Violation('cut-over', `${sink.id} goes over with more than its progress`);
    if (version !== before.version + 1 || version >= relations.length)
      throw new Violation('cut-over', `${sink.id} goes over from version ${before.version} to ${version}`);
    if (before.snapshot !== undefined || before.filter !== undefined)
      throw new Violation('cut-over', `${sink.id} goes over before the end of its snapshot`);
    view.clear();
    for (const {endLsn, changes} of this.#postgres.log) {
      if (endLsn > progress.endLsn) break;
      for (const {relation, before: old, after} of changes) {
        if (relation !== relations[version]) continue;
        if (old !== undefined) view.delete(old.id);
        if (after !== undefined) view.set(after.id, after.n);
      }
    }
  }

  #snapshotPart(shown: Shown, progress: Recorded, data: CommittedData['messages']): void {
    const {sink} = shown;
    for (const {partition, message} of data) {
      const {id, after, before, time} = read(message, sink);
      this.#checkPartition(shown, id, partition);
      if (after === undefined || before !== undefined)
        throw new Violation('snapshot', `${sink.id}: ${id} is no insertion`);
      if (shown.snapshotRows.has(id))
        throw new Violation('exactly once', `${sink.id}: row ${id} of the snapshot came twice`);
      shown.snapshotRows.set(id, {n: after, time});
    }
    if (progress.snapshot !== undefined) return;
    const seen = this.#seenBy(shown, progress);
    const rows = new Map<number, number>();
    for (const {xid, changes} of this.#postgres.log) {
      if (!seen.has(xid)) continue;
      for (const {relation, before, after} of changes) {
        if (relation !== sink.relation) continue;
        if (before !== undefined) rows.delete(before.id);
        if (after !== undefined) rows.set(after.id, after.n);
      }
    }
    if (sink.withSnapshot) {
      if (rows.size !== shown.snapshotRows.size) {
        throw new Violation('snapshot', `${sink.id}: ${shown.snapshotRows.size} rows instead of ${rows.size}`);
      }
      for (const [id, {n, time}] of shown.snapshotRows) {
        if (rows.get(id) !== n)
          throw new Violation('snapshot', `${sink.id}: row ${id} is ${n} and not ${rows.get(id)}`);
        if (time !== progress.time)
          throw new Violation('logical time', `${sink.id}: row ${id} of the snapshot has ${time}`);
      }
    } else if (shown.snapshotRows.size > 0) throw new Violation('snapshot', `${sink.id} shall have none`);
    for (const [id, n] of rows) shown.view.set(id, n);
    shown.seen = seen;
    shown.snapshotTime = progress.time;
  }

  #seenBy({sink}: Shown, {filter}: Recorded): ReadonlySet<bigint> {
    for (const [known, seen] of this.#postgres.seen) {
      const {xmin, xmax, running} = known.visible;
      if (filter === `${xmin}:${xmax}:${running.join(',')}:${formatLsn(known.until)}`) return seen;
    }
    throw new Violation('snapshot', `${sink.id} remembers a snapshot that nobody took: ${filter}`);
  }

  #streamPart(shown: Shown, before: Recorded, progress: Recorded, data: CommittedData['messages']): void {
    const {sink, view} = shown;
    const reads = shown.relations[progress.version];
    const histories = new Map<number, State[]>();
    const add = (id: number, state: State): void => {
      const history = histories.get(id);
      if (history === undefined) histories.set(id, [state]);
      else history.push(state);
    };
    for (; shown.covered < this.#postgres.log.length; shown.covered++) {
      const transaction = this.#postgres.log[shown.covered];
      if (transaction.endLsn > progress.endLsn) break;
      if (shown.seen!.has(transaction.xid)) continue;
      const clock = this.#timeOf(shown.covered);
      const time = clock > shown.snapshotTime ? clock : shown.snapshotTime;
      for (const change of transaction.changes) {
        if (change.relation !== reads) continue;
        const moved = change.before !== undefined && change.before.id !== change.after?.id;
        if (moved) add(change.before.id, {n: undefined, time});
        if (change.after !== undefined) add(change.after.id, {n: change.after.n, time});
      }
    }
    const reached = new Map<number, number>();
    for (const {partition, message} of data) {
      const {id, before: old, after, time} = read(message, sink);
      this.#checkPartition(shown, id, partition);
      if (time < before.frontier) {
        throw new Violation(
          'frontier',
          `${sink.id}: a change of ${time} after everything before ${before.frontier} was proved`,
        );
      }
      const history = histories.get(id) ?? [];
      const last = reached.get(id) ?? -1;
      let at = last + 1;
      while (at < history.length && (history[at].n !== after || history[at].time !== time)) at++;
      const what = `${sink.id}: ${id} = ${after ?? 'gone'} at ${time}`;
      if (at === history.length)
        throw new Violation(
          'exactly once',
          `${what} is no change since ${describe(before)} up to ${describe(progress)}`,
        );
      this.#checkLeftOut(shown, id, history, last + 1, at);
      if (sink.envelope === 'debezium' && old !== view.get(id)) {
        throw new Violation(
          'before image',
          `${what} was ${view.get(id) ?? 'not there'} before and not ${old ?? 'not there'}`,
        );
      }
      reached.set(id, at);
      if (after === undefined) view.delete(id);
      else view.set(id, after);
    }
    for (const [id, history] of histories)
      this.#checkLeftOut(shown, id, history, (reached.get(id) ?? -1) + 1, history.length);
  }

  /** Only what a later change of the same time has made nothing of may be missing. */
  #checkLeftOut({sink, view}: Shown, id: number, history: readonly State[], from: number, to: number): void {
    for (let i = from; i < to; i++) {
      const {n, time} = history[i];
      if (history[i + 1]?.time === time) continue;
      if (n === undefined && view.get(id) === undefined) continue;
      throw new Violation('exactly once', `${sink.id}: ${id} = ${n ?? 'gone'} at ${time} is missing`);
    }
  }

  #checkPartition({sink, partitionOf}: Shown, id: number, partition: number): void {
    const before = partitionOf.get(id);
    if (before !== undefined && before !== partition) throw new Violation('partition', `${sink.id}: key ${id} moved`);
    partitionOf.set(id, partition);
  }

  /** The clock as DESIGN has it, from the first recorded value on, over what the log sends. */
  #timeOf(index: number): bigint {
    const {log, clockRecords} = this.#postgres;
    for (let i = this.#times.length; i <= index; i++) {
      if (this.#clock === undefined) {
        const [first] = clockRecords.values();
        if (log[i].endLsn > first.endLsn) this.#clock = first.clock;
      }
      if (this.#clock !== undefined) this.#clock = nextTime(this.#clock, log[i]);
      this.#times.push(this.#clock ?? 0n);
    }
    return this.#times[index];
  }
}

function nextTime(clock: bigint, {changes, commitTime}: CommittedTransaction): bigint {
  const first = changes.find(({published}) => published);
  if (first === undefined) return clock;
  const millis = POSTGRES_EPOCH_MS + commitTime / 1000n;
  if (millis > clock) return millis;
  return first.relation === HEARTBEAT ? clock + 1n : clock;
}

function readProgress({value}: ModelMessage): Recorded {
  const {frontier, version, sluice} = JSON.parse(String(value)) as ProgressJson;
  const {filter, snapshot, lsn, time} = sluice;
  return {
    version,
    endLsn: parseLsn(lsn),
    time: BigInt(time),
    frontier: BigInt(frontier[0]),
    filter: filter && `${filter.xmin}:${filter.xmax}:${filter.running.join(',')}:${filter.until}`,
    snapshot,
  };
}

interface Read {
  readonly id: number;
  readonly before: number | undefined;
  readonly after: number | undefined;
  readonly time: bigint;
}

function read({key, value, headers}: ModelMessage, sink: SimulatedSink): Read {
  const {id} = JSON.parse(String(key)) as {id: number};
  const time = BigInt(String(headers?.[0]?.['materialize-timestamp']));
  if (sink.envelope === 'upsert') {
    const row = value === null ? undefined : (JSON.parse(String(value)) as {id: number; n: number});
    if (row !== undefined && row.id !== id) throw new Violation('key', `${sink.id}: key ${id} on row ${row.id}`);
    return {id, before: undefined, after: row?.n, time};
  }
  const {before, after} = JSON.parse(String(value)) as Record<'before' | 'after', {id: number; n: number} | null>;
  return {id, before: before?.n, after: after?.n, time};
}

function describe({endLsn, time, frontier}: Recorded): string {
  return `${formatLsn(endLsn)} (time ${time}, frontier ${frontier})`;
}
