import {expect, test} from 'vitest';
import {withoutRoleCalls} from './role-calls.ts';

test.each([
  ['SELECT current_role()', 'SELECT current_role  '],
  ['SELECT a, Current_User(), USER() FROM t', 'SELECT a, Current_User  , USER   FROM t'],
  [
    'SELECT mz_environment_id(), current_database(), session_user(), current_catalog() -- user()',
    'SELECT mz_environment_id(), current_database(), session_user  , current_catalog   -- user()',
  ],
])('%s', (given, expected) => {
  expect(withoutRoleCalls(given)).toBe(expected);
});

test.each([
  'SELECT current_role',
  "SELECT 'current_role()'",
  'SELECT $$current_role()$$',
  'SELECT "user"()',
  'SELECT s.user(), s . current_role(), s./* x */user()',
  'SELECT my_user(), superuser()',
  'SELECT current_schema(), now()',
  'SELECT current_role(1)',
])('nothing to do: %s', text => {
  expect(withoutRoleCalls(text)).toBeUndefined();
});
