import {existsSync, mkdtempSync, readdirSync, rmSync} from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import fc from 'fast-check';
import {afterAll, beforeAll, describe, expect, test} from 'vitest';
import type {RowShape} from '../types/relation.ts';
import type {SqlType} from '../types/sql-type.ts';
import {Consolidation} from './consolidation.ts';
import {Stall} from './errors.ts';
import type {ChangeBatch} from './target.ts';

/** `undefined` = a TOASTed value that the log did not repeat. */
type Field = string | null | undefined;
type Row = readonly Field[];
type Change =
  | {readonly op: 'insert'; readonly row: Row}
  | {readonly op: 'update'; readonly old: Row; readonly row: Row}
  | {readonly op: 'delete'; readonly old: Row};
/** A row before and after, as JSON. */
type Net = readonly [before: string | undefined, after: string | undefined];

const TEXT: SqlType = {kind: 'base', oid: 25, name: 'text', schema: 'pg_catalog', binary: true};

let directory: string;
beforeAll(() => {
  directory = mkdtempSync(join(tmpdir(), 'sluice-consolidation-'));
});
afterAll(() => {
  rmSync(directory, {recursive: true});
});

function shapeOf(columns: number): RowShape {
  const names = Array.from({length: columns}, (_, i) => ({name: `c${i}`, type: TEXT, typmod: -1}));
  return {relation: 1, schema: 'public', name: 't', columns: names, framing: 'pgoutput'};
}

function encode(row: Row): Buffer {
  const fields = row.map(field => {
    if (field === undefined) return Buffer.from('u');
    if (field === null) return Buffer.from('n');
    const head = Buffer.alloc(5, 'b');
    head.writeInt32BE(Buffer.byteLength(field), 1);
    return Buffer.concat([head, Buffer.from(field)]);
  });
  const count = Buffer.alloc(2);
  count.writeInt16BE(row.length);
  return Buffer.concat([count, ...fields]);
}

function decode(buf: Buffer, at: number): string | undefined {
  if (at === -1) return undefined;
  const row: Field[] = [];
  const count = buf.readInt16BE(at);
  at += 2;
  for (let i = 0; i < count; i++) {
    const kind = String.fromCharCode(buf[at++]);
    if (kind === 'n') row.push(null);
    else {
      expect(kind).toBe('b');
      const length = buf.readInt32BE(at);
      row.push(buf.toString('utf8', at + 4, at + 4 + length));
      at += 4 + length;
    }
  }
  return JSON.stringify(row);
}

/** As the stream does it: the buffer is overwritten after the call. */
function apply(consolidation: Consolidation, change: Change): void {
  const before = change.op === 'insert' ? Buffer.alloc(0) : encode(change.old);
  const after = change.op === 'delete' ? Buffer.alloc(0) : encode(change.row);
  const message = Buffer.concat([Buffer.from('xxxO'), before, Buffer.from('N'), after]);
  const newAt = 5 + before.length;
  if (change.op === 'insert') consolidation.insert(message, newAt);
  else if (change.op === 'update') consolidation.update(message, 4, newAt);
  else consolidation.delete(message, 4);
  message.fill(0xff);
}

function netOf({bytes, count, before, after}: ChangeBatch): Net[] {
  return Array.from({length: count}, (_, i) => [decode(bytes, before[i]), decode(bytes, after[i])] as const);
}

function completed(change: Exclude<Change, {op: 'delete'}>): Row {
  return change.op === 'insert'
    ? change.row
    : change.row.map((field, i) => (field === undefined ? change.old[i] : field));
}

/** What consolidation means, naively: per key a list of distinct rows with a count each. */
class Model {
  readonly keys = new Map<string, Map<string, number>>();
  readonly #key: readonly number[] | undefined;

  constructor(key: readonly number[] | undefined) {
    this.#key = key;
  }

