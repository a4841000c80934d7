import fc from 'fast-check';
import type {Arbitrary} from 'fast-check';
import type {
  Broker,
  Format,
  GrantEnd,
  GrantOnAll,
  ListedKind,
  Name,
  Option,
  OptionValue,
  SecretExpression,
  ShowableKind,
  Statement,
} from '../../src/sql/ast.ts';
import {
  ALTER_CLUSTER_WITH_OPTIONS,
  CLUSTER_OPTIONS,
  REPLICA_OPTIONS,
  SCHEDULE_OPTIONS,
} from '../../src/sql/options/cluster.ts';
import {
  ALL_CONNECTION_OPTIONS,
  CONNECTION_TYPES,
  CONNECTION_WITH_OPTIONS,
  PRIVATELINK_USE_OPTIONS,
} from '../../src/sql/options/connection.ts';
import type {OptionDescription, OptionTable} from '../../src/sql/options/describe.ts';
import {AVRO_OPTIONS, KAFKA_SINK_OPTIONS, SINK_WITH_OPTIONS} from '../../src/sql/options/sink.ts';
import {cutName} from '../../src/sql/token-values.ts';
import {SESSION_VARIABLES} from '../../src/sql/variables.ts';

/** Any statement that the parser can give, so that parse(print(x)) = x can be asked. Every `at` is 0. */

const text = fc.oneof(
  fc.string({unit: 'binary', maxLength: 8}).map(s => s.replaceAll('\0', '')),
  fc.constantFrom('', `'`, `''`, '\\', `\\'`, '$$', `it's`, '--', '/*', 'ä"ö', '\n'),
);
const word = fc.oneof(
  fc.constantFrom('a', 'from', 'Key', 'my sink', 'x"y', 'select', 'ü', '.', 'to', 'if', 'in', "'", 'cluster'),
  fc.string({unit: 'grapheme', minLength: 1, maxLength: 6}).map(s => cutName(s.replaceAll('\0', '')) || 'z'),
);
const name = (depth = 3): Arbitrary<Name> =>
  fc.array(word, {minLength: 1, maxLength: depth}).map(parts => ({parts, at: 0}));
const flag = fc.boolean();
const some = <T>(one: Arbitrary<T>): Arbitrary<T[]> => fc.array(one, {minLength: 1, maxLength: 3});
const maybe = <T>(one: Arbitrary<T>): Arbitrary<T | undefined> => fc.option(one, {nil: undefined});
const expression = fc.constantFrom(
  'a',
  '(a + 1)::int',
  `f(a, 'x,)') || "b,"`,
  '-- a'.slice(3),
  'ARRAY[1, 2][1]',
  '$$)$$',
);

function value({value: kind}: OptionDescription): Arbitrary<OptionValue> {
  switch (kind) {
    case 'text':
      return fc.record({kind: fc.constant('text'), text});
    case 'interval':
      return fc.record({kind: fc.constant('interval'), text});
    case 'integer':
      return fc.record({kind: fc.constant('integer'), value: fc.maxSafeInteger().map(n => n + 0)});
    case 'boolean':
      return fc.record({kind: fc.constant('boolean'), value: flag});
    case 'map':
      return fc
        .uniqueArray(fc.tuple(text, text), {selector: ([key]) => key, maxLength: 3})
        .map(entries => ({kind: 'map', entries}));
    case 'textList':
      return fc.array(text, {maxLength: 3}).map(items => ({kind: 'textList', items}));
    case 'secret':
      return name().map(secret => ({kind: 'secret', secret}));
    case 'textOrSecret':
      return fc.oneof(
        fc.record({kind: fc.constant('text' as const), text}),
        name().map(secret => ({kind: 'secret' as const, secret})),
      );
    case 'object':
      return name().map(object => ({kind: 'object', object}));
    case 'privatelink':
      return fc.record({kind: fc.constant('object'), object: name(), options: maybe(options(PRIVATELINK_USE_OPTIONS))});
    case 'broker':
      return broker.map(one => ({kind: 'brokers', list: false, brokers: [one]}));
    case 'brokers':
      return fc.array(broker, {maxLength: 3}).map(brokers => ({kind: 'brokers', list: true, brokers}));
    case 'expression':
      return expression.map(sql => ({kind: 'expression', sql}));
    case 'replicas':
      return fc
        .array(fc.record({name: word, options: options(REPLICA_OPTIONS)}), {maxLength: 2})
        .map(replicas => ({kind: 'replicas', replicas}));
    case 'schedule':
      return fc.oneof(
        fc.constant({kind: 'schedule' as const, on: 'manual' as const, options: []}),
        fc.record({
          kind: fc.constant('schedule' as const),
          on: fc.constant('refresh' as const),
          options: options(SCHEDULE_OPTIONS),
        }),
      );
  }
}

