import fc from 'fast-check';
import {expect, test} from 'vitest';
import {Stall} from '../../sinks/errors.ts';
import type {Progress} from '../../sinks/target.ts';
import {decodeProgress, encodeProgress, progressKey} from './progress-record.ts';

const uint64 = fc.bigInt({min: 0n, max: 2n ** 64n - 1n});
const int32 = fc.integer({min: 0, max: 2 ** 31 - 1});

const anyProgress: fc.Arbitrary<Progress> = fc.record(
  {
    endLsn: uint64,
    time: fc.bigInt({min: 0n, max: 2n ** 63n}),
    timeClosed: fc.boolean(),
    version: int32,
    system: uint64,
    timeline: int32,
    filter: fc.record({
      visible: fc.record({xmin: uint64, xmax: uint64, running: fc.array(uint64)}),
      until: uint64,
    }),
    snapshot: fc.record({spool: int32, nextBlock: int32}),
  },
  {requiredKeys: ['endLsn', 'time', 'timeClosed', 'version', 'system', 'timeline']},
);

const progress: Progress = {
  endLsn: 0x16b374d848n,
  time: 1720032185311n,
  timeClosed: true,
  version: 0,
  system: 7_412_345_678_901_234_567n,
  timeline: 1,
};

test('what is written is what is read', () => {
  fc.assert(
    fc.property(anyProgress, fc.option(fc.string(), {nil: undefined}), (progress, topicId) => {
      const record = decodeProgress(encodeProgress({progress, topicId}));
      expect(record.own).toEqual({progress, topicId});
      expect(record.version).toBe(progress.version);
      expect(record.frontier).toBe(progress.timeClosed ? progress.time + 1n : progress.time);
    }),
  );
});

test('the writer in a record is who writes it, whoever wrote the progress before', () => {
  const earlier = {...progress, writer: 'earlier'};
  expect(
    decodeProgress(encodeProgress({progress: earlier, topicId: undefined, writer: 'later'})).own?.progress,
  ).toEqual({
    ...progress,
    writer: 'later',
  });
  expect(decodeProgress(encodeProgress({progress: earlier, topicId: undefined})).own?.progress).toEqual(progress);
});

test('readers of the older form find the frontier where they look for it', () => {
  const read = (closed: boolean): unknown =>
    JSON.parse(encodeProgress({progress: {...progress, timeClosed: closed}, topicId: undefined}).toString());
  expect(read(true)).toMatchObject({frontier: [1720032185312], version: 0});
  expect(read(false)).toMatchObject({frontier: [1720032185311], version: 0});
  expect(progressKey('u42')).toBe('mz-sink-u42');
});

test('records of the older forms are read', () => {
  const read = (text: string): unknown => decodeProgress(Buffer.from(text));
  expect(read('{"frontier":[1720032185312],"version":3}')).toEqual({
    frontier: 1720032185312n,
    version: 3,
    own: undefined,
  });
  expect(read('{"frontier":[5]}')).toEqual({frontier: 5n, version: 0, own: undefined});
  expect(read('{"frontier":[18446744073709551615]}')).toMatchObject({frontier: 18446744073709551615n});
  expect(read('{"frontier":[]}')).toMatchObject({frontier: 'ended'});
  expect(read('{"timestamp":41}')).toMatchObject({frontier: 42n});
  expect(read('{"timestamp":null}')).toMatchObject({frontier: 'ended'});
});

const whole = encodeProgress({
  progress: {
    ...progress,
    filter: {visible: {xmin: 1n, xmax: 4n, running: [2n]}, until: 9n},
    snapshot: {spool: 1, nextBlock: 2},
  },
  topicId: 'x',
}).toString();

test.each([
  '',
  'null',
  '7',
  '{}',
  '{"frontier":null}',
  '{"frontier":["1"]}',
  '{"frontier":[1.5]}',
  '{"frontier":[1,2]}',
  '{"timestamp":"1"}',
  '{"frontier":[1],"version":-1}',
  '{"frontier":[1],"version":"1"}',
  '{"frontier":[1],"version":0,"sluice":null}',
  '{"frontier":[1],"version":0,"sluice":{}}',
  whole.replace('"form":1', '"form":2'),
  whole.replace('"lsn":"16/', '"lsn":"16-'),
  whole.replace('"closed":true', '"closed":1'),
  whole.replace('"running":["2"]', '"running":"2"'),
  whole.replace('"nextBlock":2', '"nextBlock":-2'),
  whole.slice(0, -1),
])('what is no record is never taken for one: %s', text => {
  expect(() => decodeProgress(Buffer.from(text))).toThrow(Stall);
  expect(() => decodeProgress(Buffer.from(text))).toThrow(`invalid progress record: ${text.slice(0, 200)}`);
});

test('a frontier that is not that of our own fields was written by somebody else', () => {
  expect(() => decodeProgress(Buffer.from(whole.replace('[1720032185312]', '[1720032185313]')))).toThrow(Stall);
});
