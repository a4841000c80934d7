import fc from 'fast-check';
import {expect, test, vi} from 'vitest';
import {SqlError} from '../../src/base/sql-error.ts';
import {characters, readQueryString} from '../../src/gateway/query-string.ts';
import {familyOf} from '../../src/sql/classify.ts';
import {splitStatements} from '../../src/sql/split.ts';
import {planStatement} from '../../src/statements/plan.ts';

// What is quadratic needs hours for a text of these lengths.
vi.setConfig({testTimeout: 300_000});

/** All that happens to a text before a word of it goes to PostgreSQL. Whatever is thrown is an `SqlError` that blames a place in it. */
function read(text: string, standardConformingStrings = true): void {
  const found = readQueryString(text, planStatement, {standardConformingStrings});
  if (found.kind !== 'refused') return;
  if (!(found.error instanceof SqlError)) throw found.error;
  const {code, position = 0} = found.error;
  expect(code).toMatch(/^(42|22|0A|54)/);
  expect(position).toBeGreaterThanOrEqual(0);
  expect(found.at + position).toBeLessThanOrEqual(text.length);
  expect(characters(text, 0, found.at + position)).toBeLessThanOrEqual(text.length);
}

const HEADS = [
  '',
  'SELECT',
  'CREATE SINK',
  'CREATE SINK s FROM t INTO KAFKA CONNECTION k (',
  'CREATE CONNECTION k TO KAFKA (',
  'ALTER CONNECTION k SET (',
  'CREATE SECRET s AS',
  'ALTER SECRET s AS',
  'CREATE CLUSTER c (',
  'ALTER CLUSTER c SET (',
  'SHOW',
  'SHOW SINKS WHERE',
  'SET cluster TO',
  'GRANT USAGE ON SECRET x',
  'ALTER DEFAULT PRIVILEGES',
  'COMMENT ON SECRET s IS',
  'DROP CONNECTION',
  'EXPLAIN KEY SCHEMA FOR',
  'COPY',
  'CREATE FUNCTION f() RETURNS int BEGIN ATOMIC',
];
const WORDS =
  'CREATE ALTER DROP SHOW SINK CONNECTION SECRET CLUSTER REPLICA FROM INTO KAFKA IN TO KEY FORMAT JSON AVRO ENVELOPE UPSERT WITH SET RESET ' +
  'AS IF NOT EXISTS ON SYSTEM FOR ROLE LIKE WHERE BEGIN ATOMIC END CASE MAP TOPIC BROKER BROKERS SIZE USING SSH TUNNEL UESCAPE CAST decode';
const SIGNS = `( ) [ ] , . .. ; : :: := = => || + - -- /* */ ' '' " "" $ $$ $a$ $1 \\ E' U&' U&" B' X' N' 'text' "name" 12 1.5 0x1f 1_0 1e`;

test('soup of tokens, letters and signs', () => {
  const scrap = fc.oneof(
    {weight: 6, arbitrary: fc.constantFrom(...WORDS.split(' '), ...SIGNS.split(' '))},
    {weight: 1, arbitrary: fc.string({unit: 'binary', maxLength: 5})},
    {
      weight: 1,
      arbitrary: fc.constantFrom('\0', '\ufeff', '\ud800', '\udc00', '\u00a0', '\u2028', '\r', '\n', '\v', 'ſ', 'İ'),
    },
  );
  fc.assert(
    fc.property(
      fc.constantFrom(...HEADS),
      fc.array(scrap, {maxLength: 25}),
      fc.constantFrom(' ', '', '\n'),
      fc.boolean(),
      (head, tail, glue, conforming) => read([head, ...tail].join(glue), conforming),
    ),
    {numRuns: 20_000},
  );
});

const NESTED: readonly (readonly [string, string])[] = [
  ['(', ')'],
  ['[', ']'],
  ['/*', '*/'],
  ['(/*', '*/)'],
  ['CASE WHEN ', ' END'],
  ['BEGIN ATOMIC ', '; END'],
  ['MAP[', ']'],
  ['CAST(', ' AS text)'],
  ['decode(', ", 'hex')"],
  ['$a$ $b$ ', ' $b$ $a$'],
];

/** One for each way of reading on: as PostgreSQL's, value by value, option by option, as an expression. */
const READERS = ['SELECT', 'CREATE SECRET s AS', 'CREATE CONNECTION k TO KAFKA (', 'SHOW SINKS WHERE'];

test.each(READERS)('depth ten thousand, and a megabyte of it: %s', head => {
  for (const [open, close] of NESTED) {
    for (const depth of [10_000, Math.ceil(1_000_000 / (open.length + close.length))]) {
      read(`${head} ${open.repeat(depth)}x${close.repeat(depth)}`);
      read(`${head} ${open.repeat(depth)}`);
      read(`${head} ${close.repeat(depth)}`);
    }
  }
});

const REPEATED = [
  ...["'", "''", "'a' ", "'a'\n", "E'\\'' ", "U&'\\0061' ", '"', '""', '"a" ', '"a".', 'a.', 'a, ', "'a', ", '.'],
  ...[
    '$',
    '$$',
    '$a$',
    '$1 ',
    '$$a$$ ',
    '+',
    '-',
    '- ',
    '+-',
    '*/',
    '/',
    '@-',
    '||',
    "|| 'a' ",
    '::',
    '::text ',
    '=> ',
  ],
  ...[
    ';',
    ' ;',
    '; SELECT 1',
    '; SHOW SINKS',
    '; CREATE SINK',
    ';\ufeff',
    '1',
    '1_0',
    '1.',
    '1e',
    '0x',
    '.5 ',
    '\\',
    "\\'",
  ],
  ...[
    '\n',
    '--\n',
    '-- a\r',
    '/**/',
    'a',
    'é',
    '\u{1f600}',
    '\0',
    '\ufeff',
    '\ud800',
    'create ',
    'secret ',
    'create or ',
  ],
  ...['end ', 'atomic ', 'case ', 'on ', 'to ', 'a = 1, ', "TOPIC = 'x', ", 'SET (a), ', 'uescape ', 'in cluster c '],
];

test.each(READERS)('a megabyte of one thing: %s', head => {
  for (const piece of REPEATED) read(`${head} ${piece.repeat(Math.ceil(1_000_000 / piece.length))}`);
});

test('a hundred thousand statements in one string are found, ours among them', () => {
  const text = 'SELECT 1;\nSHOW SINKS;'.repeat(50_000);
  const {statements} = splitStatements(text);
  expect(statements).toHaveLength(100_000);
  const found = readQueryString(text, planStatement, {});
  const ours = found.kind === 'steps' ? found.steps.filter(({plan}) => plan !== undefined) : [];
  expect(ours).toHaveLength(50_000);
});

test.each([
  ['a byte order mark', '\ufeffSHOW SINKS', undefined],
  ['a no-break space, which is a letter', 'SHOW\u00a0SINKS', undefined],
  ['a long s, which is no s', '\u017fHOW SINKS', undefined],
  ['a dotted capital I, which is no i', 'SHOW S\u0130NKS', undefined],
  ['white space of PostgreSQL', '\f\v\tSHOW\r\nSINKS\v', 'show'],
  ['a zero byte, which ends the text on the wire', 'SHOW\0SINKS', undefined],
])('%s', (_, text, family) => {
  expect(familyOf(text)).toBe(family);
});