const broker: Arbitrary<Broker> = fc.oneof(
  fc.record({address: text}),
  fc.record({address: text, tunnel: fc.record({via: fc.constant('ssh' as const), connection: name()})}),
  fc.record({
    address: text,
    tunnel: fc.record({
      via: fc.constant('privatelink' as const),
      connection: name(),
      options: options(PRIVATELINK_USE_OPTIONS),
    }),
  }),
);

/** A subset of the table's options, in any order. */
function options(table: OptionTable, withoutValues = false): Arbitrary<Option[]> {
  const names = Object.keys(table).filter(key => table[key].alias === undefined);
  return fc.shuffledSubarray(names).chain(chosen =>
    fc.tuple(
      ...chosen.map(key => {
        const {target} = table[key];
        return fc.record({
          name: fc.constant(key),
          at: fc.constant(0),
          target: target === undefined ? fc.constant(undefined) : name().map(n => ({parts: ['t', ...n.parts], at: 0})),
          value: withoutValues ? fc.constant(undefined) : value(table[key]),
        });
      }),
    ),
  );
}

const format: Arbitrary<Format> = fc.oneof(
  fc.record({kind: fc.constant('json' as const), array: flag}),
  fc.constant({kind: 'text' as const}),
  fc.constant({kind: 'bytes' as const}),
  fc.record({kind: fc.constant('avro' as const), registry: name(), options: options(AVRO_OPTIONS)}),
);

const createSink = (optionalName: boolean) =>
  fc.record({
    kind: fc.constant('createSink' as const),
    ifNotExists: flag,
    name: optionalName ? maybe(name()) : name(),
    cluster: maybe(name(1)),
    from: name(),
    connection: name(),
    options: options(KAFKA_SINK_OPTIONS),
    key: maybe(fc.record({columns: some(name(1)), notEnforced: flag})),
    headers: maybe(name(1)),
    format: maybe(
      fc.oneof(
        fc.record({kind: fc.constant('one' as const), format}),
        fc.record({kind: fc.constant('keyValue' as const), key: format, value: format}),
      ),
    ),
    envelope: maybe(fc.constantFrom('upsert' as const, 'debezium' as const)),
    with: options(SINK_WITH_OPTIONS),
  });

const {secretExpression} = fc.letrec<{secretExpression: SecretExpression}>(tie => ({
  secretExpression: fc.oneof(
    {maxDepth: 4, withCrossShrink: true},
    fc.record({kind: fc.constant('string' as const), text, at: fc.constant(0)}),
    fc.record({
      kind: fc.constant('number' as const),
      digits: fc.constantFrom('1', '0x1f', '1.5e3'),
      at: fc.constant(0),
    }),
    fc.record({
      kind: fc.constant('cast' as const),
      operand: tie('secretExpression'),
      type: fc.constantFrom('bytea', 'text'),
      at: fc.constant(0),
    }),
    fc.record({
      kind: fc.constant('call' as const),
      function: fc.constantFrom('decode', 'convert_to'),
      arguments: fc.array(tie('secretExpression'), {maxLength: 2}),
      at: fc.constant(0),
    }),
    fc.record({
      kind: fc.constant('concat' as const),
      operands: fc.array(tie('secretExpression'), {minLength: 2, maxLength: 3}),
      at: fc.constant(0),
    }),
  ),
}));

const objectKind = fc.constantFrom(
  'sink' as const,
  'connection' as const,
  'secret' as const,
  'cluster' as const,
  'source' as const,
  'clusterReplica' as const,
);
const role = fc.oneof(
  word.map(n => ({name: n})),
  fc.constantFrom(
    {session: 'current_user' as const},
    {session: 'current_role' as const},
    {session: 'session_user' as const},
  ),
);
const kind = <K extends string>(k: K) => fc.constant(k);

/** The lists of SHOW, and which clauses each has besides LIKE and WHERE. */
const CLAUSES: Record<ListedKind, readonly ('from' | 'on' | 'cluster' | 'role')[]> = {
  databases: [],
  schemas: ['from'],
  roles: [],
  secrets: ['from'],
  tables: ['from', 'on'],
  views: ['from'],
  types: ['from'],
  objects: ['from'],
  connections: ['from'],
  sources: ['from', 'cluster'],
  sinks: ['from', 'cluster'],
  materializedViews: ['from', 'cluster'],
  subsources: ['from', 'on'],
  indexes: ['from', 'on', 'cluster'],
  columns: ['from'],
  clusters: [],
  clusterReplicas: [],
  privileges: ['on', 'role'],
  defaultPrivileges: ['on', 'role'],
  roleMembership: ['role'],
  networkPolicies: [],
};

