import {describe, expect, test} from 'vitest';
import {poll} from '../../scripts/process/poll.ts';
import type {Lsn} from '../../src/base/lsn.ts';
import type {SnapshotFilter} from '../../src/changes/snapshot-filter.ts';
import type {
  StreamListener,
  StreamRelation,
  TransactionEnd,
  TransactionStart,
} from '../../src/changes/stream-listener.ts';
import {isVisible} from '../../src/changes/visibility.ts';
import type {ChangeSource, OpenStream} from '../../src/sinks/stream-host.ts';
import {rowOf} from '../changes/stream-recorder.ts';
import {codeOf} from '../changes/world.ts';
import type {Row} from './rows.ts';

/** A PostgreSQL, real or not, with the slot and the publication of a cluster. */
export interface LogWorld extends AsyncDisposable {
  readonly heartbeatRelation: number;
  /** A new relation with an integer key `id` and an integer `n`, which is not published. */
  relation(): Promise<number>;
  begin(): Promise<LogTransaction>;
  /** As a sink does before its snapshot: waits for those who write. */
  publish(relation: number): Promise<void>;
  /** In the order of `id`. */
  snapshot(relation: number): Promise<{readonly filter: SnapshotFilter; readonly rows: readonly Row[]}>;
  /** What a worker that begins now reads the log by. Whoever reads the slot is ended. */
  source(): Promise<ChangeSource>;
  beat(): Promise<void>;
  /** Where the log ends. */
  end(): Promise<Lsn>;
  confirmed(): Promise<Lsn>;
  /** Until the answer is called, commits are in the log and have not come back: their transactions count as running. */
  holdCommits(): Promise<() => Promise<void>>;
  /** The server dies without a word and is there again. */
  crash(): Promise<void>;
}

export interface LogTransaction {
  /** A row that is not there yet is inserted; undefined deletes it. */
  write(relation: number, id: number, to: Row | undefined): Promise<void>;
  /** Rows 1 to `count`, more than what lies between a server and a client that does not read. */
  insertMany(relation: number, count: number): Promise<void>;
  /** First phase of two: from now on it belongs to nobody's session. */
  prepare(): Promise<void>;
  commit(): Promise<void>;
  rollback(): Promise<void>;
}

const LIMIT_MS = 60_000;

interface HeardTransaction extends TransactionStart, TransactionEnd {
  readonly relations: readonly number[];
  /** `+id=n`, `-id=n`, `id=n>id=n`. */
  readonly changes: readonly string[];
}

/** Keeps what it hears; `onChange` may disturb. */
class Listener implements StreamListener {
  readonly transactions: HeardTransaction[] = [];
  onChange: () => void = () => undefined;
  /** Of all transactions, also of those that have not ended. */
  heardChanges = 0;
  #open: {start: TransactionStart; relations: number[]; changes: string[]} | undefined;

