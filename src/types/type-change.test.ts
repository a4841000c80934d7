import {expect, test} from 'vitest';
import type {SqlType} from './sql-type.ts';
import {canChange, looksTheSame} from './type-change.ts';

const identity = {name: 'x', schema: 'public', binary: true};
const text: SqlType = {...identity, kind: 'base', oid: 25};
const integer: SqlType = {...identity, kind: 'base', oid: 23};
const mood = (...labels: string[]): SqlType => ({...identity, kind: 'enum', oid: 1, labels});
const pair = (...fields: readonly (readonly [string, SqlType])[]): SqlType => ({
  ...identity,
  kind: 'composite',
  oid: 2,
  fields: fields.map(([name, type]) => ({name, type, typmod: -1})),
});
const arrayOf = (element: SqlType): SqlType => ({...identity, kind: 'array', oid: 3, element, delimiter: ','});
const domainOver = (base: SqlType): SqlType => ({...identity, kind: 'domain', oid: 4, base, typmod: -1});

test('labels may be added anywhere, but not renamed', () => {
  expect(looksTheSame(mood('a', 'b'), mood('0', 'a', 'x', 'b', 'z'))).toBe(true);
  expect(looksTheSame(mood('a', 'b'), mood('a', 'c'))).toBe(false);
});

test('fields of a composite type neither come nor go nor change', () => {
  const before = pair(['x', text], ['y', integer]);
  expect(looksTheSame(before, pair(['x', text], ['y', integer]))).toBe(true);
  for (const now of [
    pair(['x', text]),
    pair(['x', text], ['y', integer], ['z', text]),
    pair(['x', text], ['z', integer]),
    pair(['x', text], ['y', text]),
  ]) {
    expect(looksTheSame(before, now)).toBe(false);
  }
});

test('however deep it is', () => {
  const around = (type: SqlType) => arrayOf(domainOver(pair(['x', arrayOf(type)])));
  expect(looksTheSame(around(mood('a')), around(mood('a', 'b')))).toBe(true);
  expect(looksTheSame(around(mood('a')), around(mood('b')))).toBe(false);
  expect(canChange(arrayOf(domainOver(mood('a'))))).toBe(true);
  expect(canChange(arrayOf(domainOver(text)))).toBe(false);
});

test('another type is another type', () => {
  expect(looksTheSame(text, integer)).toBe(false);
  expect(looksTheSame(text, {...text, name: 'renamed'})).toBe(true);
});