const SHOWABLE: readonly ShowableKind[] = [
  'sink',
  'connection',
  'cluster',
  'table',
  'view',
  'materializedView',
  'source',
  'index',
  'type',
];

/** Only SHOW TABLES has both. */
function fromOrOn(list: ListedKind): {from: Arbitrary<Name | undefined>; on: Arbitrary<Name | undefined>} {
  const none = fc.constant(undefined);
  const from = list === 'columns' ? name() : CLAUSES[list].includes('from') ? maybe(name(2)) : none;
  if (!CLAUSES[list].includes('on')) return {from, on: none};
  if (list === 'tables') return {from, on: maybe(name(1))};
  const kinds = fc.constantFrom('cluster', 'materialized view').map(parts => ({parts: [parts], at: 0}));
  return {from: none, on: list.endsWith('rivileges') ? maybe(kinds) : maybe(name(1))};
}

/** CASCADE and RESTRICT are only there in REVOKE. */
const withGrantEnd = <T extends {readonly revoke: boolean} | {readonly kind: 'grant' | 'revoke'}>(
  statement: T,
): Arbitrary<T & GrantEnd> => {
  const revokes = 'revoke' in statement ? statement.revoke : statement.kind === 'revoke';
  const behavior = revokes ? maybe(fc.constantFrom('cascade' as const, 'restrict' as const)) : fc.constant(undefined);
  return fc.record({grantedBy: maybe(role), behavior}).map(end => ({...statement, ...end}));
};

const grantOnAll = (
  object: Arbitrary<GrantOnAll['object']>,
  schemas: Arbitrary<Name[]>,
  databases: Arbitrary<Name[]>,
): Arbitrary<GrantOnAll> =>
  fc
    .record({
      kind: kind('grantOnAll'),
      revoke: flag,
      object,
      privileges: fc.subarray(['USAGE', 'SELECT']),
      schemas,
      databases,
      roles: some(role),
    })
    .chain(withGrantEnd);

