import {expect, test} from 'vitest';
import {SqlError} from '../base/sql-error.ts';
import {CommitUnknown, Fenced, Stall, Transient} from './errors.ts';
import {backOffMs, explain, reaction} from './reaction.ts';

test('what is not known stalls: a guess could lose or double a row', () => {
  expect(reaction(new Error('something'))).toBe('stall');
  expect(reaction('a string')).toBe('stall');
  expect(reaction(new Stall('SL001', 'gone', {hint: 'Do this.'}))).toBe('stall');
});

test('a fenced writer asks the lease, an unknown outcome the target, a lost server waits', () => {
  expect(reaction(new Fenced('fenced'))).toBe('askLease');
  expect(reaction(new CommitUnknown('no answer'))).toBe('reopen');
  expect(reaction(new Transient('broker down'))).toBe('retry');
  expect(reaction(new SqlError('57P01', 'terminating connection'))).toBe('retry');
  expect(reaction(Object.assign(new Error('refused'), {code: 'ECONNREFUSED'}))).toBe('retry');
  expect(reaction(new SqlError('42P01', 'relation does not exist'))).toBe('stall');
});

test('an explanation has the chain of causes once each, the hint, and whether it is retried', () => {
  const cause = new Error('timed out');
  const middle = new Error('timed out', {cause});
  const error = new Transient('committing to topic t', {cause: middle, hint: 'Look at the broker.'});
  expect(explain(error)).toEqual({
    error: 'committing to topic t: timed out',
    details: {retrying: true, hints: ['Look at the broker.'], code: undefined},
  });
  expect(explain(new Stall('SL011', 'lost', {hint: 'Start over.'})).details).toEqual({
    retrying: false,
    hints: ['Start over.'],
    code: 'SL011',
  });
});

test('an error of PostgreSQL keeps its detail and hint, and what nobody has thought of has a code too', () => {
  const error = new SqlError('42501', 'permission denied for table t', {detail: 'It is not yours.', hint: 'Ask.'});
  expect(explain(error)).toEqual({
    error: 'permission denied for table t (It is not yours.)',
    details: {retrying: false, hints: ['Ask.'], code: 'SL200'},
  });
  expect(explain(new TypeError('x is not a function')).details.code).toBe('SL900');
  expect(explain('a string')).toEqual({error: 'a string', details: {retrying: false, hints: [], code: 'SL900'}});
});

test('waits grow from a tenth of a second to half a minute and differ between sinks', () => {
  const low = (attempt: number) => backOffMs(attempt, () => 0);
  const high = (attempt: number) => backOffMs(attempt, () => 1);
  expect([low(0), high(0)]).toEqual([50, 100]);
  expect([low(3), high(3)]).toEqual([400, 800]);
  expect([low(50), high(50)]).toEqual([15_000, 30_000]);
});
