import {expect, test} from 'vitest';
import {splitStatements} from './split.ts';

function cut(text: string, standardConformingStrings = true): string[] {
  return splitStatements(text, {standardConformingStrings}).statements.map(s => text.slice(s.start, s.end));
}

const SAME = [
  `SELECT ';'`,
  `SELECT $$;$$`,
  `SELECT $a$ ; $b$ ; $a$`,
  `SELECT a$b$ c`,
  `SELECT "a;b"`,
  `SELECT /* ; /* ; */ ; */ 1`,
  `SELECT 1 -- ; x`,
  `SELECT E'\\';'`,
  `SELECT U&'\\0061;'`,
  `SELECT 'a'\n  -- c\n  ';'`,
  `CREATE RULE r AS ON INSERT TO t DO (SELECT 1; SELECT 2)`,
  `CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 1 END; END`,
  `CREATE OR REPLACE PROCEDURE f() BEGIN ATOMIC END`,
  `CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1 end; SELECT x.end; END`,
  `CREATE FUNCTION f() BEGIN ATOMIC CREATE FUNCTION g() BEGIN ATOMIC SELECT 1; END; SELECT 2; END`,
  `CREATE FUNCTION f() BEGIN ATOMIC SELECT begin atomic FROM t; END`,
  `SELECT x'ab' ';'`,
  `SELECT 1 <--;\n 2`,
];
test.each(SAME)('one statement: %s', text => {
  expect(cut(text)).toEqual([text.replace(/\s*-- ; x$/, '')]);
  expect(cut(`${text}\n;SELECT 2`)).toEqual([text.replace(/\s*-- ; x$/, ''), 'SELECT 2']);
});

const SEVERAL: [string, string[]][] = [
  ['', []],
  [';;  ; -- x\n;', []],
  [' SELECT 1 ; ;/* c */SELECT 2 ', ['SELECT 1', 'SELECT 2']],
  ['BEGIN; SELECT 1; END', ['BEGIN', 'SELECT 1', 'END']],
  ['SELECT begin atomic; SELECT 2; END', ['SELECT begin atomic', 'SELECT 2', 'END']],
  [`CREATE FUNCTION f() AS 'BEGIN ATOMIC'; SELECT 1`, [`CREATE FUNCTION f() AS 'BEGIN ATOMIC'`, 'SELECT 1']],
  [
    `CREATE FUNCTION f() BEGIN ATOMIC SELECT begin atomic; END; SELECT 2`,
    [`CREATE FUNCTION f() BEGIN ATOMIC SELECT begin atomic; END`, 'SELECT 2'],
  ],
  [`SELECT 'a' ';'; SELECT 2`, [`SELECT 'a' ';'`, 'SELECT 2']],
  [`SELECT a$b; SELECT $1; SELECT $$x$$`, ['SELECT a$b', 'SELECT $1', 'SELECT $$x$$']],
  [`SELECT 'a\\'; SELECT 2`, [`SELECT 'a\\'`, 'SELECT 2']],
  ['SELECT 1) ; SELECT 2', ['SELECT 1)', 'SELECT 2']],
];
test.each(SEVERAL)('%j', (text, statements) => {
  expect(cut(text)).toEqual(statements);
});

test('backslashes escape in plain strings when standard_conforming_strings is off', () => {
  expect(cut(`SELECT 'a\\'; SELECT 2'; SELECT 3`, false)).toEqual([`SELECT 'a\\'; SELECT 2'`, 'SELECT 3']);
});

test.each([
  [`SELECT 1; SELECT 'a; SELECT 2`, 'unterminated quoted string', 17],
  ['SELECT 1; SELECT "a; SELECT 2', 'unterminated quoted identifier', 17],
  ['SELECT 1; SELECT $x$ a; SELECT 2', 'unterminated dollar-quoted string', 17],
  ['SELECT 1; SELECT /* /* */ a; SELECT 2', 'unterminated /* comment', 17],
  ['SELECT 1; SELECT 12ab; SELECT 2', 'trailing junk after numeric literal', 17],
])('text that PostgreSQL cannot cut into tokens: %s', (text, problem, start) => {
  const split = splitStatements(text);
  expect(split.broken).toEqual({problem, start});
  expect(split.statements).toEqual([
    {start: 0, end: 8},
    {start: 10, end: text.length},
  ]);
});

test('a megabyte of any shape is cut in a fraction of a CPU second and without deep recursion', () => {
  for (const piece of [
    `SELECT a, b + 1, 'text' FROM t WHERE x = 1; `,
    '(',
    '/*',
    '+-',
    '$a',
    `'a' \n`,
    `E'\\'`,
    'CREATE FUNCTION f() BEGIN ATOMIC ',
    '"a""',
    '1.5',
  ]) {
    const text = piece.repeat(Math.ceil(1e6 / piece.length));
    let best = Infinity;
    for (let i = 0; i < 8; i++) {
      const begun = process.cpuUsage();
      splitStatements(text);
      const {user, system} = process.cpuUsage(begun);
      best = Math.min(best, (user + system) / 1000);
    }
    // 6 to 35 ms when nobody else uses the processor's cache.
    expect(best, piece).toBeLessThan(100);
  }
});