export const statement: Arbitrary<Statement> = fc.oneof(
  createSink(false),
  fc.record({kind: kind('alterSinkSetFrom'), ifExists: flag, name: name(), from: name()}),
  fc.constantFrom(...(Object.keys(CONNECTION_TYPES) as (keyof typeof CONNECTION_TYPES)[])).chain(type =>
    fc.record({
      kind: kind('createConnection'),
      ifNotExists: flag,
      name: name(),
      type: fc.constant(type),
      options: options(CONNECTION_TYPES[type].options),
      with: options(CONNECTION_WITH_OPTIONS),
    }),
  ),
  fc.record({
    kind: kind('alterConnection'),
    ifExists: flag,
    name: name(),
    actions: fc
      .tuple(
        options(ALL_CONNECTION_OPTIONS),
        options(ALL_CONNECTION_OPTIONS, true),
        options(ALL_CONNECTION_OPTIONS, true),
      )
      .map(([set, reset, drop]) => [
        ...set.map(option => ({action: 'set' as const, option})),
        ...reset.map(option => ({action: 'reset' as const, option})),
        ...drop.map(option => ({action: 'drop' as const, option})),
      ]),
    rotateKeys: fc.constant(true),
    with: options(CONNECTION_WITH_OPTIONS),
  }),
  fc.record({kind: kind('validateConnection'), name: name()}),
  fc.record({kind: kind('createSecret'), ifNotExists: flag, name: name(), value: secretExpression}),
  fc.record({kind: kind('alterSecret'), ifExists: flag, name: name(), value: secretExpression}),
  fc.record({kind: kind('createCluster'), name: name(1), options: options(CLUSTER_OPTIONS)}),
  fc.record({
    kind: kind('alterClusterOptions'),
    ifExists: flag,
    name: name(1),
    action: kind('set'),
    options: options(CLUSTER_OPTIONS),
    with: options(ALTER_CLUSTER_WITH_OPTIONS),
  }),
  fc.record({
    kind: kind('alterClusterOptions'),
    ifExists: flag,
    name: name(1),
    action: kind('reset'),
    options: options(CLUSTER_OPTIONS, true),
    with: options(ALTER_CLUSTER_WITH_OPTIONS),
  }),
  fc.constantFrom('set' as const, 'reset' as const).chain(action =>
    fc.record({
      kind: kind('alterSinkOptions'),
      ifExists: flag,
      name: name(),
      action: fc.constant(action),
      options: options({...SINK_WITH_OPTIONS, ...KAFKA_SINK_OPTIONS}, action === 'reset'),
    }),
  ),
  fc.record({kind: kind('rename'), object: objectKind, ifExists: flag, name: name(), to: word}),
  fc.record({kind: kind('changeOwner'), object: objectKind, ifExists: flag, name: name(), owner: role}),
  fc.record({
    kind: kind('drop'),
    object: objectKind,
    ifExists: flag,
    names: some(name()),
    behavior: maybe(fc.constantFrom('cascade' as const, 'restrict' as const)),
  }),
  fc.record({kind: kind('comment'), object: objectKind, name: name(), text: fc.option(text)}),
  fc
    .record({
      kind: fc.constantFrom('grant' as const, 'revoke' as const),
      object: fc.constantFrom('connection' as const, 'secret' as const, 'cluster' as const),
      privileges: fc.subarray(['USAGE', 'CREATE']),
      names: some(name()),
      roles: some(role),
    })
    .chain(withGrantEnd),
  grantOnAll(fc.constantFrom('connection', 'secret', 'type'), fc.array(name(2), {maxLength: 2}), fc.constant([])),
  // IN SCHEMA without a database is PostgreSQL's own here.
  grantOnAll(fc.constantFrom('table', 'schema'), fc.constant([]), fc.array(name(1), {maxLength: 2})),
  grantOnAll(fc.constantFrom('database', 'cluster'), fc.constant([]), fc.constant([])),
  fc
    .record({
      kind: kind('grantOnSystem'),
      revoke: flag,
      privileges: fc.subarray(['CREATEROLE', 'CREATECLUSTER'], {minLength: 1}),
      roles: some(role),
    })
    .chain(withGrantEnd),
  fc.record({
    kind: kind('alterDefaultPrivileges'),
    roles: fc.oneof(fc.constant('all' as const), fc.array(role, {maxLength: 2})),
    schemas: fc.array(name(2), {maxLength: 2}),
    database: maybe(name(1)),
    revoke: flag,
    privileges: fc.subarray(['USAGE', 'CREATE']),
    object: fc.constantFrom('connection' as const, 'secret' as const, 'cluster' as const),
    grantees: some(role),
  }),
  fc.record({kind: kind('createClusterReplica'), name: name(2), options: options(REPLICA_OPTIONS)}),
  fc.record({kind: kind('swapCluster'), name: name(1), other: name(1)}),
  fc.record({kind: kind('swapSchema'), name: name(2), other: name(2)}),
  fc.record({
    kind: kind('schemaOfDatabase'),
    tag: kind('CREATE SCHEMA'),
    names: fc.tuple(word, word).map(parts => [{parts, at: 0}]),
    before: kind('CREATE SCHEMA IF NOT EXISTS '),
    rest: fc.constantFrom('', ' AUTHORIZATION x CREATE TABLE t (a int)'),
  }),
  fc.constantFrom(...(Object.keys(CLAUSES) as ListedKind[])).chain(list =>
    fc.record({
      kind: kind('showList'),
      list: fc.constant(list),
      ...fromOrOn(list),
      cluster: CLAUSES[list].includes('cluster') ? maybe(name(1)) : fc.constant(undefined),
      role: CLAUSES[list].includes('role') ? maybe(word) : fc.constant(undefined),
      filter: maybe(
        fc.oneof(fc.record({kind: kind('like'), pattern: text}), fc.record({kind: kind('where'), sql: expression})),
      ),
    }),
  ),
  fc.record({
    kind: kind('showCreate'),
    redacted: flag,
    object: fc.constantFrom(...SHOWABLE),
    name: name(),
  }),
  fc.record({kind: kind('showVariable'), variable: fc.constantFrom(...Object.keys(SESSION_VARIABLES), 'mz_version')}),
  fc.record({kind: kind('resetVariable'), variable: fc.constantFrom(...Object.keys(SESSION_VARIABLES), 'schema')}),
  fc.record({
    kind: kind('setVariable'),
    scope: fc.constantFrom('session' as const, 'local' as const),
    variable: fc.constantFrom(...Object.keys(SESSION_VARIABLES), 'search_path', 'schema'),
    values: maybe(some(text)),
  }),
  fc.record({
    kind: kind('alterSettings'),
    before: fc.constantFrom('ALTER ROLE set ', 'ALTER DATABASE "x y" ', 'ALTER USER ALL IN DATABASE d /* */ '),
    setting: fc.oneof(
      fc.record({kind: kind('resetVariable'), variable: fc.constantFrom(...Object.keys(SESSION_VARIABLES))}),
      fc.record({
        kind: kind('setVariable'),
        scope: fc.constant('session' as const),
        variable: fc.constantFrom(...Object.keys(SESSION_VARIABLES)),
        values: maybe(some(text)),
      }),
    ),
  }),
  fc.record({
    kind: kind('explainSchema'),
    part: fc.constantFrom('key' as const, 'value' as const),
    json: flag,
    sink: createSink(true),
  }),
);
