import fc from 'fast-check';
import {expect, test} from 'vitest';
import {SqlError} from '../../src/base/sql-error.ts';
import {familyOf} from '../../src/sql/classify.ts';
import {parseStatement} from '../../src/sql/parser.ts';
import {printRedacted, printStatement} from '../../src/sql/print.ts';
import {splitStatements} from '../../src/sql/split.ts';
import type {LexicalOptions} from '../../src/sql/lexer.ts';
import {statement} from './arbitrary-statement.ts';

/** Positions are where the text has them; everything else must come back. */
function withoutPositions(tree: unknown): unknown {
  return JSON.parse(JSON.stringify(tree, (key, value: unknown) => (key === 'at' ? undefined : value)));
}

function parse(text: string, options?: LexicalOptions): unknown {
  const family = familyOf(text, undefined, options);
  if (family === undefined) throw new Error(`not recognized: ${text}`);
  return withoutPositions(parseStatement(text, family, options));
}

test('parse(print(x)) = x, under both settings of standard_conforming_strings', () => {
  fc.assert(
    fc.property(statement, fc.boolean(), (tree, standardConformingStrings) => {
      const text = printStatement(tree);
      expect(parse(text, {standardConformingStrings})).toEqual(withoutPositions(tree));
      expect(splitStatements(`${text}; ${text};`, {standardConformingStrings}).statements).toHaveLength(2);
    }),
    {numRuns: 3000},
  );
});

test('the redacted print can be read, and repeats itself', () => {
  fc.assert(
    fc.property(statement, tree => {
      const redacted = printRedacted(tree);
      fc.pre(familyOf(redacted) !== undefined && !/REDACTED.*(=> |BY = )/.test(redacted));
      try {
        const family = familyOf(redacted)!;
        expect(printRedacted(parseStatement(redacted, family))).toBe(redacted);
      } catch (error) {
        // Numbers and intervals cannot be hidden behind a string and still be numbers.
        if (!(error instanceof SqlError)) throw error;
        expect(error.message).toMatch(/cannot use value as/);
      }
    }),
    {numRuns: 500},
  );
});

test('token soup gives a tree or an SqlError whose position lies in the text', () => {
  const scraps = fc.constantFrom(
    ...'CREATE ALTER DROP SHOW SINK CONNECTION SECRET CLUSTER FROM INTO KAFKA IN TO KEY FORMAT JSON ENVELOPE UPSERT WITH SET'.split(
      ' ',
    ),
    ...`( ) [ ] , . ; = => :: || 'text' "name" 12 1.5 $1 $$x$$ MAP TOPIC BROKER SIZE AS IF NOT EXISTS /* -- ' E'\\ decode`.split(
      ' ',
    ),
  );
  fc.assert(
    fc.property(
      fc.constantFrom(
        'CREATE SINK',
        'CREATE CONNECTION k TO KAFKA (',
        'SHOW',
        'CREATE SECRET s AS',
        'ALTER CLUSTER',
        'SET cluster',
        'GRANT USAGE ON SECRET x',
        'DROP SINK',
      ),
      fc.array(scraps, {maxLength: 20}),
      (head, tail) => {
        const text = [head, ...tail].join(' ');
        const family = familyOf(text);
        if (family === undefined) return;
        try {
          parseStatement(text, family);
        } catch (error) {
          if (!(error instanceof SqlError)) throw error;
          expect(error.position ?? 0).toBeLessThanOrEqual(text.length);
          expect(error.position ?? 0).toBeGreaterThanOrEqual(0);
        }
      },
    ),
    {numRuns: 5000},
  );
});

test.each([
  ['CREATE SECRET s AS ', '('],
  ['CREATE SECRET s AS ', 'decode('],
  ["CREATE SECRET s AS 'x'", '::text'],
  ["CREATE SECRET s AS 'x'", " || 'x'"],
  ['CREATE SINK s FROM t INTO KAFKA CONNECTION k (PARTITION BY ', '('],
  ['CREATE SINK s FROM t INTO KAFKA CONNECTION k (TOPIC CONFIG MAP', '['],
  ['CREATE CONNECTION k TO KAFKA (BROKERS ', '('],
  ['SHOW SINKS WHERE ', '('],
  ['DROP SINK a', ', a'],
  ['CREATE SINK a', '.a'],
])('a hundred thousand times: %s%s…', (head, piece) => {
  const text = head + piece.repeat(100_000);
  const begun = performance.now();
  try {
    parseStatement(text, familyOf(text)!);
  } catch (error) {
    if (!(error instanceof SqlError)) throw error;
  }
  // Twenty milliseconds where the time grows with the length, many minutes where it grows with its square.
  expect(performance.now() - begun).toBeLessThan(20_000);
});

test('no error about a secret repeats what was typed', () => {
  for (const text of [
    `CREATE SECRET s 'hunter2'`,
    `CREATE SECRET s AS hunter2`,
    `CREATE SECRET s AS 'x' hunter2`,
    `CREATE SECRET s AS hunter2('x')`,
    `CREATE SECRET s AS 'hunter2`,
    `CREATE SECRET s AS E'hunter2\\u12'`,
    `ALTER SECRET s AS 'x' 'hunter2'`,
  ]) {
    let message = '';
    try {
      parseStatement(text, familyOf(text)!);
    } catch (error) {
      message = `${(error as SqlError).message} ${(error as SqlError).detail} ${(error as SqlError).hint}`;
    }
    expect(message, text).not.toContain('hunter2');
  }
});
