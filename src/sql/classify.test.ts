import {expect, test} from 'vitest';
import {familyOf} from './classify.ts';

const OURS: Record<string, readonly string[]> = {
  create: [
    'CREATE SINK s FROM t',
    'create/* a comment */connection c TO KAFKA ()',
    '-- first\nCREATE SECRET s AS 1',
    'CREATE CLUSTER c',
    'CREATE SOURCE s',
    'CREATE SCHEMA IF NOT EXISTS "d"."s"',
  ],
  alter: [
    'ALTER CLUSTER c SET (REPLICATION FACTOR 0)',
    'ALTER SINK s RENAME TO t',
    'ALTER SCHEMA a SWAP WITH b',
    'ALTER SCHEMA d.a OWNER TO x',
    'ALTER ROLE set SET cluster = c',
    'ALTER USER "in" IN DATABASE d RESET "Cluster"',
    'ALTER DATABASE d SET welcome_message TO off',
    'ALTER DEFAULT PRIVILEGES IN SCHEMA a, d.b GRANT SELECT ON TABLES TO alice',
  ],
  drop: ['DROP SINK s', 'DROP CLUSTER c CASCADE', 'drop secret if exists s', 'DROP SCHEMA IF EXISTS a, d.b CASCADE'],
  comment: [`COMMENT ON SINK s IS 'x'`, `COMMENT ON SCHEMA "d"."s" IS 'x'`],
  grant: [
    'GRANT USAGE ON CONNECTION c TO alice',
    'GRANT ALL ON SECRET "to" TO alice',
    'GRANT USAGE ON ALL SECRETS IN SCHEMA s TO alice',
    'GRANT SELECT ON ALL TABLES TO alice',
    'GRANT SELECT ON ALL TABLES IN SCHEMA a, d.b TO alice',
    'GRANT SELECT ON ALL TABLES IN DATABASE d TO alice',
    'GRANT USAGE ON ALL SCHEMAS TO alice',
    'GRANT USAGE ON SCHEMA a, d.b TO alice',
  ],
  revoke: ['REVOKE GRANT OPTION FOR USAGE ON CLUSTER c FROM alice'],
  validate: ['VALIDATE CONNECTION c'],
  subscribe: ['SUBSCRIBE t', 'SUBSCRIBE TO (SELECT 1)'],
  show: [
    'SHOW SINKS',
    'SHOW SINKS FROM public',
    'SHOW CREATE SINK s',
    'SHOW REDACTED CREATE SINK s',
    'SHOW cluster',
    'SHOW CLUSTER REPLICAS',
    'SHOW "cluster"',
    'SHOW search_path',
    'SHOW mz_version',
    'SHOW TABLES',
  ],
  set: [
    'SET cluster = x',
    'SET LOCAL cluster TO x',
    'SET SESSION welcome_message = off',
    'SET search_path = a, b',
    `SET SCHEMA 'x'`,
    `SET transaction_isolation = 'strict serializable'`,
    'SET "cluster" = x',
  ],
  reset: ['RESET cluster', 'RESET search_path'],
  copy: [
    `COPY t TO 's3://bucket/x'`,
    `COPY t (a, b) FROM '/etc/passwd'`,
    `COPY (SELECT 1 FROM x) TO E'/tmp/x'`,
    `COPY t TO $$/tmp/x$$`,
    `copy binary t from\n--x\n'/x'`,
    'COPY (SUBSCRIBE t) TO STDOUT',
  ],
  explain: ['EXPLAIN SCHEMA FOR CREATE SINK', 'EXPLAIN KEY SCHEMA AS JSON FOR CREATE SINK s'],
  declare: ['DECLARE c CURSOR FOR SUBSCRIBE t'],
};

const THEIRS = [
  '',
  'SELECT 1',
  '"create" sink',
  'CREATE TABLE sink (a int)',
  'CREATE MATERIALIZED VIEW v AS SELECT 1',
  'DROP TABLE sink',
  'CREATE SCHEMA s CREATE TABLE s.t (a int)',
  'CREATE SCHEMA AUTHORIZATION x',
  'ALTER SCHEMA a RENAME TO swap',
  'ALTER SCHEMA "a" OWNER TO x',
  'DROP SCHEMA a, b CASCADE',
  'DROP SCHEMA',
  'CLUSTER t',
  'COMMENT ON TABLE sink IS $$x$$',
  'ALTER ROLE r SET sluice.cluster = c',
  'ALTER ROLE r SET cluster.x = c',
  'ALTER ROLE cluster SET search_path = c',
  'ALTER ROLE r RESET ALL',
  'ALTER ROLE r SET LOCAL cluster = c',
  'ALTER DATABASE set RENAME TO cluster',
  'COMMENT ON SCHEMA sink IS $$d.x$$',
  'ALTER DEFAULT PRIVILEGES IN SCHEMA a GRANT SELECT ON TABLES TO alice',
  'GRANT SELECT ON connection TO alice',
  'GRANT SELECT ON schema TO alice',
  'GRANT USAGE ON SCHEMA a, b TO alice',
  'GRANT SELECT ON TABLE cluster TO alice',
  'GRANT a TO b',
  'GRANT SELECT ON ALL TABLES IN SCHEMA a, "b" TO alice',
  'GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA a TO alice',
  'REVOKE SELECT (connection) ON secret FROM alice',
  'SHOW ALL',
  'SHOW TIME ZONE',
  'SHOW sluice.cluster',
  'SHOW "tables"',
  'SET TIME ZONE 1',
  'SET SESSION AUTHORIZATION x',
  'SET sluice.cluster = 1',
  'SET LOCAL statement_timeout = 1',
  'RESET ALL',
  'COPY t FROM STDIN',
  `COPY t TO STDOUT WITH (DELIMITER ',')`,
  `COPY (SELECT 'to' FROM x) TO STDOUT`,
  `COPY (COPY x TO 'a') TO STDOUT`,
  `COPY t TO PROGRAM 'cat'`,
  'EXPLAIN SELECT 1',
  'EXPLAIN (ANALYZE) SELECT schema',
  'DECLARE c CURSOR FOR SELECT 1 FROM subscribe',
  'VALIDATE',
];

for (const [family, texts] of Object.entries(OURS)) {
  test.each(texts)(`${family}: %s`, text => {
    expect(familyOf(text)).toBe(family);
  });
}

test.each(THEIRS)('not ours: %s', text => {
  expect(familyOf(text)).toBeUndefined();
});

test('looks only at the given range', () => {
  const text = 'SELECT 1; CREATE SINK s; SELECT 2';
  expect(familyOf(text, {start: 10, end: 23})).toBe('create');
  expect(familyOf(text, {start: 25, end: 33})).toBeUndefined();
});
