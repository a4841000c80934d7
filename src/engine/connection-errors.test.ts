import {expect, test} from 'vitest';
import {SqlError} from '../base/sql-error.ts';
import {isConnectionError} from './connection-errors.ts';

const withCode = (code: string) => Object.assign(new Error('x'), {code});

test.each(['08006', '08001', '57P01', '57P03', '53300', 'ECONNREFUSED', 'EPIPE'])('%s passes by itself', code => {
  expect(isConnectionError(withCode(code))).toBe(true);
});

test.each(['23505', '28P01', '57014', '42P01', '40001', 'ERR_ASSERTION', '57PXX1'])('%s does not', code => {
  expect(isConnectionError(withCode(code))).toBe(false);
});

test('other shapes', () => {
  expect(isConnectionError(new SqlError('08003', 'closed'))).toBe(true);
  expect(isConnectionError(new AggregateError([withCode('ECONNREFUSED'), withCode('ENETUNREACH')]))).toBe(true);
  expect(isConnectionError(new AggregateError([withCode('ECONNREFUSED'), new Error('other')]))).toBe(false);
  expect(isConnectionError(new AggregateError([]))).toBe(false);
  expect(isConnectionError(new Error('Connection terminated'))).toBe(false);
  expect(isConnectionError(undefined)).toBe(false);
});
