import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {afterAll, beforeEach, describe, expect, test} from 'vitest';
import type {SinkDefinition} from '../catalog/definitions.ts';
import {LogicalClock} from '../changes/logical-clock.ts';
import type {SnapshotFilter} from '../changes/snapshot-filter.ts';
import type {StreamRelation} from '../changes/stream-listener.ts';
import {SinkIntake, type Slice} from './intake.ts';
import {Router} from './router.ts';
import type {Progress} from './target.ts';

const directory = mkdtempSync(join(tmpdir(), 'sluice-intake-'));
afterAll(() => rmSync(directory, {recursive: true}));

const HEARTBEAT = 99;
/** Microseconds since 2000 of a millisecond since 1970. */
const at = (ms: number) => (BigInt(ms) - 946_684_800_000n) * 1000n;
const T0 = 1_800_000_000_000;

const text = {kind: 'base', oid: 25, name: 'text', schema: 'pg_catalog', binary: true} as const;
const definition = {
  id: 'u1',
  name: 's',
  cluster: 'u1',
  relation: 7,
  relationName: 't',
  columns: ['id', 'v'].map((name, i) => ({name, attnum: i + 1, type: text, typmod: -1, notNull: i === 0})),
  key: [0],
  keyEnforced: true,
  envelope: 'upsert',
  snapshot: true,
  version: 0,
  committedOnce: true,
} as unknown as SinkDefinition;

const relation: StreamRelation = {
  oid: 7,
  schema: 'public',
  name: 't',
  replicaIdentity: 'f',
  columns: ['id', 'v'].map(name => ({name, typeOid: 25, typmod: -1, identity: true})),
};
const heartbeat: StreamRelation = {...relation, oid: HEARTBEAT, name: 'heartbeat'};

/** A tuple in the framing of pgoutput, as the stream has it. */
function tuple(fields: readonly (string | null)[]): Buffer {
  const parts: Buffer[] = [Buffer.from([0, fields.length])];
  for (const field of fields) {
    if (field === null) parts.push(Buffer.from('n'));
    else {
      const value = Buffer.from(field);
      const length = Buffer.alloc(4);
      length.writeInt32BE(value.length);
      parts.push(Buffer.from('b'), length, value);
    }
  }
  return Buffer.concat(parts);
}

function progress(endLsn: bigint, more: Partial<Progress> = {}): Progress {
  return {endLsn, time: 0n, timeClosed: false, version: 0, system: 1n, timeline: 1, ...more};
}

/** A stream of which the test says each transaction. */
class Stream {
  readonly failures: unknown[] = [];
  boundaries = 0;
  readonly router: Router;

  constructor(start = 0n) {
    this.router = new Router(
      {
        clock: new LogicalClock(BigInt(T0)),
        heartbeatRelation: HEARTBEAT,
        onFailure: (_, error) => this.failures.push(error),
        onBoundary: () => this.boundaries++,
      },
      {endLsn: start, clock: BigInt(T0)},
    );
  }

  attach(from: Progress): SinkIntake {
    const intake = new SinkIntake({
      definition,
      progress: from,
      currentNames: new Map([
        [1, 'id'],
        [2, 'v'],
      ]),
      spillDirectory: directory,
      sliceBytes: 1 << 20,
    });
    this.router.attach(intake);
    return intake;
  }

  /** Commits at `commit`, ends ten behind it. */
  insert(commit: bigint, ms: number, id: string, xid = 1): void {
    this.router.begin({xid, commitLsn: commit, commitTime: at(ms)});
    this.router.insert(relation, tuple([id, `v${id}`]), 0);
    this.router.commit({endLsn: commit + 10n});
  }

  beat(commit: bigint, ms: number): void {
    this.router.begin({xid: 1, commitLsn: commit, commitTime: at(ms)});
    this.router.update(heartbeat, tuple(['x', 'y']), -1, false, 0);
    this.router.commit({endLsn: commit + 10n});
  }
}

const rows = (slice: Slice) => slice.changes.take(slice.time).count;
const times = (intake: SinkIntake) => intake.queue.map(slice => Number(slice.time) - T0);

