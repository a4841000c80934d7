import {readdirSync} from 'node:fs';
import {join} from 'node:path';
import {afterAll, describe, expect, test} from 'vitest';
import {SqlError} from '../../src/base/sql-error.ts';
import {familyOf} from '../../src/sql/classify.ts';
import {parseStatement} from '../../src/sql/parser.ts';
import {printRedacted, printStatement} from '../../src/sql/print.ts';
import {type Case, readCases, updating, writeCases} from './case-file.ts';
import {printError} from './print-error.ts';

const DIRECTORY = join(import.meta.dirname, '../cases/sql');

/** Canonical print, the redacted one where it differs, or the error. */
function answer(text: string): string {
  const family = familyOf(text);
  if (family === undefined) return 'sent on to PostgreSQL';
  try {
    const statement = parseStatement(text, family);
    if (statement.kind === 'unsupported') return `${statement.what} not yet supported`;
    const printed = printStatement(statement);
    const redacted = printRedacted(statement);
    return redacted === printed ? printed : `${printed}\nredacted: ${redacted}`;
  } catch (error) {
    if (error instanceof SqlError) return printError(text, error);
    throw error;
  }
}

for (const name of readdirSync(DIRECTORY)) {
  describe(name, () => {
    const file = join(DIRECTORY, name);
    const cases = readCases(file);
    const answers: Case[] = [];
    test.each(cases)('line $line: $input', one => {
      const expected = answer(one.input);
      answers.push({...one, expected});
      if (!updating) expect(expected).toBe(one.expected);
    });
    afterAll(() => {
      if (updating && answers.length === cases.length) writeCases(file, answers);
    });
  });
}
