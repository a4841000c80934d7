import {expect, test} from 'vitest';
import type {SqlError} from '../base/sql-error.ts';
import {parseStatement} from '../sql/parser.ts';
import {evaluateSecret} from './secret-value.ts';

function value(expression: string): string {
  const statement = parseStatement(`CREATE SECRET s AS ${expression}`, 'create');
  if (statement.kind !== 'createSecret') throw new Error('expected CREATE SECRET');
  return evaluateSecret(statement.value).toString('hex');
}

const hex = (text: string): string => Buffer.from(text).toString('hex');

test.each([
  [`'plain'`, hex('plain')],
  [`'ä😀'`, hex('ä😀')],
  [`''`, ''],
  [`'\\x00fF'`, '00ff'],
  [`'a\\\\b\\001'`, `${hex('a\\b')}01`],
  [`'\\x00'::text`, hex('\\x00')],
  [`E'\\\\x00'`, '00'],
  [`'pa\\ss'::text`, hex('pa\\ss')],
  [`decode('aGk=', 'base64')`, hex('hi')],
  [`decode('aG' || E'\\n' || 'k=', 'BASE64')`, hex('hi')],
  [`decode('00 ff', 'hex')`, '00ff'],
  [`decode('a\\\\', 'escape')`, hex('a\\')],
  [`convert_to('ä', 'UTF-8')`, hex('ä')],
  [`'a' || 'b' || 'c'`, hex('abc')],
  [`'a'::bytea || '\\x00'`, `${hex('a')}00`],
  [`convert_to('a', 'utf8') || decode('00', 'hex')`, `${hex('a')}00`],
  [`42::text`, hex('42')],
  [`CAST('x' AS varchar)`, hex('x')],
  [`$$it's$$`, hex(`it's`)],
])('%s', (expression, expected) => {
  expect(value(expression)).toBe(expected);
});

test.each([
  [`decode('hunter2!', 'base64')`, '22023'],
  [`decode('hunter2', 'hex')`, '22023'],
  [`'hunter2\\'`, '22P02'],
  [`hunter2('x')`, '0A000'],
  [`'hunter2'::hunter2`, '0A000'],
  [`convert_to('hunter2', 'latin1')`, '0A000'],
  [`'hunter2'::bytea::text`, '0A000'],
  [`'\\x00'::bytea || 'hunter2'::text`, '42883'],
  [`convert_to('\\x00'::bytea, 'utf8')`, '42883'],
  [`'${'x'.repeat(600_000)}'`, '54000'],
])('%s is refused without a word about the value', (expression, code) => {
  let error: SqlError | undefined;
  try {
    value(expression);
  } catch (thrown) {
    error = thrown as SqlError;
  }
  expect(error?.code).toBe(code);
  expect(`${error?.message} ${error?.detail} ${error?.hint}`).not.toContain('hunter2');
});
