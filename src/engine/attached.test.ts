import {expect, test} from 'vitest';
import {judge, parseEngineUrl} from './attached.ts';

test.each([
  [
    'postgres://u:p%40ss@db.example.com:5433/app?sslmode=verify-full&sslrootcert=/ca.pem',
    {
      host: 'db.example.com',
      port: 5433,
      database: 'app',
      user: 'u',
      password: 'p@ss',
      sslmode: 'verify-full',
      sslrootcert: '/ca.pem',
    },
  ],
  ['postgresql://u@h', {host: 'h', port: 5432, database: 'u', user: 'u', sslmode: 'prefer'}],
  ['postgres://u@h?sslmode=allow', {host: 'h', port: 5432, database: 'u', user: 'u', sslmode: 'prefer'}],
  ['postgres://u@[::1]:1/d', {host: '::1', port: 1, database: 'd', user: 'u', sslmode: 'prefer'}],
  [
    'postgres://u@%2Frun%2Fpostgresql/d?sslmode=require',
    {host: '/run/postgresql', port: 5432, database: 'd', user: 'u', sslmode: 'disable'},
  ],
  [
    'postgres://u@/d?host=/run/postgresql',
    {host: '/run/postgresql', port: 5432, database: 'd', user: 'u', sslmode: 'disable'},
  ],
])('%s', (url, address) => {
  expect(parseEngineUrl(url, {})).toEqual(address);
});

test('the password of the environment counts where the URL has none', () => {
  expect(parseEngineUrl('postgres://u@h/d', {PGPASSWORD: 'env'}).password).toBe('env');
  expect(parseEngineUrl('postgres://u:url@h/d', {PGPASSWORD: 'env'}).password).toBe('url');
});

test.each([
  'mysql://u:hunter2@h/d',
  'postgres://h/d',
  'postgres://u:hunter2@h/d?sslmode=no',
  'postgres://u:hunter2@h/d?target_session_attrs=any',
  'postgres://u:hunter2@h/%zz',
  'u:hunter2@h',
])('%s is refused, and no message repeats the password', url => {
  const refusal = expect.objectContaining({code: '22023', message: 'invalid URL of PostgreSQL'});
  expect(() => parseEngineUrl(url, {})).toThrow(refusal);
  try {
    parseEngineUrl(url, {});
  } catch (error) {
    expect(JSON.stringify({...(error as object)})).not.toContain('hunter2');
  }
});

const good = {version: 180_004, wal_level: 'logical', standby: false, may_replicate: true};

test('a server that is all right', () => {
  expect(judge(good, 'u')).toEqual([]);
});

test.each([
  [{...good, version: 140_012}, '0A000', 'PostgreSQL 14 is too old'],
  [{...good, standby: true}, '55000', 'this PostgreSQL is a standby'],
  [{...good, wal_level: 'replica'}, '55000', 'wal_level is "replica" and must be "logical"'],
  [{...good, may_replicate: false}, '42501', 'role "o""x" may not replicate'],
])('%o', (server, code, message) => {
  expect(() => judge(server, 'o"x')).toThrow(
    expect.objectContaining({code, message: message.replace('""', '"'), hint: expect.any(String)}),
  );
});

test.each([
  [150_012, 1],
  [150_013, 0],
  [160_008, 1],
  [170_005, 0],
])('version %i gives %i warnings', (version, count) => {
  expect(judge({...good, version}, 'u')).toHaveLength(count);
});
