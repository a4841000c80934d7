import fc from 'fast-check';
import {expect, test} from 'vitest';
import {ByteWriter} from '../base/byte-writer.ts';
import {jsonCodec, jsonOfText, writeBytes, writeJsonString} from './codec-strings.ts';

const string = fc.oneof(
  fc.string({unit: 'binary', maxLength: 80}),
  fc
    .array(fc.constantFrom('"', '\\', '\n', '\x1f', ' ', '!', '#', '[', ']', '\x7f', 'a', 'é', '😀'))
    .map(list => list.join('')),
);

function written(write: typeof writeBytes, text: string, before: number): string {
  const bytes = Buffer.from(text);
  const out = new ByteWriter(1);
  out.ascii('x'.repeat(before));
  write(Buffer.concat([Buffer.alloc(before, 0x22), bytes, Buffer.from('""""')]), before, bytes.length, out);
  return out.written().toString('utf8', before);
}

test('strings are escaped as JSON.stringify does it', () => {
  fc.assert(
    fc.property(string, fc.nat(5), (text, before) => {
      expect(written(writeJsonString, text, before)).toBe(JSON.stringify(text));
      expect(written(jsonOfText(writeBytes), text, before)).toBe(JSON.stringify(text));
    }),
    {numRuns: 3000},
  );
});

test('each single byte at each place of a word', () => {
  for (let byte = 0; byte < 128; byte++) {
    for (let place = 0; place < 9; place++) {
      const text = `${'m'.repeat(place)}${String.fromCharCode(byte)}${'n'.repeat(9 - place)}`;
      expect(written(writeJsonString, text, place % 3)).toBe(JSON.stringify(text));
    }
  }
});

test('white space goes from between the tokens and stays in strings', () => {
  fc.assert(
    fc.property(fc.json(), fc.constantFrom('', ' ', '\n\t', '  '), (json, space) => {
      const value: unknown = JSON.parse(json);
      expect(written(jsonCodec.json, JSON.stringify(value, undefined, space), 1)).toBe(JSON.stringify(value));
    }),
    {numRuns: 1000},
  );
});
