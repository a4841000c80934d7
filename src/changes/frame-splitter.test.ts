import fc from 'fast-check';
import {expect, test} from 'vitest';
import {FrameSplitter} from './frame-splitter.ts';

function frame(type: string, body: Buffer): Buffer {
  const header = Buffer.alloc(5);
  header.write(type, 'latin1');
  header.writeInt32BE(body.length + 4, 1);
  return Buffer.concat([header, body]);
}

/** Cuts `bytes` behind each of `cuts`. */
function cutAt(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const bounds = [...new Set([0, ...cuts.map(cut => cut % (bytes.length + 1)), bytes.length])].sort((a, b) => a - b);
  return bounds.slice(1).map((end, i) => bytes.subarray(bounds[i], end));
}

function split(chunks: readonly Buffer[], scratch: Buffer): {type: string; body: string}[] {
  const splitter = new FrameSplitter();
  const found: {type: string; body: string}[] = [];
  for (const chunk of chunks) {
    // As a socket that reads into one buffer: what is not kept is overwritten.
    chunk.copy(scratch);
    splitter.push(scratch.subarray(0, chunk.length));
    while (splitter.next()) {
      const body = splitter.buf.subarray(splitter.start, splitter.end).toString('hex');
      found.push({type: String.fromCharCode(splitter.type), body});
    }
    scratch.fill(0xff);
  }
  return found;
}

test('however the bytes are cut, the same frames come out', () => {
  const frames = fc.array(
    fc.record({
      type: fc.constantFrom('d', 'Z', 'E'),
      body: fc.oneof(fc.uint8Array({maxLength: 20}), fc.uint8Array({minLength: 100, maxLength: 300})),
    }),
    {minLength: 1, maxLength: 20},
  );
  fc.assert(
    fc.property(frames, fc.array(fc.nat()), (list, cuts) => {
      const bytes = Buffer.concat(list.map(({type, body}) => frame(type, Buffer.from(body))));
      const expected = list.map(({type, body}) => ({type, body: Buffer.from(body).toString('hex')}));
      expect(split(cutAt(bytes, cuts), Buffer.alloc(bytes.length))).toEqual(expected);
    }),
    {numRuns: 1000},
  );
});

test('one byte at a time', () => {
  const bytes = Buffer.concat([
    frame('d', Buffer.from('abc')),
    frame('Z', Buffer.alloc(0)),
    frame('d', Buffer.from('de')),
  ]);
  const single = [...bytes].map(byte => Buffer.from([byte]));
  expect(split(single, Buffer.alloc(1)).map(({type}) => type)).toEqual(['d', 'Z', 'd']);
});

test('a frame larger than every chunk is put together, and small ones follow it', () => {
  const large = Buffer.alloc(3_000_000, 'x');
  const bytes = Buffer.concat([frame('d', Buffer.from('1')), frame('d', large), frame('d', Buffer.from('2'))]);
  const chunks: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += 65_536) chunks.push(bytes.subarray(at, at + 65_536));
  const found = split(chunks, Buffer.alloc(65_536));
  expect(found.map(({body}) => body.length / 2)).toEqual([1, 3_000_000, 1]);
  expect(found[1].body).toBe(large.toString('hex'));
});

test('a length that cannot be is an error', () => {
  const splitter = new FrameSplitter();
  splitter.push(Buffer.from([0x64, 0, 0, 0, 3]));
  expect(() => splitter.next()).toThrow(expect.objectContaining({code: '08P01'}));
});
