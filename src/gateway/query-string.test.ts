import {expect, test} from 'vitest';
import type {Plan} from '../statements/statement.ts';
import {isPlain} from './plain-text.ts';
import {ReplacedText, characters, readQueryString} from './query-string.ts';

const plan = (text: string): Plan | undefined => {
  if (text.startsWith('OURS')) return {kind: 'rewrite', sql: 'SELECT ours'};
  if (text.startsWith('WRONG')) throw new Error('wrong');
  return undefined;
};

test('ours among theirs', () => {
  const text = "SELECT ';'; OURS a; ; SELECT 2";
  expect(readQueryString(text, plan, {})).toMatchObject({
    kind: 'steps',
    steps: [
      {start: 0, end: 10, plan: undefined},
      {start: 12, end: 18, plan: {kind: 'rewrite'}},
      {start: 22, end: 30, plan: undefined},
    ],
  });
});

test.each(["SELECT 'OURS'; SELECT 1", 'OURS; SELECT "', '', ';'])('nothing of ours in %j', text => {
  expect(readQueryString(text, plan, {})).toEqual({kind: 'plain'});
});

test('a wrong one of ours, and where it begins', () => {
  expect(readQueryString('SELECT 1; WRONG', plan, {})).toMatchObject({kind: 'refused', at: 10, steps: [{start: 0}]});
});

test.each([
  "COPY t TO '/etc/x'",
  'copy t (a) from $$/etc/x$$',
  "COPY (SELECT 'a') TO E'/etc/x' (FORMAT csv)",
  "/* COPY t TO STDOUT */ COPY -- to 'y'\n s.t(a, \"to\") FROM /* STDIN */ U&'\\0041' UESCAPE '!' WITH (DELIMITER 'x')",
  'COPY BINARY "from" FROM $x$/etc/x$x$ USING DELIMITERS \',\'',
  "COPY t FROM N'/etc/x'",
  "COPY t FROM PROGRAM 'id'",
  "COPY (SELECT 1) TO program E'id' (FORMAT csv)",
])('files and programs of the server are not for clients: %s', async text => {
  const found = readQueryString(`SELECT 1; ${text}`, () => undefined, {});
  const ours = found.kind === 'steps' ? found.steps[1].plan : undefined;
  await expect(ours?.kind === 'run' ? ours.run(undefined as never) : undefined).rejects.toMatchObject({
    code: '0A000',
  });
});

test('COPY with the client is theirs', () => {
  const text = `COPY t FROM STDIN (NULL 'x'); COPY t TO STDOUT; COPY (SELECT 'a' FROM t) TO STDOUT;
    COPY program FROM STDIN; COPY t ("from") TO STDOUT WITH (DELIMITER ','); COPY t FROM STDIN WHERE a = 'x'`;
  expect(readQueryString(text, () => undefined, {})).toEqual({kind: 'plain'});
});

test.each([
  "CREATE SECRET s AS 'x",
  "SELECT 1; ALTER SECRET s AS E'x\\'",
  "SELECT '; CREATE SECRET s AS 'x'",
  'CREATE /* SECRET s AS x',
])('what cannot be cut into tokens stays here if it may hold a secret: %j', text => {
  expect(readQueryString(text, () => undefined, {})).toMatchObject({
    kind: 'refused',
    at: 0,
    steps: [],
    error: {code: '42601', message: expect.stringContaining('unterminated')},
  });
});

test.each([
  ["PREPARE p AS CREATE SECRET s AS 'x'", 13],
  ["explain (analyze) alter secret s AS 'x'", 18],
  ["CREATE OR REPLACE SECRET s AS 'x'", 0],
  ["CREATE TEMP SECRET s AS 'x'", 0],
  [`(CREATE SECRET "s" AS 'x')`, 1],
  ["SELECT 1\nCREATE SECRET s AS 'x'", 9],
  ["SELECT 1\nALTER SECRET AS 'x'", 9],
])('a statement about a secret within another one stays here: %j', async (text, position) => {
  const found = readQueryString(text, () => undefined, {});
  const ours = found.kind === 'steps' ? found.steps[0].plan : undefined;
  await expect(ours?.kind === 'run' ? ours.run(undefined as never) : undefined).rejects.toMatchObject({
    code: '42601',
    position,
  });
});

test.each([
  "CREATE TABLE secret (a text DEFAULT 'create secret s')",
  'SELECT alter secret FROM t',
  'UPDATE alter secret SET a = 1',
  'SELECT create, secret FROM t',
  "DO $$BEGIN EXECUTE 'CREATE SECRET s AS 1'; END$$",
  'CREATE VIEW secret AS SELECT 1',
  'ALTER TABLE secret ADD a int',
  "SELECT 'secret",
])('the word alone is nothing of ours: %j', text => {
  expect(readQueryString(text, () => undefined, {})).toEqual({kind: 'plain'});
});

test('characters are code points', () => expect(characters('aä😀b', 1, 5)).toBe(3));

test('positions of the replaced text in the given one', () => {
  const text = 'SELECT x; OURS; SELECT 😀, y; OURS; SELECT z';
  const found = readQueryString(text, plan, {});
  const replaced = new ReplacedText(text, found.kind === 'steps' ? found.steps : [], ({plan: ours}) =>
    ours?.kind === 'rewrite' ? ours.sql : undefined,
  );
  expect(replaced.text).toBe('SELECT x; SELECT ours; SELECT 😀, y; SELECT ours; SELECT z');
  const positionOf = (of: string, within: string) => characters(within, 0, within.indexOf(of)) + 1;
  for (const token of ['x', 'y', 'z', '😀']) {
    expect(replaced.originalPosition(positionOf(token, replaced.text))).toBe(positionOf(token, text));
  }
  expect(replaced.originalPosition(positionOf('ours', replaced.text))).toBeUndefined();
});

test('current_role() is respelled, and every place stays where it is', () => {
  const text = "SELECT current_role(), '😀()', x; OURS; SELECT y";
  const found = readQueryString(text, plan, {});
  const replaced = new ReplacedText(text, found.kind === 'steps' ? found.steps : [], ({plan: ours}) =>
    ours?.kind === 'rewrite' ? ours.sql : undefined,
  );
  expect(replaced.text).toBe("SELECT current_role  , '😀()', x; SELECT ours; SELECT y");
  for (const token of ['x', 'y']) {
    expect(replaced.originalPosition(characters(replaced.text, 0, replaced.text.indexOf(token)) + 1)).toBe(
      characters(text, 0, text.indexOf(token)) + 1,
    );
  }
});

test.each([
  ['select 1', true],
  ['\n BEGIN ; ;\n', true],
  ['SELECT 1; SELECT 2', false],
  ['SELECT 1 CREATE sEcReT s', false],
  ['SELECT secre', true],
  ['SELECT current_role()', false],
  ['SELECT Current_User(), 1', false],
  ['SELECT current_catalog()', false],
  ['SELECT now(), f(current_role), user ()', true],
  ["SELECT ';'", false],
  ['selecting', false],
  ['SELECT 1 create secret s', false],
  ['SHOW x', false],
  ['/* c */ SELECT 1', false],
  ['', false],
  [`SELECT '${'x'.repeat(500)}'`, true],
  [`SELECT '${'x'.repeat(500)};'`, false],
])('plain: %j is %s', (text, expected) => {
  const buffer = Buffer.from(`;;;${text};x`);
  expect(isPlain(buffer, 3, buffer.length - 2)).toBe(expected);
});
