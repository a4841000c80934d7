import {describe, expect, test} from 'vitest';
import {SqlError} from '../base/sql-error.ts';
import {loginNotices} from './login-notices.ts';
import type {SessionBeginning} from './login-notices.ts';

const BEGINNING: SessionBeginning = {
  version: '1.2.3',
  user: 'ann',
  database: 'materialize',
  defaultPath: '"$user", public',
  given: new Map(),
  roleSettings: new Map(),
  objects: {environmentId: 'e-1', clusterExists: true, schemaExists: true},
  refused: [],
};

type Settings = Readonly<Record<string, string>>;

interface Change {
  readonly given?: Settings;
  readonly role?: Settings;
  readonly objects?: Partial<SessionBeginning['objects']>;
  readonly refused?: SessionBeginning['refused'];
}

const notices = ({given = {}, role = {}, objects = {}, refused = []}: Change) =>
  loginNotices(
    {
      ...BEGINNING,
      given: new Map(Object.entries(given)),
      roleSettings: new Map(Object.entries(role)),
      objects: {...BEGINNING.objects, ...objects},
      refused,
    },
    4711,
  );
const codes = (change: Change) => notices(change).map(({code}) => code);

describe('the welcome', () => {
  test('says where the session is', () => {
    expect(notices({})).toEqual([
      {
        severity: 'NOTICE',
        code: '00000',
        message: `connected to Sluice v1.2.3
  Environment: e-1
  User: ann
  Cluster: quickstart
  Database: materialize
  Search path: "$user", public
  Process: 4711`,
      },
    ]);
  });
  test('the client rather than its role says what is set', () => {
    const role = {'sluice.cluster': 'of_role', search_path: 'of_role'};
    expect(notices({role})[0].message).toMatch(/Cluster: of_role\n[^]*Schema: of_role\n/);
    const given = {'sluice.cluster': 'given', search_path: 'given, mz_catalog'};
    expect(notices({role, given})[0].message).toMatch(/Cluster: given\n[^]*Schema: given\n/);
    // As SHOW: an empty text is none.
    expect(notices({role, given: {'sluice.cluster': ''}})[0].message).toContain('Cluster: quickstart\n');
  });
  test.each<[Settings, Settings, number]>([
    [{'sluice.welcome_message': 'off'}, {}, 0],
    [{}, {'sluice.welcome_message': 'false'}, 0],
    [{'sluice.welcome_message': 'on'}, {'sluice.welcome_message': 'off'}, 1],
    [{}, {'sluice.welcome_message': 'nonsense'}, 1],
    [{client_min_messages: 'WARNING'}, {}, 0],
    [{}, {client_min_messages: 'error'}, 0],
    [{client_min_messages: 'notice'}, {client_min_messages: 'error'}, 1],
    [{client_min_messages: 'debug'}, {}, 1],
  ])('given %j, of the role %j: %i', (given, role, count) => expect(notices({given, role})).toHaveLength(count));
});

describe('what is missing', () => {
  const off = {'sluice.welcome_message': 'off'};
  test('the cluster', () => {
    expect(notices({given: {...off, 'sluice.cluster': 'c'}, objects: {clusterExists: false}})).toMatchObject([
      {severity: 'NOTICE', code: 'MZ005', message: 'default cluster "c" does not exist'},
    ]);
  });
  test('every schema', () => {
    expect(notices({given: {...off, search_path: 'a, b, mz_catalog'}, objects: {schemaExists: false}})).toMatchObject([
      {severity: 'NOTICE', code: 'MZ008', message: 'no schema on the search path exists: a, b'},
    ]);
  });
  test('a path without schemas misses none', () => {
    expect(codes({given: {...off, search_path: 'mz_catalog'}, objects: {schemaExists: false}})).toEqual([]);
  });
  test('both, behind the welcome; unless they are turned off', () => {
    const objects = {clusterExists: false, schemaExists: false};
    expect(codes({objects})).toEqual(['00000', 'MZ005', 'MZ008']);
    expect(codes({objects, role: {'sluice.current_object_missing_warnings': 'off'}})).toEqual(['00000']);
    expect(codes({objects, given: {client_min_messages: 'warning'}})).toEqual([]);
  });
});

test('settings that were not set come first', () => {
  const refused = [{name: 'welcome_message', error: new SqlError('22023', 'it takes no such value')}];
  expect(notices({refused})[0]).toMatchObject({
    severity: 'NOTICE',
    code: '22023',
    message: 'startup setting welcome_message not set: it takes no such value',
  });
  expect(codes({refused, given: {client_min_messages: 'error'}})).toEqual([]);
});