  keyOf(row: string): string {
    const fields = JSON.parse(row) as Row;
    return JSON.stringify(this.#key?.map(i => fields[i]) ?? fields);
  }

  add(row: string, count: number): void {
    const key = this.keyOf(row);
    const rows = this.keys.get(key) ?? new Map<string, number>();
    this.keys.set(key, rows);
    rows.set(row, (rows.get(row) ?? 0) + count);
  }

  apply(change: Change): void {
    const before = change.op === 'insert' ? undefined : JSON.stringify(change.old);
    const after = change.op === 'delete' ? undefined : JSON.stringify(completed(change));
    // An update that changes nothing does not even touch its key.
    if (before === after) return;
    if (before !== undefined) this.add(before, -1);
    if (after !== undefined) this.add(after, 1);
  }

  net(): Net[] {
    return [...this.keys.values()].flatMap(rows => {
      const deletions = [...rows].flatMap(([row, count]) => Array<string>(Math.max(0, -count)).fill(row));
      const insertions = [...rows].flatMap(([row, count]) => Array<string>(Math.max(0, count)).fill(row));
      const pairs = Math.min(deletions.length, insertions.length);
      return [
        ...deletions.slice(pairs).map((row): Net => [row, undefined]),
        ...deletions.slice(0, pairs).map((row, i): Net => [row, insertions[i]]),
        ...insertions.slice(pairs).map((row): Net => [undefined, row]),
      ];
    });
  }

  /** Row counts without those that are zero, keys and rows sorted. */
  counts(): [string, number][] {
    const all = [...this.keys.values()].flatMap(rows => [...rows]);
    return all.filter(([, count]) => count !== 0).sort(([a], [b]) => (a < b ? -1 : 1));
  }
}

const keyField = fc.constantFrom('', 'a', 'b', 'ab', 'c', null);
const payload = fc.oneof(
  fc.constantFrom('', 'x', 'y', 'xxxx', null),
  fc.nat(30).map(n => 'z'.repeat(n)),
);
const row = fc.tuple(keyField, payload, keyField, payload);
const change: fc.Arbitrary<Change> = fc.oneof(
  fc.record({op: fc.constant('insert' as const), row}),
  fc.record({op: fc.constant('delete' as const), old: row}),
  fc.record({op: fc.constant('update' as const), old: row, row}),
  // The key stays, and some of the rest is a TOASTed value that stays as well.
  fc.record({old: row, row, toasted: fc.boolean()}).map(({old, row, toasted}): Change => {
    const after = [old[0], row[1], old[2], toasted ? undefined : row[3]];
    return {op: 'update', old, row: after};
  }),
);
const key = fc.constantFrom<readonly number[] | undefined>([0], [0, 2], [2, 0], [3], undefined);
const script = fc.array(fc.array(change, {maxLength: 120, size: 'max'}), {maxLength: 4, minLength: 1});

describe('in memory', () => {
  test('equals the model, order included, time after time', () => {
    fc.assert(
      fc.property(key, script, (key, times) => {
        const consolidation = new Consolidation({
          shape: shapeOf(4),
          key,
          spillDirectory: directory,
          budgetBytes: 1 << 26,
        });
        for (const changes of times) {
          const model = new Model(key);
          for (const each of changes) {
            model.apply(each);
            apply(consolidation, each);
          }
          expect(netOf(consolidation.take(7n))).toEqual(model.net());
          consolidation.reset();
        }
      }),
      {numRuns: 150},
    );
  });

  test('equal keys in many rows, and many keys', () => {
    const consolidation = new Consolidation({
      shape: shapeOf(2),
      key: [0],
      spillDirectory: directory,
      budgetBytes: 1 << 28,
    });
    const model = new Model([0]);
    for (const round of [0, 1]) {
      for (let i = 0; i < 12_000; i++) {
        const old = [String(i % (round === 0 ? 2 : 20_000)), String(i)];
        const each: Change = i % 3 === 0 ? {op: 'delete', old} : {op: 'update', old, row: [old[0], String(i + 1)]};
        model.apply(each);
        apply(consolidation, each);
      }
    }
    expect(netOf(consolidation.take(1n))).toEqual(model.net());
  });

  test('a row that is updated over and over costs one update', () => {
    const consolidation = new Consolidation({
      shape: shapeOf(2),
      key: [0],
      spillDirectory: directory,
      budgetBytes: 1 << 26,
    });
    for (let i = 0; i < 1000; i++)
      apply(consolidation, {op: 'update', old: ['k', String(i)], row: ['k', String(i + 1)]});
    expect(netOf(consolidation.take(1n))).toEqual([['["k","0"]', '["k","1000"]']]);
  });

  test('a hundred equal rows of a table without key', () => {
    const consolidation = new Consolidation({
      shape: shapeOf(1),
      key: undefined,
      spillDirectory: directory,
      budgetBytes: 1 << 26,
    });
    for (let i = 0; i < 100; i++) apply(consolidation, {op: 'insert', row: ['same']});
    for (let i = 0; i < 3; i++) apply(consolidation, {op: 'delete', old: ['same']});
    expect(netOf(consolidation.take(1n))).toEqual(Array(97).fill([undefined, '["same"]']));
    expect(consolidation.bytesUsed).toBeLessThan(200);
  });
});

test('only the picked fields are rows, and a change of another one is none', () => {
  const consolidation = new Consolidation({
    shape: shapeOf(2),
    key: [1],
    spillDirectory: directory,
    budgetBytes: 1 << 26,
  });
  consolidation.usePick(Int32Array.of(0, 2));
  apply(consolidation, {op: 'insert', row: ['a', 'added', 'k']});
  apply(consolidation, {op: 'update', old: ['b', 'added', 'm'], row: ['b', 'other', 'm']});
  apply(consolidation, {op: 'update', old: ['b', 'added', 'n'], row: ['c', 'other', undefined]});
  consolidation.usePick(undefined);
  apply(consolidation, {op: 'delete', old: ['d', 'o']});
  expect(netOf(consolidation.take(1n))).toEqual([
    [undefined, '["a","k"]'],
    ['["b","n"]', '["c","n"]'],
    ['["d","o"]', undefined],
  ]);
});

test('a value that is nowhere in the log stalls the sink', () => {
  const consolidation = new Consolidation({
    shape: shapeOf(2),
    key: [0],
    spillDirectory: directory,
    budgetBytes: 1 << 26,
  });
  expect(() => {
    apply(consolidation, {op: 'insert', row: ['a', undefined]});
  }).toThrow(Stall);
});

/** Memory grows by doubling, from some 32 kB on. */
const memoryFor = (budgetBytes: number) => 2 * budgetBytes + 40_000;

describe('spilled', () => {
  async function drained(consolidation: Consolidation): Promise<Net[]> {
    const net: Net[] = [];
    for await (const batch of consolidation.drain(3n)) {
      expect(batch.count).toBeGreaterThan(0);
      net.push(...netOf(batch));
    }
    return net;
  }

  function fill(consolidation: Consolidation, model: Model, changes: readonly Change[]): void {
    for (const each of changes) {
      model.apply(each);
      apply(consolidation, each);
    }
  }

  test('nets the same rows and leaves no file', async () => {
    await fc.assert(
      fc.asyncProperty(key, fc.array(change, {minLength: 200, maxLength: 400, size: 'max'}), async (key, changes) => {
        const spillDirectory = join(directory, 'spilled');
        const consolidation = new Consolidation({shape: shapeOf(4), key, spillDirectory, budgetBytes: 6000});
        const model = new Model(key);
        fill(consolidation, model, changes);
        expect(consolidation.isSpilled).toBe(true);
        const net = await drained(consolidation);
        const replayed = new Model(key);
        for (const [before, after] of net) {
          if (before !== undefined) replayed.add(before, -1);
          if (after !== undefined) replayed.add(after, 1);
        }
        expect(replayed.counts()).toEqual(model.counts());
        consolidation.reset();
        expect(consolidation.isSpilled).toBe(false);
        expect(readdirSync(spillDirectory)).toEqual([]);
      }),
      {numRuns: 40},
    );
  });

  test('within a key the order and the pairs are those of the model', async () => {
    const budgetBytes = 20_000;
    const consolidation = new Consolidation({shape: shapeOf(4), key: [0], spillDirectory: directory, budgetBytes});
    const model = new Model([0]);
    const changes: Change[] = [];
    for (let i = 0; i < 12_000; i++) {
      const id = String((i * 7919) % 1200);
      const version = Math.floor(i / 1200);
      const old = [id, `${version}`, null, 'x'.repeat(Number(id) % 50)];
      if (version === 0) changes.push({op: 'insert', row: [id, '1', null, old[3]!]});
      else if (version === 9 && Number(id) % 2 === 0) changes.push({op: 'delete', old});
      else changes.push({op: 'update', old, row: [id, `${version + 1}`, null, undefined]});
    }
    fill(consolidation, model, changes);
    expect(consolidation.bytesUsed).toBeLessThanOrEqual(memoryFor(budgetBytes));
    const sorted = (net: Net[]) => net.sort((a, b) => (JSON.stringify(a) < JSON.stringify(b) ? -1 : 1));
    expect(sorted(await drained(consolidation))).toEqual(sorted(model.net()));
    consolidation.close();
  });

  test('one key that is larger than the budget goes out in parts, in order, and memory stays bounded', async () => {
    const budgetBytes = 10_000;
    const consolidation = new Consolidation({shape: shapeOf(2), key: [0], spillDirectory: directory, budgetBytes});
    const steps = 5000;
    for (let i = 0; i < steps; i++) {
      apply(consolidation, {op: 'update', old: ['hot', String(i)], row: ['hot', String(i + 1)]});
      expect(consolidation.bytesUsed).toBeLessThanOrEqual(memoryFor(budgetBytes));
    }
    const net = await drained(consolidation);
    let current = '["hot","0"]';
    for (const [before, after] of net) {
      expect(before).toBe(current);
      current = after!;
    }
    expect(current).toBe(`["hot","${steps}"]`);
    expect(net.length).toBeLessThan(steps / 10);
    consolidation.close();
  });

  test('rows larger than the buffers', async () => {
    const consolidation = new Consolidation({
      shape: shapeOf(2),
      key: [0],
      spillDirectory: directory,
      budgetBytes: 4 << 20,
    });
    const model = new Model([0]);
    const changes = Array.from({length: 9}, (_, i): Change => ({
      op: 'insert',
      row: [String(i % 7), `${i}`.repeat(1_100_000)],
    }));
    fill(consolidation, model, changes);
    const net = await drained(consolidation);
    expect(net.map(([, after]) => after!.slice(0, 9)).sort()).toEqual(
      model
        .net()
        .map(([, after]) => after!.slice(0, 9))
        .sort(),
    );
    consolidation.close();
  });

  test('a reader that gives up leaves no file after reset', async () => {
    const spillDirectory = join(directory, 'given-up');
    const consolidation = new Consolidation({shape: shapeOf(2), key: [0], spillDirectory, budgetBytes: 1000});
    for (let i = 0; i < 500; i++) apply(consolidation, {op: 'insert', row: [String(i), 'x']});
    for await (const batch of consolidation.drain(1n)) {
      expect(batch.count).toBeGreaterThan(0);
      break;
    }
    consolidation.reset();
    expect(existsSync(spillDirectory) ? readdirSync(spillDirectory) : []).toEqual([]);
  });
});
