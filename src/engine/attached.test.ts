import {expect, test} from 'vitest';
import {CHECKS} from './attached-checks.ts';
import {EVENT_TRIGGERS, eventTriggerStatements} from './attached-event-triggers.ts';
import type {OldServer, ServerFacts} from './attached-facts.ts';
import {judgeServer, parseEngineUrl, refusal} from './attached.ts';

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

const good: ServerFacts = {
  version: 180_004,
  standby: false,
  settings: {
    wal_level: 'logical',
    max_replication_slots: '10',
    max_wal_senders: '10',
    max_connections: '100',
    superuser_reserved_connections: '3',
    wal_sender_timeout: '60000',
    max_slot_wal_keep_size: '-1',
    idle_replication_slot_timeout: '0',
  },
  encoding: 'UTF8',
  role: {
    name: 'o"x',
    superuser: false,
    replication: true,
    connectionLimit: -1,
    connections: 1,
    quietTriggers: true,
  },
  database: {name: 'd', mayCreate: true, connectionLimit: -1, connections: 1},
  slots: {used: 0, ours: 0, lost: []},
  senders: {used: 0, ours: 0},
  connections: 5,
  backend: {own: 7, announced: 7},
  encrypted: true,
  remote: true,
  walsender: undefined,
  idleStandbySlots: [],
  schemas: [],
  eventTriggers: EVENT_TRIGGERS.map(({name}) => name),
  tables: {all: 3, foreign: 0, owners: []},
};
const but = (changes: Partial<ServerFacts>): ServerFacts => ({...good, ...changes});
const set = (settings: Readonly<Record<string, string>>) => but({settings: {...good.settings, ...settings}});
const as = (role: Partial<ServerFacts['role']>) => but({role: {...good.role, ...role}});
const ours = (usable: boolean) => ['mz_sluice', 'mz_catalog'].map(name => ({name, owner: 'other', usable}));

/** What is not all right, as `status check: text`. */
const troubles = (facts: ServerFacts | OldServer) => judgeServer(facts).filter(({status}) => status !== 'ok');

test('a server that is all right', () => {
  expect(troubles(good)).toEqual([]);
  expect(judgeServer(good).map(({check}) => check)).toEqual(CHECKS.map(({name}) => name));
});

test.each<[string, ServerFacts | OldServer, string, string, RegExp]>([
  ['version', {version: 140_012}, '0A000', 'PostgreSQL 14 is too old', /Upgrade the server/],
  ['pooler', but({backend: {own: 7, announced: 8}}), '08P01', 'connection pooler', /PostgreSQL itself/],
  ['primary', but({standby: true}), '55000', 'is a standby', /primary/],
  ['encoding', but({encoding: 'SQL_ASCII'}), '0A000', 'SQL_ASCII', /ENCODING 'UTF8'/],
  ['wal_level', set({wal_level: 'replica'}), '55000', 'wal_level is "replica"', /ALTER SYSTEM SET wal_level = logical/],
  ['replication privilege', as({replication: false}), '42501', 'role "o""x"', /ALTER ROLE "o""x" REPLICATION/],
  [
    'create privilege',
    but({database: {...good.database, mayCreate: false}}),
    '42501',
    'database "d"',
    /GRANT CREATE ON DATABASE "d" TO "o""x"/,
  ],
  ['schemas', but({schemas: ours(false)}), '42501', 'set up here by role other', /GRANT other TO "o""x"/],
  [
    'schemas',
    but({schemas: [{name: 'mz_internal', owner: 'x', usable: true}]}),
    '42P06',
    'schema of the name mz_internal',
    /another database/,
  ],
  ['replication slots', but({slots: {used: 10, ours: 0, lost: []}}), '53400', 'all 10', /max_replication_slots = 20/],
  ['wal senders', but({senders: {used: 10, ours: 0}}), '53300', 'all 10', /max_wal_senders = 20/],
  ['replication connection', but({walsender: {code: '28000', message: 'no'}}), '28000', 'refused: no', /pg_hba/],
])('%s: %o fails', (check, facts, code, text, remedy) => {
  expect(troubles(facts)).toEqual([
    {check, status: 'failed', code, text: expect.stringContaining(text), remedy: expect.stringMatching(remedy)},
  ]);
});

