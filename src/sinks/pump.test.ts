import {mkdtempSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {setImmediate as turn} from 'node:timers/promises';
import {afterAll, beforeEach, describe, expect, test} from 'vitest';
import type {SinkDefinition} from '../catalog/definitions.ts';
import type {StreamRelation} from '../changes/stream-listener.ts';
import {SinkIntake} from './intake.ts';
import {SinkPump, type CatchUp} from './pump.ts';
import type {ChangeBatch, Progress, Target} from './target.ts';

const directory = mkdtempSync(join(tmpdir(), 'sluice-pump-'));
afterAll(() => rmSync(directory, {recursive: true}));

const text = {kind: 'base', oid: 25, name: 'text', schema: 'pg_catalog', binary: true} as const;
const definition = {
  id: 'u1',
  relation: 7,
  relationName: 't',
  columns: [{name: 'id', attnum: 1, type: text, typmod: -1, notNull: true}],
  key: [0],
} as unknown as SinkDefinition;
const relation: StreamRelation = {
  oid: 7,
  schema: 'public',
  name: 't',
  replicaIdentity: 'f',
  columns: [{name: 'id', typeOid: 25, typmod: -1, identity: true}],
};
const START: Progress = {endLsn: 0n, time: 1n, timeClosed: false, version: 0, system: 1n, timeline: 1};

/** Takes everything and remembers what was asked of it. */
class Recorder implements Target {
  readonly transactionLimitMs = 60_000;
  readonly committed: Progress[] = [];
  rows = 0;
  onCommit: (() => void) | undefined;

  open(): Promise<Progress | undefined> {
    return Promise.resolve(START);
  }

  write(batch: ChangeBatch): undefined {
    this.rows += batch.count;
  }

  commit(progress: Progress): Promise<void> {
    this.committed.push(progress);
    this.onCommit?.();
    return Promise.resolve();
  }

  written(): {messages: number; bytes: number} {
    return {messages: this.rows, bytes: this.rows};
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

let now = 0;
/** Milliseconds of the sleeps that nobody has ended yet, with what ends them. */
let sleeps: {ms: number; end: () => void}[] = [];
const sleep = (ms: number): Promise<void> => new Promise(end => sleeps.push({ms, end}));
let target: Recorder;
let intake: SinkIntake;
let pump: SinkPump;

function beginAgain(progress = START): void {
  now = 0;
  sleeps = [];
  target = new Recorder();
  const currentNames = new Map([[1, 'id']]);
  intake = new SinkIntake({definition, progress, currentNames, spillDirectory: directory, sliceBytes: 1 << 20});
  pump = newPump(undefined, progress);
}
beforeEach(() => beginAgain());

function newPump(catchUp: CatchUp | undefined, progress = START): SinkPump {
  return new SinkPump({
    target,
    intake,
    progress,
    clock: {now: () => now, sleep},
    commitIntervalMs: 100,
    commitMessages: 1000,
    idleCommitMs: 30_000,
    cutMs: 15,
    catchUp,
    onCommitted: () => undefined,
    onDrained: () => undefined,
  });
}

/** One transaction with one row, or none of ours. */
function transaction(endLsn: bigint, clock: bigint, row = true): void {
  const start = {xid: 1, commitLsn: endLsn - 10n, commitTime: 0n};
  // One field of one byte.
  if (row) intake.accept(start, clock, relation)!.insert(Buffer.from([0, 1, 0x62, 0, 0, 0, 1, 0x61]), 0);
  intake.commit({endLsn, clock});
  pump.wake();
}

async function committed(count: number): Promise<void> {
  if (target.committed.length >= count) return;
  await new Promise<void>(resolve => {
    target.onCommit = () => {
      if (target.committed.length >= count) resolve();
    };
  });
}

async function finish(running: Promise<void>): Promise<void> {
  pump.stop();
  await running;
}

test('a lone change after a quiet time is cut and committed at once, up to the last end of a transaction', async () => {
  const running = pump.run();
  now = 5000;
  transaction(110n, 5n);
  pump.tick();
  now += 15;
  pump.tick();
  await committed(1);
  expect(target.committed).toEqual([{...START, endLsn: 110n, time: 5n}]);
  expect(target.rows).toBe(1);
  await finish(running);
});

test('without changes progress is committed seldom', async () => {
  const running = pump.run();
  transaction(110n, 5n, false);
  now = 29_999;
  pump.tick();
  expect(target.committed).toEqual([]);
  now = 30_000;
  pump.tick();
  await committed(1);
  expect(target.committed).toEqual([{...START, endLsn: 110n, time: 5n}]);
  expect(target.rows).toBe(0);
  await finish(running);
});

test('a time that the target knows to be over stays so, also where the stream comes back to what others have changed in it', async () => {
  const over: Progress = {...START, endLsn: 110n, time: 5n, timeClosed: true};
  beginAgain(over);
  const running = pump.run();
  transaction(110n, 5n, false);
  transaction(210n, 5n, false);
  now = 30_000;
  pump.tick();
  await committed(1);
  transaction(310n, 6n, false);
  now = 60_000;
  pump.tick();
  await committed(2);
  expect(target.committed).toEqual([
    {...over, endLsn: 210n},
    {...over, endLsn: 310n, time: 6n, timeClosed: false},
  ]);
  await finish(running);
});

test('a change that is on its way when the idle commit falls due goes out first', async () => {
  const running = pump.run();
  transaction(110n, 5n, false);
  now = 29_995;
  transaction(210n, 6n);
  pump.tick();
  now = 30_000;
  pump.tick();
  // The pump gets its turn, with nothing that it could commit yet.
  await turn();
  expect(target.committed).toEqual([]);
  now = 30_010;
  pump.tick();
  await committed(1);
  expect(target.committed).toEqual([{...START, endLsn: 210n, time: 6n}]);
  expect(target.rows).toBe(1);
  await finish(running);
});

test('progress within the reach of the snapshot says what the snapshot has seen, later progress does not', async () => {
  const filter = {visible: {xmin: 1n, xmax: 5n, running: [1n]}, until: 300n};
  const currentNames = new Map([[1, 'id']]);
  const progress = {...START, filter};
  intake = new SinkIntake({definition, progress, currentNames, spillDirectory: directory, sliceBytes: 1 << 20});
  pump = newPump(undefined);
  const running = pump.run();
  for (const endLsn of [110n, 310n]) {
    now += 30_000;
    transaction(endLsn, 5n, false);
    pump.tick();
    await committed(endLsn === 110n ? 1 : 2);
  }
  expect(target.committed.map(({endLsn, filter: seen}) => [endLsn, seen])).toEqual([
    [110n, filter],
    [310n, undefined],
  ]);
  await finish(running);
});

describe('the frontier', () => {
  /** Two changes, and the first of a transaction that has no end yet: it cannot be in the commit. */
  async function commitBetween(): Promise<void> {
    const running = pump.run();
    now = 1000;
    transaction(110n, 5n);
    transaction(210n, 6n);
    intake.accept({xid: 1, commitLsn: 300n, commitTime: 0n}, 6n, relation);
    await committed(1);
    await finish(running);
  }

  test('says that a time is over only where the stream has left it', async () => {
    await commitBetween();
    expect(target.committed).toEqual([{...START, endLsn: 110n, time: 5n, timeClosed: true}]);
  });

  test('does not say so of a sink that goes over: its next relation may have more of that time behind the end', async () => {
    pump.endBehind(400n);
    await commitBetween();
    expect(target.committed).toEqual([{...START, endLsn: 110n, time: 5n, timeClosed: false}]);
  });
});

describe('the pace of commits', () => {
  /** When commits began, each of which takes `commitMs`, while there is a change in every millisecond up to `until`. */
  async function beginnings(commitMs: number, until: number): Promise<number[]> {
    const began: number[] = [];
    target.onCommit = () => {
      began.push(now);
      now += commitMs;
    };
    const running = pump.run();
    for (; now < until; now++) {
      transaction(BigInt(100 + 10 * now), BigInt(now + 1));
      await turn();
    }
    await finish(running);
    return began;
  }

  test('is counted from beginning to beginning, less what commits have taken of late', async () => {
    expect(await beginnings(0, 450)).toEqual([100, 200, 300, 400]);
    beginAgain();
    // The mean goes 5, 9.4, 13.2 ms; the fourth has its rest of 50 ms.
    expect(await beginnings(40, 400)).toEqual([100, 195, 286, 376]);
  });

  test('lets a commit begin so early that it ends an interval after the last one began, by what they take', async () => {
    const began = await beginnings(16, 6000);
    const [earlier, later] = began.slice(-2);
    expect(began.slice(0, 2)).toEqual([100, 198]);
    // Whole milliseconds, and a mean that is still short of 16 by a fraction of one.
    expect(later - earlier).toBe(85);
  });

  test('leaves a slow target half an interval of rest', async () => {
    expect(await beginnings(300, 1500)).toEqual([100, 450, 800, 1150]);
  });
});

test('what falls due is done at once, not at the next tick', async () => {
  const running = pump.run();
  now = 50;
  transaction(110n, 5n);
  expect(sleeps.map(({ms}) => ms)).toEqual([15]);
  now = 65;
  sleeps.shift()!.end();
  await turn();
  expect(target.rows).toBe(1);
  expect(target.committed).toEqual([]);
  expect(sleeps.map(({ms}) => ms)).toEqual([35]);
  now = 100;
  sleeps.shift()!.end();
  await committed(1);
  expect(target.committed).toEqual([{...START, endLsn: 110n, time: 5n}]);
  await finish(running);
});

describe('a sink that is behind', () => {
  /** Logical times are milliseconds since 1970, and this is how late they are when they are written. */
  function behind(lateMs: number): Promise<void> {
    pump = newPump({intervalMs: 1000, wallTime: () => now + lateMs});
    return pump.run();
  }

  /** A change of each millisecond, and the ticks of the worker, up to `until`. */
  async function flow(until: number): Promise<void> {
    for (; now < until; now += 10) {
      transaction(BigInt(100 + 10 * now), BigInt(now + 1));
      pump.tick();
      await turn();
    }
  }

  test('commits when a quarter of the time that it is behind has passed', async () => {
    const running = behind(2000);
    await flow(1050);
    expect(target.committed.length).toBe(2);
    await finish(running);
  });

  test('commits once a second at the latest, however far it is', async () => {
    const running = behind(100_000);
    await flow(3050);
    expect(target.committed.length).toBe(3);
    await finish(running);
  });

  test('commits as always when it is not far, and as soon as nothing flows any more', async () => {
    const running = behind(100);
    await flow(1050);
    expect(target.committed.length).toBe(10);
    await finish(running);
    const again = behind(100_000);
    await flow(1200);
    const before = target.committed.length;
    now += 20;
    pump.tick();
    now += 20;
    pump.tick();
    await committed(before + 1);
    await finish(again);
  });
});
