import {describe, expect, test} from 'vitest';
import type {SinkColumn} from '../catalog/definitions.ts';
import type {StreamColumn, StreamRelation} from '../changes/stream-listener.ts';
import {Stall} from './errors.ts';
import {matchShape} from './shape.ts';

const INT4 = 23;
const TEXT = 25;
const NUMERIC = 1700;
const VARCHAR = 1043;

function column(attnum: number, name: string, oid: number, typmod = -1): SinkColumn {
  return {
    attnum,
    name,
    typmod,
    notNull: false,
    type: {kind: 'base', oid, name: String(oid), schema: 'pg_catalog', binary: true},
  };
}

function relation(...columns: (readonly [string, number, number?])[]): StreamRelation {
  const described = columns.map(([name, typeOid, typmod]): StreamColumn => ({
    name,
    typeOid,
    typmod: typmod ?? -1,
    identity: true,
  }));
  return {oid: 7, schema: 'public', name: 't', replicaIdentity: 'f', columns: described};
}

const sink = {relation: 7, columns: [column(1, 'id', INT4), column(2, 'b', TEXT), column(3, 'c', VARCHAR, 14)]};
const unchanged = new Map([
  [1, 'id'],
  [2, 'b'],
  [3, 'c'],
]);

function stallOf(act: () => unknown): Stall | undefined {
  try {
    act();
    return undefined;
  } catch (error) {
    if (error instanceof Stall) return error;
    throw error;
  }
}

function codeOf(act: () => unknown): string | undefined {
  return stallOf(act)?.code;
}

describe('a shape that does no harm', () => {
  test('the same columns need no picking', () => {
    const match = matchShape(sink, relation(['id', INT4], ['b', TEXT], ['c', VARCHAR, 14]), unchanged);
    expect(match.pick).toBeUndefined();
  });

  test('added columns are passed over, wherever they are', () => {
    const match = matchShape(sink, relation(['id', INT4], ['b', TEXT], ['c', VARCHAR, 14], ['d', TEXT]), unchanged);
    expect([...match.pick!]).toEqual([0, 1, 2]);
  });

  test('a renamed column keeps its field, before and after the rename in the stream', () => {
    const renamed = new Map(unchanged).set(2, 'bee');
    for (const name of ['b', 'bee']) {
      const match = matchShape(sink, relation(['id', INT4], ['new', TEXT], [name, TEXT], ['c', VARCHAR, 14]), renamed);
      expect([...match.pick!]).toEqual([0, 2, 3]);
    }
  });

  test('a varchar that has become longer', () => {
    expect(matchShape(sink, relation(['id', INT4], ['b', TEXT], ['c', VARCHAR, 24]), unchanged).pick).toBeUndefined();
    expect(matchShape(sink, relation(['id', INT4], ['b', TEXT], ['c', VARCHAR, -1]), unchanged).pick).toBeUndefined();
  });
});

describe('a shape whose rows the log has not sent', () => {
  test('a dropped column', () => {
    expect(codeOf(() => matchShape(sink, relation(['id', INT4], ['c', VARCHAR, 14]), unchanged))).toBe('SL001');
  });

  test('a retyped column', () => {
    const retyped = relation(['id', NUMERIC], ['b', TEXT], ['c', VARCHAR, 14]);
    expect(codeOf(() => matchShape(sink, retyped, unchanged))).toBe('SL002');
  });

  test('a numeric with another scale', () => {
    const priced = {relation: 7, columns: [column(1, 'n', NUMERIC, 655366)]};
    expect(codeOf(() => matchShape(priced, relation(['n', NUMERIC, 655368]), new Map([[1, 'n']])))).toBe('SL002');
  });

  test('a varchar that has become shorter', () => {
    expect(codeOf(() => matchShape(sink, relation(['id', INT4], ['b', TEXT], ['c', VARCHAR, 9]), unchanged))).toBe(
      'SL002',
    );
  });

  test('dropped and added again under the same name', () => {
    const again = relation(['id', INT4], ['c', VARCHAR, 14], ['b', TEXT]);
    const today = new Map(unchanged).set(4, 'b');
    today.delete(2);
    expect(stallOf(() => matchShape(sink, again, today))).toMatchObject({
      code: 'SL001',
      message: 'column "b" of "public.t" was dropped',
    });
    expect(codeOf(() => matchShape(sink, again, unchanged))).toBe('SL001');
  });

  test('two columns that have swapped names cannot be told apart', () => {
    const swapped = new Map(unchanged).set(2, 'c').set(3, 'b');
    expect(codeOf(() => matchShape(sink, relation(['id', INT4], ['c', TEXT], ['b', VARCHAR, 14]), swapped))).toBe(
      'SL003',
    );
  });
});