  begin(start: TransactionStart): void {
    expect(this.#open).toBeUndefined();
    this.#open = {start, relations: [], changes: []};
  }

  insert(relation: StreamRelation, buf: Buffer, newAt: number): void {
    this.#add(relation, `+${show(relation, buf, newAt)}`);
  }

  update(relation: StreamRelation, buf: Buffer, oldAt: number, oldIsWhole: boolean, newAt: number): void {
    // Heartbeats have no whole old rows.
    const before = oldIsWhole ? show(relation, buf, oldAt) : '';
    this.#add(relation, `${before}>${show(relation, buf, newAt)}`);
  }

  delete(relation: StreamRelation, buf: Buffer, oldAt: number): void {
    this.#add(relation, `-${show(relation, buf, oldAt)}`);
  }

  truncate(): void {
    throw new Error('nobody truncates');
  }

  commit(end: TransactionEnd): void {
    const {start, relations, changes} = this.#open!;
    this.#open = undefined;
    this.transactions.push({...start, ...end, relations, changes});
  }

  idle(): void {
    expect(this.#open).toBeUndefined();
  }

  /** Those that have changed one of these relations. */
  of(...relations: readonly number[]): HeardTransaction[] {
    return this.transactions.filter(transaction => transaction.relations.some(oid => relations.includes(oid)));
  }

  #add({oid}: StreamRelation, change: string): void {
    this.#open!.relations.push(oid);
    this.#open!.changes.push(change);
    this.heardChanges++;
    this.onChange();
  }
}

function show(relation: StreamRelation, buf: Buffer, at: number): string {
  const {id, n} = rowOf(relation, buf, at);
  return `${id}=${n}`;
}

interface Reading {
  readonly listener: Listener;
  readonly stream: OpenStream;
}

async function open(source: ChangeSource, start: Lsn): Promise<Reading> {
  const listener = new Listener();
  const stream = await source.open(start, listener);
  stream.ended.catch(() => undefined);
  return {listener, stream};
}

/** A heartbeat that is committed now has been heard. */
async function caughtUp(world: LogWorld, {listener, stream}: Reading): Promise<void> {
  const end = await world.end();
  await world.beat();
  const failed = stream.ended.then(() => Promise.reject(new Error('the stream has ended')));
  failed.catch(() => undefined);
  const heard = poll('the heartbeat in the stream', LIMIT_MS, () => (listener.transactions.at(-1)?.endLsn ?? 0n) > end);
  await Promise.race([heard, failed]);
}

/** All that is committed by now, from `start` on. */
async function read(world: LogWorld, source: ChangeSource, start: Lsn): Promise<Listener> {
  const reading = await open(source, start);
  await caughtUp(world, reading);
  await reading.stream.close();
  return reading.listener;
}

async function published(world: LogWorld): Promise<number> {
  const relation = await world.relation();
  await world.publish(relation);
  return relation;
}

/** Rows 1 to 3, in one transaction. */
async function putThree(world: LogWorld, relation: number): Promise<void> {
  const several = await world.begin();
  for (const id of [1, 2, 3]) await several.write(relation, id, {id, n: id});
  await several.commit();
}

/** A transaction with one change, committed. */
async function put(world: LogWorld, relation: number, id: number, n: number | undefined): Promise<void> {
  const transaction = await world.begin();
  await transaction.write(relation, id, n === undefined ? undefined : {id, n});
  await transaction.commit();
}

const changesOf = (transactions: readonly HeardTransaction[]) => transactions.map(({changes}) => changes);

/** What the sinks' loop and its simulation rely on. The model of a change log is worth as much as this table, which PostgreSQL passes too. */
export function registerLogCases(name: string, openWorld: () => Promise<LogWorld>): void {
  describe(name, () => {
    test('transactions come whole, in the order of their commits, with whole old rows, and aborted ones never', async () => {
      await using world = await openWorld();
      const [a, b] = [await published(world), await published(world)];
      const start = await world.confirmed();
      const [one, two, three] = [await world.begin(), await world.begin(), await world.begin()];
      await one.write(a, 1, {id: 1, n: 10});
      await two.write(a, 2, {id: 2, n: 20});
      await three.write(b, 3, {id: 3, n: 30});
      await two.write(b, 2, {id: 2, n: 21});
      await one.write(a, 1, {id: 1, n: 11});
      await two.commit();
      await three.rollback();
      await one.write(b, 4, {id: 4, n: 12});
      await one.commit();
      const four = await world.begin();
      await four.write(a, 1, {id: 9, n: 40});
      await four.write(a, 2, undefined);
      await four.commit();
      // Of the aborted one nothing is left.
      await put(world, b, 3, 31);
      const heard = await read(world, await world.source(), start);
      expect(changesOf(heard.of(a, b))).toEqual([
        ['+2=20', '+2=21'],
        ['+1=10', '1=10>1=11', '+4=12'],
        ['1=11>9=40', '-2=20'],
        ['+3=31'],
      ]);
    });

    test('what nobody has published is not sent, nor what was written before, and a transaction with nothing else is not mentioned', async () => {
      await using world = await openWorld();
      const [a, b] = [await published(world), await world.relation()];
      const start = await world.confirmed();
      const from = await world.end();
      await put(world, b, 1, 10);
      const nothing = await world.begin();
      await nothing.commit();
      const to = await world.end();
      const both = await world.begin();
      await both.write(b, 2, {id: 2, n: 20});
      await both.write(a, 1, {id: 1, n: 21});
      await both.commit();
      await world.publish(b);
      await put(world, b, 1, 11);
      const {transactions} = await read(world, await world.source(), start);
      expect(transactions.filter(({commitLsn}) => commitLsn >= from && commitLsn < to)).toEqual([]);
      const users = transactions.filter(({relations}) => relations.includes(a) || relations.includes(b));
      expect(changesOf(users)).toEqual([['+1=21'], ['1=10>1=11']]);
    });

    test('a heartbeat is a transaction of its own', async () => {
      await using world = await openWorld();
      const a = await published(world);
      const start = await world.confirmed();
      await world.beat();
      await put(world, a, 1, 10);
      await world.beat();
      const heard = await read(world, await world.source(), start);
      const [{commitLsn, endLsn}] = heard.of(a);
      const beats = heard.of(world.heartbeatRelation);
      expect(beats.every(({relations}) => relations.length === 1)).toBe(true);
      expect(beats.some(beat => beat.endLsn <= commitLsn)).toBe(true);
      expect(beats.some(beat => beat.commitLsn >= endLsn)).toBe(true);
    });

    test('positions and times are the same every time; whoever begins at the beginning of a commit gets it, and behind that he does not', async () => {
      await using world = await openWorld();
      const a = await published(world);
      const start = await world.confirmed();
      for (let n = 1; n <= 12; n++) await put(world, a, 1 + (n % 3), n);
      const source = await world.source();
      const all = (await read(world, source, start)).transactions;
      expect(all.length).toBeGreaterThanOrEqual(12);
      for (const [i, {commitLsn, endLsn}] of all.entries()) {
        expect(endLsn).toBeGreaterThan(commitLsn);
        if (i > 0) expect(commitLsn).toBeGreaterThanOrEqual(all[i - 1].endLsn);
      }
      for (const i of [0, 4, 10]) {
        const {commitLsn, endLsn} = all[i];
        for (const [at, first] of [
          [commitLsn, i],
          [commitLsn + 1n, i + 1],
          [endLsn - 1n, i + 1],
          [endLsn, i + 1],
        ] as const) {
          const {transactions} = await read(world, source, at);
          expect(transactions.slice(0, all.length - first)).toEqual(all.slice(first));
        }
      }
      // Nothing of this has confirmed anything.
      expect(await world.confirmed()).toBe(start);
      expect((await read(world, source, start)).transactions.slice(0, all.length)).toEqual(all);
    });

    test('the slot forgets what is confirmed and nothing else, and never goes back', async () => {
      await using world = await openWorld();
      const a = await published(world);
      const start = await world.confirmed();
      for (const n of [1, 2, 3, 4]) await put(world, a, 1, n);
      const source = await world.source();
      const reading = await open(source, start);
      await caughtUp(world, reading);
      expect(await world.confirmed()).toBe(start);
      const [one, two, three, four] = reading.listener.of(a);
      reading.stream.confirm(two.endLsn);
      reading.stream.confirm(one.endLsn);
      await reading.stream.close();
      await reading.stream.ended;
      expect(await world.confirmed()).toBe(two.endLsn);

      // A worker that begins again may know less than its predecessor has said.
      const again = await open(source, two.endLsn);
      again.stream.confirm(one.endLsn);
      await caughtUp(world, again);
      await again.stream.close();
      expect(again.listener.of(a)).toEqual([three, four]);
      expect(await world.confirmed()).toBe(two.endLsn);

      // The server would begin later than asked; that it is refused frees the slot again.
      expect(await codeOf(source.open(start, new Listener()))).toBe('55000');
      expect((await read(world, source, two.endLsn)).of(a)).toEqual([three, four]);
    });

    test('whoever begins further on than what is confirmed leaves out what is between, for this once', async () => {
      await using world = await openWorld();
      const a = await published(world);
      const start = await world.confirmed();
      for (const n of [1, 2, 3]) await put(world, a, 1, n);
      const source = await world.source();
      const all = (await read(world, source, start)).of(a);
      expect((await read(world, source, all[1].endLsn)).of(a)).toEqual(all.slice(2));
      expect((await read(world, source, await world.end())).of(a)).toEqual([]);
      expect((await read(world, source, start)).of(a)).toEqual(all);
    });

    test('what the listener throws ends the stream with that, frees the slot, and the next one begins with the whole transaction', async () => {
      await using world = await openWorld();
      const a = await published(world);
      const start = await world.confirmed();
      await putThree(world, a);
      const source = await world.source();
      const failure = new Error('no more');
      const {listener, stream} = await open(source, start);
      listener.onChange = () => {
        if (listener.heardChanges > 2) throw failure;
      };
      await expect(stream.ended).rejects.toBe(failure);
      await stream.close();
      expect(listener.of(a)).toEqual([]);
      const next = await poll('the slot to be free', LIMIT_MS, () =>
        read(world, source, start).catch((error: unknown) => {
          expect(error).toMatchObject({code: '55006'});
          return undefined;
        }),
      );
      expect(changesOf(next.of(a))).toEqual([['+1=1', '+2=2', '+3=3']]);
    });

    test('a stream that is paused within a transaction stands still there, goes on there, and may be left there', async () => {
      await using world = await openWorld();
      const a = await published(world);
      const start = await world.confirmed();
      const count = 2000;
      const many = await world.begin();
      await many.insertMany(a, count);
      await many.commit();
      const source = await world.source();
      const {listener, stream} = await open(source, start);
      listener.onChange = () => stream.pause();
      await poll('a change', LIMIT_MS, () => listener.heardChanges > 0);
      // Time for a stream that does not mind: some turns of the server and of the event loop.
      for (let i = 0; i < 10; i++) await world.end();
      expect(listener.of(a)).toEqual([]);
      const heard = listener.heardChanges;
      expect(heard).toBeLessThan(count);
      listener.onChange = () => undefined;
      stream.resume();
      await poll('the rest', LIMIT_MS, () => listener.of(a).length > 0);
      expect(listener.of(a)[0].changes).toHaveLength(count);
      await stream.close();

      const {listener: left, stream: leaving} = await open(source, start);
      left.onChange = () => leaving.pause();
      await poll('a change', LIMIT_MS, () => left.heardChanges > 0);
      await leaving.close();
      await leaving.ended;
      const until = left.heardChanges;
      for (let i = 0; i < 10; i++) await world.end();
      expect(left.heardChanges).toBe(until);
      expect(left.of(a)).toEqual([]);
      expect((await read(world, source, start)).of(a)[0].changes).toHaveLength(count);
    });

    test('a listener that closes the stream hears nothing more, not even the rest of the transaction', async () => {
      await using world = await openWorld();
      const a = await published(world);
      const start = await world.confirmed();
      await putThree(world, a);
      const source = await world.source();
      const {listener, stream} = await open(source, start);
      let closing: Promise<void> | undefined;
      listener.onChange = () => {
        if (listener.heardChanges === 2) closing = stream.close();
      };
      await stream.ended;
      await closing;
      expect([listener.heardChanges, listener.of(a)]).toEqual([2, []]);
      expect(changesOf((await read(world, source, start)).of(a))).toEqual([['+1=1', '+2=2', '+3=3']]);
    });

    test('one reader at a time: a second one is refused, a successor ends the first, which hears nothing that comes later', async () => {
      await using world = await openWorld();
      const a = await published(world);
      const start = await world.confirmed();
      await put(world, a, 1, 10);
      const source = await world.source();
      const first = await open(source, start);
      expect(await codeOf(source.open(start, new Listener()))).toBe('55006');
      await caughtUp(world, first);
      first.stream.pause();
      await put(world, a, 1, 11);
      const successor = await world.source();
      await put(world, a, 1, 12);
      first.stream.resume();
      // What the server has said last, or that nobody answers any more, whichever it notices first.
      expect(['57P01', '08006']).toContain(await codeOf(first.stream.ended));
      expect(changesOf(first.listener.of(a))).not.toContainEqual(['1=11>1=12']);
      expect(changesOf((await read(world, successor, start)).of(a))).toEqual([['+1=10'], ['1=10>1=11'], ['1=11>1=12']]);
    });

    test('a prepared transaction comes where it is committed, and a publication waits for it', async () => {
      await using world = await openWorld();
      const [a, b] = [await published(world), await world.relation()];
      const start = await world.confirmed();
      const [first, second] = [await world.begin(), await world.begin()];
      await first.write(a, 1, {id: 1, n: 10});
      await first.write(b, 1, {id: 1, n: 11});
      await first.prepare();
      await second.write(a, 2, {id: 2, n: 20});
      await second.prepare();
      await put(world, a, 3, 30);
      let isPublished = false;
      const publishing = world.publish(b).then(() => (isPublished = true));
      const reading = await open(await world.source(), start);
      await caughtUp(world, reading);
      expect(changesOf(reading.listener.of(a))).toEqual([['+3=30']]);
      expect(isPublished).toBe(false);
      await second.rollback();
      await first.commit();
      await publishing;
      await caughtUp(world, reading);
      await reading.stream.close();
      expect(changesOf(reading.listener.of(a))).toEqual([['+3=30'], ['+1=10']]);
      expect((await world.snapshot(b)).rows).toEqual([{id: 1, n: 11}]);
    });

    test('a server that dies keeps what is committed or prepared, and goes back no further than what it has written down', async () => {
      await using world = await openWorld();
      const a = await published(world);
      const start = await world.confirmed();
      await put(world, a, 1, 10);
      const [open_, prepared] = [await world.begin(), await world.begin()];
      await open_.write(a, 2, {id: 2, n: 20});
      await prepared.write(a, 3, {id: 3, n: 30});
      await prepared.prepare();
      const reading = await open(await world.source(), start);
      await caughtUp(world, reading);
      const before = reading.listener.of(a);
      const [{endLsn}] = before;
      reading.stream.confirm(endLsn);
      await poll('the confirmation', LIMIT_MS, async () => (await world.confirmed()) === endLsn);
      await world.crash();
      await expect(reading.stream.ended).rejects.toThrow();
      const confirmed = await world.confirmed();
      expect([start, endLsn]).toContain(confirmed);
      await open_.commit().catch(() => undefined);
      await prepared.commit();
      await put(world, a, 2, 21);
      const again = (await read(world, await world.source(), confirmed)).of(a);
      expect(changesOf(again.slice(-2))).toEqual([['+3=30'], ['+2=21']]);
      expect(again.slice(0, -2)).toEqual(confirmed === start ? before : []);
    });

    test('snapshot and stream together show every change once, whoever was writing', async () => {
      await using world = await openWorld();
      const a = await published(world);
      const start = await world.confirmed();
      await put(world, a, 1, 10);
      const [running, prepared, aborted, late] = [
        await world.begin(),
        await world.begin(),
        await world.begin(),
        await world.begin(),
      ];
      await running.write(a, 2, {id: 2, n: 20});
      await aborted.write(a, 3, {id: 3, n: 30});
      await prepared.write(a, 4, {id: 4, n: 40});
      await prepared.prepare();
      await put(world, a, 5, 50);
      await aborted.rollback();
      const {filter, rows} = await world.snapshot(a);
      await late.write(a, 6, {id: 6, n: 60});
      await late.commit();
      await running.commit();
      await put(world, a, 1, 11);
      await prepared.commit();
      expect(rows).toEqual([
        {id: 1, n: 10},
        {id: 5, n: 50},
      ]);
      const heard = (await read(world, await world.source(), start)).of(a);
      const rest = heard.filter(({commitLsn, xid}) => !(commitLsn < filter.until && isVisible(filter, xid)));
      expect(changesOf(heard)).toEqual([['+1=10'], ['+5=50'], ['+6=60'], ['+2=20'], ['1=10>1=11'], ['+4=40']]);
      expect(changesOf(rest)).toEqual([['+6=60'], ['+2=20'], ['1=10>1=11'], ['+4=40']]);
    });

    test('a commit can be heard before its transaction has left: no snapshot shows it, and a publication waits for it', async () => {
      await using world = await openWorld();
      const a = await published(world);
      const reading = await open(await world.source(), await world.confirmed());
      const letGo = await world.holdCommits();
      const transaction = await world.begin();
      await transaction.write(a, 1, {id: 1, n: 10});
      const committing = transaction.commit();
      const heard = await poll('the commit in the stream', LIMIT_MS, () => reading.listener.of(a).at(0));
      const {filter, rows} = await world.snapshot(a);
      expect(rows).toEqual([]);
      expect(heard.commitLsn).toBeLessThan(filter.until);
      expect(isVisible(filter, heard.xid)).toBe(false);
      let isPublished = false;
      const publishing = world.publish(a).then(() => (isPublished = true));
      for (let i = 0; i < 10; i++) await world.end();
      expect(isPublished).toBe(false);
      await letGo();
      await committing;
      await publishing;
      await reading.stream.close();
      const after = await world.snapshot(a);
      expect(after.rows).toEqual([{id: 1, n: 10}]);
      expect(isVisible(after.filter, heard.xid)).toBe(true);
    });
  });
}
