import fc from 'fast-check';
import pg from 'pg';
import {afterAll, beforeAll, describe, expect, test} from 'vitest';
import {RESERVED} from '../../src/sql/keywords.ts';
import {Lexer} from '../../src/sql/lexer.ts';
import {splitStatements} from '../../src/sql/split.ts';
import {hasUnicodeEscapes, stringOf} from '../../src/sql/token-values.ts';
import {serverUrl} from '../setup/postgres.ts';

// PostgreSQL is asked what a text means; our lexer has to say the same.
describe.each([18, 15] as const)('PostgreSQL %i', version => {
  const client = new pg.Client({connectionString: serverUrl(version).href});
  beforeAll(() => client.connect());
  afterAll(() => client.end());

  describe.each([true, false])('standard_conforming_strings %s', standardConformingStrings => {
    beforeAll(async () => {
      await client.query(
        `SET standard_conforming_strings = ${standardConformingStrings}; SET escape_string_warning = off`,
      );
    });

    /** A constant whose body is a soup of everything that means something in one. */
    const constant = fc
      .tuple(
        fc.constantFrom(`'`, `E'`, `e'`, `N'`, `U&'`, '$$', '$q$'),
        fc.array(
          fc.constantFrom(
            `''`,
            '\\',
            `\\'`,
            '\\\\',
            '\\x41',
            '\\101',
            '\\u0041',
            '\\U0001F600',
            '\\0061',
            '\\+01F600',
            ';',
            `'\n'`,
            `' -- '\n  '`,
            '--',
            '/*',
            '$$',
            '$q$',
            'a',
            'é',
            '"',
            `'`,
          ),
          {maxLength: 6},
        ),
      )
      .map(([open, body]) => open + body.join('') + (open.startsWith('$') ? open : `'`));

    test('constants end where PostgreSQL ends them, and mean the same', async () => {
      let accepted = 0;
      await fc.assert(
        fc.asyncProperty(constant, async text => {
          let expected: string | undefined;
          try {
            // Whatever stands behind the constant must not be swallowed by it.
            const {rows} = await client.query<{value: string; sentinel: string}>(
              `SELECT ${text} AS value, 'x' AS sentinel`,
            );
            if (rows[0]?.sentinel === 'x') expected = rows[0].value;
          } catch {
            expected = undefined;
          }
          const lexer = new Lexer(text, {standardConformingStrings});
          lexer.next();
          const whole = lexer.kind === 'string' && lexer.end === text.length;
          if (expected === undefined) {
            if (whole) {
              const refused = hasUnicodeEscapes(text) && !standardConformingStrings;
              if (!refused) expect(() => stringOf(text, 0, {standardConformingStrings})).toThrow();
            }
            return;
          }
          accepted++;
          expect(whole).toBe(true);
          expect(stringOf(text, 0, {standardConformingStrings})).toBe(expected);
        }),
        {numRuns: 1500},
      );
      expect(accepted).toBeGreaterThan(200);
    });

    const scrap = fc.constantFrom(
      '1',
      `'a;b'`,
      `E'\\';'`,
      standardConformingStrings ? `'\\'` : `'\\';'`,
      '$$;$$',
      '$q$ ; $$ ; $q$',
      '1 AS "x;y"',
      '1 /* ; /* ; */ ; */',
      '1 -- ; \n',
      `'a'\n';'`,
      '(2)',
      '(SELECT 1)',
      'CASE WHEN true THEN 1 END',
      `B'1'`,
      `N';'`,
      '1 AS a$b$c',
      '1 +-1',
      '1*-/* ; */1',
      '1 AS "end"',
      '1 end',
      '1 AS begin',
      '1 atomic',
      '1.5e3',
      '.5',
      '"a;".b FROM (SELECT 1 AS b) AS "a;"',
    );
    const select = fc.oneof(
      {
        weight: 5,
        arbitrary: fc
          .array(scrap, {minLength: 1, maxLength: 3})
          .map(all => `SELECT ${all.filter((s, i) => i === all.length - 1 || !s.includes('FROM')).join(', ')}`),
      },
      fc.constantFrom(
        'CREATE OR REPLACE FUNCTION pg_temp.f() RETURNS integer BEGIN ATOMIC SELECT 1; SELECT CASE WHEN true THEN 2 END; END',
        'CREATE OR REPLACE FUNCTION pg_temp.f() RETURNS integer LANGUAGE sql BEGIN ATOMIC SELECT 1 end; END',
        'CREATE OR REPLACE FUNCTION pg_temp.f() RETURNS integer BEGIN ATOMIC SELECT x.begin atomic FROM (SELECT 1) AS x (begin); SELECT 3; END',
        `CREATE OR REPLACE PROCEDURE pg_temp.p() BEGIN ATOMIC END`,
        `CREATE OR REPLACE FUNCTION pg_temp.g() RETURNS integer LANGUAGE sql AS 'SELECT 1; SELECT 2'`,
        'SELECT begin atomic FROM (SELECT 1) AS x (begin)',
        `DO $$ BEGIN NULL; END $$`,
      ),
    );

    test('a string is cut into as many statements as PostgreSQL runs', async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.array(fc.tuple(select, fc.constantFrom(';', ' ; ;', '\n;-- ;\n', ';/* ; */')), {
            minLength: 1,
            maxLength: 5,
          }),
          async statements => {
            const text = statements.flat().join('\n');
            const results = (await client.query(text)) as unknown;
            const {broken, statements: cut} = splitStatements(text, {standardConformingStrings});
            expect(broken).toBeUndefined();
            expect(cut).toHaveLength(Array.isArray(results) ? results.length : 1);
          },
        ),
        {numRuns: 400},
      );
    });
  });

  test.runIf(version === 18)('reserved words are those of PostgreSQL', async () => {
    const {rows} = await client.query<{word: string}>(`SELECT word FROM pg_get_keywords() WHERE catcode IN ('R', 'T')`);
    expect([...RESERVED].sort()).toEqual(rows.map(({word}) => word).sort());
  });
});