describe('slices', () => {
  let stream: Stream;
  let intake: SinkIntake;
  beforeEach(() => {
    stream = new Stream();
    intake = stream.attach(progress(0n));
  });

  test('transactions of one millisecond share a slice, which closes when a later time is read', () => {
    stream.insert(100n, T0 + 5, 'a');
    stream.insert(200n, T0 + 5, 'b');
    expect(intake.queue).toHaveLength(0);
    stream.insert(300n, T0 + 6, 'c');
    expect(times(intake)).toEqual([5]);
    expect(rows(intake.queue[0])).toBe(2);
    expect(intake.queue[0]).toMatchObject({timeClosed: true, end: {endLsn: 210n, clock: BigInt(T0 + 5)}});
  });

  test('a commit timestamp that runs backwards does not open an earlier time', () => {
    stream.insert(100n, T0 + 5, 'a');
    stream.insert(200n, T0 + 3, 'b');
    stream.beat(300n, T0 + 3);
    expect(times(intake)).toEqual([5]);
    expect(rows(intake.queue[0])).toBe(2);
    expect(intake.received).toEqual({endLsn: 310n, clock: BigInt(T0 + 6)});
  });

  test('a heartbeat closes the time of what came before it', () => {
    stream.insert(100n, T0 + 5, 'a');
    stream.beat(200n, T0 + 5);
    expect(times(intake)).toEqual([5]);
    expect(intake.hasOpenSlice).toBe(false);
  });

  test('a cut leaves the time open, and what follows of it comes in another slice', () => {
    stream.insert(100n, T0 + 5, 'a');
    intake.cut();
    expect(intake.queue[0].timeClosed).toBe(false);
    stream.insert(200n, T0 + 5, 'b');
    stream.beat(300n, T0 + 9);
    expect(times(intake)).toEqual([5, 5]);
    expect(intake.queue[1].timeClosed).toBe(true);
  });

  test('memory that is used again serves the shape of now: a column that was added in between is left out', () => {
    stream.insert(100n, T0 + 5, 'a');
    intake.cut();
    intake.release(intake.queue.shift()!);
    const wider = {...relation, columns: [...relation.columns, {...relation.columns[0], name: 'added'}]};
    stream.router.begin({xid: 1, commitLsn: 200n, commitTime: at(T0 + 6)});
    stream.router.insert(wider, tuple(['b', 'vb', 'more']), 0);
    stream.router.commit({endLsn: 210n});
    intake.cut();
    const [{changes, time}] = intake.queue;
    const batch = changes.take(time);
    expect(batch.bytes.subarray(batch.after[0]).toString('latin1')).toContain(tuple(['b', 'vb']).toString('latin1'));
    expect(intake.queuedBytes).toBe(intake.queue[0].bytes);
    intake.release(intake.queue.shift()!);
    expect(intake.queuedBytes).toBe(0);
  });

  test('a transaction cannot be cut', () => {
    stream.router.begin({xid: 1, commitLsn: 100n, commitTime: at(T0 + 5)});
    stream.router.insert(relation, tuple(['a', '1']), 0);
    intake.cut();
    expect(intake.queue).toHaveLength(0);
    expect(intake.isTorn).toBe(true);
    stream.router.commit({endLsn: 110n});
    expect(intake.isTorn).toBe(false);
  });
});

describe('what the sink has already', () => {
  test('is dropped by the end of the transaction, and only that', () => {
    const stream = new Stream();
    const intake = stream.attach(progress(210n));
    stream.insert(100n, T0 + 1, 'a');
    expect(intake.received).toBeUndefined();
    stream.insert(200n, T0 + 2, 'b');
    expect(intake.received).toEqual({endLsn: 210n, clock: BigInt(T0 + 2)});
    // Its commit begins where the progress ends.
    stream.insert(210n, T0 + 3, 'c');
    stream.beat(300n, T0 + 9);
    expect(times(intake)).toEqual([3]);
    expect(rows(intake.queue[0])).toBe(1);
  });

  test('is nothing that a stream which breaks off in it says of the next one', () => {
    const stream = new Stream();
    const intake = stream.attach(progress(210n));
    stream.router.begin({xid: 1, commitLsn: 200n, commitTime: at(T0 + 2)});
    stream.router.insert(relation, tuple(['b', 'vb']), 0);
    // The log was confirmed meanwhile, so the next stream begins behind what was being skipped.
    const next = new Stream(210n);
    next.router.attach(intake);
    next.insert(210n, T0 + 3, 'c');
    next.beat(300n, T0 + 9);
    expect(intake.queue.map(rows)).toEqual([1]);
  });

  test('is dropped where the snapshot has shown it, until the stream has passed the snapshot', () => {
    const stream = new Stream();
    const filter: SnapshotFilter = {visible: {xmin: 10n, xmax: 20n, running: [12n]}, until: 400n};
    const intake = stream.attach(progress(0n, {filter, time: BigInt(T0 + 50)}));
    stream.insert(100n, T0 + 1, 'a', 11);
    expect(intake.hasOpenSlice).toBe(false);
    stream.insert(200n, T0 + 2, 'b', 12);
    stream.insert(300n, T0 + 3, 'c', 25);
    expect(intake.filter).toBeDefined();
    // A visible id behind `until` is another transaction.
    stream.insert(400n, T0 + 60, 'd', 11);
    expect(intake.filter).toBeUndefined();
    stream.beat(500n, T0 + 70);
    // Nothing is earlier than the snapshot.
    expect(times(intake)).toEqual([50, 60]);
    expect(intake.queue.map(rows)).toEqual([2, 1]);
    expect(intake.queue[0].filter).toBe(filter);
  });

  test('a slice that ends within the reach of the snapshot remembers it, also when it is queued only behind it', () => {
    const stream = new Stream();
    const filter: SnapshotFilter = {visible: {xmin: 10n, xmax: 20n, running: [15n]}, until: 300n};
    const intake = stream.attach(progress(0n, {filter}));
    stream.insert(100n, T0, 'a', 15);
    // Nothing of ours, and of the same time.
    stream.router.begin({xid: 30, commitLsn: 300n, commitTime: at(T0)});
    stream.router.commit({endLsn: 310n});
    expect(intake.filter).toBeUndefined();
    stream.insert(400n, T0 + 5, 'b', 31);
    expect(intake.queue).toMatchObject([{end: {endLsn: 110n}, filter}]);
  });
});