test.each<[string, ServerFacts, RegExp]>([
  ['version', but({version: 150_012}), /15\.13 or newer/],
  ['version', but({version: 160_008}), /16\.9/],
  ['encryption', but({encrypted: false}), /sslmode=verify-full/],
  ['encoding', but({encoding: 'LATIN1'}), /UTF8/],
  ['lost slots', but({slots: {used: 1, ours: 1, lost: ['sluice_5_u1']}}), /create them again/],
  ['connections', set({max_connections: '12'}), /max_connections = 62/],
  ['connections', as({connectionLimit: 4}), /ALTER ROLE "o""x" CONNECTION LIMIT/],
  ['connections', but({database: {...good.database, connectionLimit: 4}}), /ALTER DATABASE "d" CONNECTION LIMIT/],
  ['wal_sender_timeout', set({wal_sender_timeout: '0'}), /wal_sender_timeout = '60s'/],
  ['wal_sender_timeout', set({wal_sender_timeout: '3000'}), /wal_sender_timeout = '60s'/],
  ['max_slot_wal_keep_size', set({max_slot_wal_keep_size: '64'}), /max_slot_wal_keep_size = /],
  ['idle_replication_slot_timeout', set({idle_replication_slot_timeout: '60'}), /idle_replication_slot_timeout = 0/],
  ['synchronized_standby_slots', but({idleStandbySlots: ['s1']}), /synchronized_standby_slots/],
  [
    'event triggers',
    but({eventTriggers: [], schemas: ours(true)}),
    /^Run this.*CREATE EVENT TRIGGER sluice_on_rewrite ON table_rewrite/,
  ],
  ['event triggers', but({eventTriggers: []}), /^Start Sluice once/],
  ['session_replication_role', as({quietTriggers: false}), /GRANT SET ON PARAMETER session_replication_role/],
  ['tables', but({tables: {all: 3, foreign: 2, owners: ['app', '"X"']}}), /GRANT app, "X" TO "o""x"/],
])('%s: %o is a warning', (check, facts, remedy) => {
  expect(troubles(facts)).toEqual([
    {check, status: 'warning', text: expect.any(String), remedy: expect.stringMatching(remedy)},
  ]);
});

test('what is in use by Sluice itself does not keep it from starting again', () => {
  expect(troubles(but({slots: {used: 10, ours: 1, lost: []}, senders: {used: 10, ours: 1}}))).toEqual([]);
});

test('a superuser is told nothing of what he can do without', () => {
  expect(troubles(but({role: {...good.role, superuser: true, quietTriggers: false}, eventTriggers: []}))).toEqual([]);
});

test('everything that has failed is in one error, each with its remedy', () => {
  const failures = judgeServer(but({standby: true, encoding: 'SQL_ASCII'})).filter(({status}) => status === 'failed');
  expect(refusal(failures)).toMatchObject({
    code: '55000',
    message: 'Sluice cannot run on this PostgreSQL, for 2 reasons',
    detail: expect.stringMatching(/^1\. this PostgreSQL is a standby\n2\. the database is encoded in SQL_ASCII/),
    hint: expect.stringMatching(/^1\. Give the URL of the primary\.\n2\. Use a database/),
  });
  expect(refusal(failures.slice(0, 1)).message).toBe('this PostgreSQL is a standby');
});

test('the statements for a superuser', () => {
  expect(EVENT_TRIGGERS.flatMap(eventTriggerStatements).slice(0, 3)).toEqual([
    `CREATE EVENT TRIGGER sluice_after_ddl ON ddl_command_end WHEN TAG IN ('CREATE TABLE', 'CREATE FOREIGN TABLE', 'CREATE SCHEMA', 'ALTER TABLE') EXECUTE FUNCTION mz_sluice.sluice_after_ddl()`,
    'ALTER EVENT TRIGGER sluice_after_ddl ENABLE ALWAYS',
    'CREATE EVENT TRIGGER sluice_after_drop ON sql_drop EXECUTE FUNCTION mz_sluice.sluice_after_drop()',
  ]);
});
