import {expect, test} from 'vitest';
import {Lexer} from './lexer.ts';
import {cutName, nameOf, stringOf} from './token-values.ts';

/** Each is one token; the values are what PostgreSQL 18 answers to SELECT. */
const STRINGS: [string, string][] = [
  [`''`, ''],
  [`'it''s'`, `it's`],
  [`'a\\b'`, 'a\\b'],
  [`E'a\\tb\\\\ \\'q\\' '' \\z'`, `a\tb\\ 'q' ' z`],
  [`e'\\x41\\101\\u0042\\U00000043'`, 'AABC'],
  [`E'\\303\\244\\xc3\\xa4'`, 'ää'],
  [`E'\\ud83d\\ude00'`, '😀'],
  [`U&'d\\0061t\\+000061 \\\\'`, 'data \\'],
  [`$$it's $x$$`, `it's $x`],
  [`$ä$ $$ $ä$`, ' $$ '],
  [`'a'\n -- it's a comment\n 'b''c'`, `ab'c`],
  [`E'a\\''\n'b'`, `a'b`],
  [`N'x'`, 'x'],
];
test.each(STRINGS)('%s', (source, value) => {
  const lexer = new Lexer(source);
  lexer.next();
  expect([lexer.kind, lexer.end]).toEqual(['string', source.length]);
  expect(stringOf(source, 0)).toBe(value);
});

test('backslashes in plain strings follow the setting', () => {
  expect(stringOf(`'a\\'b'`, 0, {standardConformingStrings: false})).toBe(`a'b`);
});

test.each([
  [`E'\\u12'`, '22025'],
  [`E'\\xff'`, '22021'],
  [`E'\\000'`, '22021'],
  [`E'\\ud83d'`, '42601'],
  [`U&'\\12'`, '42601'],
  [`U&'\\0000'`, '42601'],
])('%s is refused', (source, code) => {
  expect(() => stringOf(source, 0)).toThrow(expect.objectContaining({code}) as Error);
});

test.each([
  ['FooÄ', 'fooÄ'],
  ['"Foo""x"', 'Foo"x'],
  ['U&"d\\0061t"', 'dat'],
])('name %s', (source, name) => {
  expect(nameOf(source, 0)).toBe(name);
});

test.each([
  ['a'.repeat(63), 'a'.repeat(63)],
  ['a'.repeat(64), 'a'.repeat(63)],
  [`${'a'.repeat(62)}é`, 'a'.repeat(62)],
  [`${'a'.repeat(61)}éé`, `${'a'.repeat(61)}é`],
  ['😀'.repeat(20), '😀'.repeat(15)],
])('names of more than 63 bytes are cut as PostgreSQL cuts them: %s', (name, cut) => {
  expect(cutName(name)).toBe(cut);
});