describe('an intake that cannot go on', () => {
  test('is let go of; the others and the stream are not touched', () => {
    const stream = new Stream();
    const broken = stream.attach(progress(0n));
    stream.router.begin({xid: 1, commitLsn: 100n, commitTime: at(T0)});
    stream.router.insert({...relation, columns: relation.columns.slice(0, 1)}, tuple(['a']), 0);
    stream.router.commit({endLsn: 110n});
    expect(stream.failures).toMatchObject([{code: 'SL001'}]);
    expect(stream.router.intakes.has(broken)).toBe(false);
    expect(stream.boundaries).toBe(1);
  });

  test('because the old row is not whole', () => {
    const stream = new Stream();
    stream.attach(progress(0n));
    stream.router.begin({xid: 1, commitLsn: 100n, commitTime: at(T0)});
    stream.router.delete(relation, tuple(['a', null]), 0, false);
    expect(stream.failures).toMatchObject([{code: 'SL004'}]);
  });

  test('because the log says TRUNCATE', () => {
    const stream = new Stream();
    stream.attach(progress(0n));
    stream.router.begin({xid: 1, commitLsn: 100n, commitTime: at(T0)});
    stream.router.truncate([relation]);
    expect(stream.failures).toMatchObject([{code: 'SL005'}]);
  });

  test('because DDL changed rows that the log does not send', () => {
    const stream = new Stream();
    stream.attach(progress(50n));
    for (const commitLsn of [40n, 100n]) {
      stream.router.begin({xid: 1, commitLsn, commitTime: at(T0)});
      stream.router.changedUnseen(relation.oid, {how: 'attach'});
      stream.router.commit({endLsn: commitLsn + 10n});
      expect(stream.failures).toMatchObject(commitLsn === 40n ? [] : [{code: 'SL007'}]);
    }
  });

  const text = {typeOid: 25, typmod: -1};
  test.each([
    ['values', [{attnum: 2, ...text}], 'SL007'],
    [
      'the type of a column',
      [
        {attnum: 1, ...text},
        {attnum: 2, typeOid: 23, typmod: -1},
      ],
      'SL002',
    ],
    ['a column that the sink does not write', [{attnum: 3, ...text}], undefined],
  ])('because ALTER TABLE has rewritten %s', (_, columns, code) => {
    const stream = new Stream();
    stream.attach(progress(50n));
    stream.router.begin({xid: 1, commitLsn: 100n, commitTime: at(T0)});
    stream.router.changedUnseen(relation.oid, {how: 'rewrite', columns});
    expect(stream.failures).toMatchObject(code === undefined ? [] : [{code}]);
  });

  test('but not by a shape from before its progress', () => {
    const stream = new Stream();
    const intake = stream.attach(progress(500n));
    stream.router.begin({xid: 1, commitLsn: 100n, commitTime: at(T0)});
    stream.router.insert({...relation, columns: relation.columns.slice(0, 1)}, tuple(['a']), 0);
    stream.router.commit({endLsn: 110n});
    stream.insert(600n, T0 + 1, 'b');
    expect(stream.failures).toEqual([]);
    expect(intake.hasOpenSlice).toBe(true);
  });
});

test('a stall names the relation as it is called by now', () => {
  const stream = new Stream();
  const intake = stream.attach(progress(0n));
  intake.rename('renamed');
  stream.router.begin({xid: 1, commitLsn: 100n, commitTime: at(T0)});
  stream.router.changedUnseen(relation.oid, {how: 'detach'});
  expect(stream.failures).toMatchObject([{code: 'SL007', message: expect.stringContaining('"renamed"')}]);
});
