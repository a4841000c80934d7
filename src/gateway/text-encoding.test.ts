import {expect, test} from 'vitest';
import {splitStatements} from '../sql/split.ts';
import {textEncoding} from './text-encoding.ts';

const SAMPLE = 'aä€';

test.each(['UTF8', 'SQL_ASCII'])('%s is read and written', name => {
  const encoding = textEncoding(name);
  expect(encoding.decode(encoding.encode(SAMPLE)!)).toBe(SAMPLE);
  expect(encoding.decode(Buffer.from([0x61, 0xe4]))).toBeUndefined();
});

test('LATIN1 is read and written as far as it goes', () => {
  const encoding = textEncoding('LATIN1');
  expect(encoding.encode('aä')).toEqual(Buffer.from([0x61, 0xe4]));
  expect(encoding.decode(Buffer.from([0x61, 0xe4]))).toBe('aä');
  expect(encoding.encode(SAMPLE)).toBeUndefined();
});

test.each(['WIN1252', 'EUC_JP', 'SJIS', 'GB18030'])('%s is read and written where it is ASCII', name => {
  const encoding = textEncoding(name);
  expect(encoding.decode(Buffer.from('abc'))).toBe('abc');
  expect(encoding.decode(Buffer.from([0xe4, 0x40]))).toBeUndefined();
  expect(encoding.encode('ä')).toBeUndefined();
  expect(encoding.problem()).toMatchObject({code: '0A000'});
});

/** Characters whose last byte is a backslash, a letter or a digit, by the tables of each encoding. */
test.each([
  ['SJIS', [0x83, 0x5c]],
  ['SJIS', [0xb1]],
  ['SJIS', [0xb1, 0x83, 0x5c]],
  ['SHIFT_JIS_2004', [0x83, 0x5c]],
  ['BIG5', [0xa5, 0x5c]],
  ['GBK', [0x81, 0x5c]],
  ['UHC', [0x81, 0x41]],
  ['GB18030', [0x81, 0x5c]],
  ['GB18030', [0x81, 0x30, 0x81, 0x30]],
  ['EUC_JP', [0x8f, 0xb0, 0xa1]],
  ['WIN1251', [0xe4]],
])('outline of %s %j: one character a byte, no sign in it', (name, character) => {
  const bytes = Buffer.concat([Buffer.from("SELECT '"), Buffer.from(character), Buffer.from("'; SELECT 1")]);
  const outline = textEncoding(name).outline(bytes)!;
  expect(outline).toHaveLength(bytes.length);
  const {statements} = splitStatements(outline, {standardConformingStrings: false});
  expect(statements.map(({start}) => start)).toEqual([0, bytes.length - 'SELECT 1'.length]);
  expect(outline.slice(8, 8 + character.length)).toMatch(/^[\x80-\xff]+$/);
});
