import {describe, expect, test} from 'vitest';
import {
  asksForReplication,
  givenSettings,
  translateStartup,
  withDefaultPath,
  withoutCatalog,
} from './startup-options.ts';

const PROTOCOL = 0x30000;

const translated = (...parameters: [string, string][]) =>
  translateStartup({protocol: PROTOCOL, parameters: [...parameters, ['database', 'd']]}).parameters.slice(0, -1);

test.each([
  ['--cluster=x', '-c sluice.cluster=x'],
  ['-c cluster=x', '-c sluice.cluster=x'],
  ['-ccluster=x', '-c sluice.cluster=x'],
  ['-c CLUSTER=x', '-c sluice.cluster=x'],
  ['--welcome-message=off', '-c sluice.welcome_message=off'],
  ['--transaction_isolation=strict\\ serializable', '-c sluice.transaction_isolation=strict\\ serializable'],
  ['--welcome_message=FALSE', '-c sluice.welcome_message=off'],
  ['-c schema=My\\ "one"', '-c search_path="My\\ ""one""",\\ mz_catalog'],
  ['--database=d -c a=b', '-c a=b'],
  ['--transaction_isolation=serializable', '-c default_transaction_isolation=serializable'],
  ['--cluster=x -csearch_path=a,b', '-c sluice.cluster=x -c search_path=a,b,\\ mz_catalog'],
  ['-c search_path=mz_catalog', '-c search_path=mz_catalog'],
  ['  -c   work_mem=8MB\t--enable_seqscan=off ', '-c work_mem=8MB --enable_seqscan=off'],
  ['-c application_name=a\\\\b\\ c', '-c application_name=a\\\\b\\ c'],
  ['-f s -c', '-f s -c'],
  ['', ''],
])('options %s become %s', (given, expected) => {
  expect(translated(['options', given])).toEqual([['options', expected]]);
});

test('variables of ours as start-up parameters, others as they are and in order', () => {
  expect(
    translated(
      ['user', 'u'],
      ['Cluster', 'c'],
      ['application_name', 'a'],
      ['search_path', 'x'],
      ['replication', 'off'],
    ),
  ).toEqual([
    ['user', 'u'],
    ['sluice.cluster', 'c'],
    ['application_name', 'a'],
    ['search_path', 'x, mz_catalog'],
  ]);
});

describe('database', () => {
  const database = (...parameters: [string, string][]) =>
    translateStartup({protocol: PROTOCOL, parameters}).parameters.filter(([name]) => name === 'database');

  test('a default where none is named', () => {
    expect(database(['user', 'u'])).toEqual([['database', 'materialize']]);
    expect(database(['user', 'u'], ['database', ''])).toEqual([
      ['database', ''],
      ['database', 'materialize'],
    ]);
  });
  test('the one that is named', () => expect(database(['database', 'd'])).toEqual([['database', 'd']]));
});

test.each([
  ['true', true],
  ['database', true],
  ['1', true],
  ['nonsense', true],
  ['off', false],
  ['F', false],
  ['0', false],
])('replication=%s: %s', (value, expected) => expect(asksForReplication(value)).toBe(expected));

test.each([
  ['"$user", public, mz_catalog', '"$user", public'],
  ['mz_catalog', ''],
  ['mz_catalog, public', 'mz_catalog, public'],
  ['not_mz_catalog', 'not_mz_catalog'],
])('search_path %s is shown as %s', (path, shown) => expect(withoutCatalog(path)).toBe(shown));

test('the path that a session would have comes first, so that whatever the client says wins', () => {
  const translated = (...parameters: [string, string][]) =>
    withDefaultPath(
      translateStartup({protocol: PROTOCOL, parameters: [['database', 'd'], ...parameters]}),
      '"$user", Ab',
    ).parameters.slice(1);
  const option = '-c search_path="$user",\\ Ab,\\ mz_catalog';
  expect(translated()).toEqual([['options', option]]);
  expect(translated(['options', '-c a=b'])).toEqual([['options', `${option} -c a=b`]]);
  expect(translated(['search_path', 'x'])).toEqual([
    ['search_path', 'x, mz_catalog'],
    ['options', option],
  ]);
  // PostgreSQL reads the last one.
  expect(translated(['options', '-c a=b'], ['options', '-c c=d'])[1]).toEqual(['options', `${option} -c c=d`]);
});

describe('values that a setting of ours does not take are left out, and said', () => {
  test.each([
    ['--welcome_message=maybe', 'welcome_message', '22023', 'parameter "welcome_message" requires a "boolean" value'],
    ['-c enable-session-rbac-checks=off', 'enable_session_rbac_checks', '22023', /can only be set to "on"/],
    ['-cmax_query_result_size=1GB', 'max_query_result_size', '22023', /requires a "integer" value/],
    ['-c transaction_isolation=strictest', 'transaction_isolation', '22023', /invalid value/],
    ['--database=other', 'database', '0A000', 'a session cannot change its database'],
  ])('%s', (option, name, code, message) => {
    const startup = translateStartup({
      protocol: PROTOCOL,
      parameters: [
        ['options', `${option} -c a=b`],
        ['database', 'd'],
      ],
    });
    expect(startup.parameters[0]).toEqual(['options', '-c a=b']);
    expect(startup.refused).toMatchObject([{name, error: {code, message: expect.stringMatching(message) as string}}]);
  });
  test('as parameters of their own too', () => {
    const startup = translateStartup({
      protocol: PROTOCOL,
      parameters: [
        ['welcome_message', '?'],
        ['database', 'd'],
      ],
    });
    expect(startup.parameters).toEqual([['database', 'd']]);
    expect(startup.refused).toHaveLength(1);
  });
});

test('what the client sets: the last value, and parameters of their own rather than options', () => {
  const given = (...parameters: [string, string][]) =>
    Object.fromEntries(
      givenSettings(translateStartup({protocol: PROTOCOL, parameters: [['database', 'd'], ...parameters]})),
    );
  expect(given(['options', '-c cluster=a --Cluster=b -c Client-Min-Messages=error -e -c x'])).toEqual({
    database: 'd',
    'sluice.cluster': 'b',
    client_min_messages: 'error',
  });
  expect(given(['cluster', 'own'], ['options', '--cluster=a'])).toMatchObject({'sluice.cluster': 'own'});
  const umlaut = Buffer.from('ä').toString('latin1');
  expect(given(['search_path', umlaut])).toMatchObject({search_path: 'ä, mz_catalog'});
});
