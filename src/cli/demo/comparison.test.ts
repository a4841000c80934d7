import {expect, test} from 'vitest';
import {compareSides} from './comparison.ts';
import {exactJson} from './exact-json.ts';

const topic = (...messages: readonly (readonly [key: string, value: string])[]) =>
  new Map(messages.map(([key, value]) => [exactJson(key), value]));
const first = (source: Parameters<typeof compareSides>[1]['source'], found: ReadonlyMap<string, string>) =>
  compareSides('t', {source, topic: found}).first;

test('white space and the order of fields do not count, within nested values either', () => {
  const source = [{key: '{"id" : 1}', value: '{"id" : 1, "a": {"y": [1, null], "x": "é\\u0009"}}'}];
  const found = topic(['{"id":1}', '{"a":{"x":"\\u00e9\\t","y":[1,null]},"id":1}']);
  expect(compareSides('t', {source, topic: found})).toEqual({keys: 1, differences: 0, first: []});
});

test.each([
  ['a number that floating point takes for another', '9007199254740993', '9007199254740992'],
  ['digits of a number', '1.50', '1.5'],
  ['a number and a string', '1', '"1"'],
  ['null and nothing', 'null', '""'],
  ['a string that looks like numbers', '"1 2"', '"1  2"'],
  ['within an array', '[1,2]', '[2,1]'],
])('differs: %s', (_, expected, actual) => {
  const source = [{key: '{"id":7}', value: `{"id":7,"b":${expected}}`}];
  expect(first(source, topic(['{"id":7}', `{"id":7,"b":${actual}}`]))).toEqual([
    `t {"id":7} differs in b: source ${expected}, topic ${actual}`,
  ]);
});

test('a column that is only on one side differs', () => {
  const source = [{key: '{"id":1}', value: '{"id":1,"a":null}'}];
  expect(first(source, topic(['{"id":1}', '{"id":1}']))).toEqual([
    't {"id":1} differs in a: source null, topic (no such field)',
  ]);
  expect(first([{key: '{"id":1}', value: '{"id":1}'}], topic(['{"id":1}', '{"id":1,"a":null}']))).toEqual([
    't {"id":1} differs in a: source (no such field), topic null',
  ]);
});

test('keys of one side only, and what is no JSON, are differences', () => {
  const source = [
    {key: '{"id":9007199254740993}', value: '{}'},
    {key: '{"id":2}', value: '{}'},
    {key: '{"id":3}', value: '{}'},
  ];
  const found = topic(['{"id":9007199254740992}', '{}'], ['{"id":2}', '{"a":'], ['{"id":3}', '[]']);
  expect(compareSides('t', {source, topic: found})).toEqual({
    keys: 3,
    differences: 4,
    first: [
      't {"id":9007199254740993} is not in the topic',
      't {"id":2} is no JSON in the topic: {"a":',
      't {"id":3} is no object in the topic: []',
      't {"id":9007199254740992} is in the topic and not in the source',
    ],
  });
});

test('all differences are counted, five are shown, and long values are cut', () => {
  const source = Array.from({length: 8}, (_, id) => ({key: `{"id":${id}}`, value: `{"a":"${'x'.repeat(1000)}"}`}));
  const found = topic(...source.map(({key}) => [key, '{"a":""}'] as const));
  const comparison = compareSides('t', {source, topic: found});
  expect(comparison).toMatchObject({keys: 8, differences: 8});
  expect(comparison.first).toHaveLength(5);
  expect(comparison.first[0]).toBe(`t {"id":0} differs in a: source "${'x'.repeat(199)}… (1002 characters), topic ""`);
});
