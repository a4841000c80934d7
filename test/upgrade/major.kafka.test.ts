import {execFile} from 'node:child_process';
import {join} from 'node:path';
import {promisify} from 'node:util';
import {afterAll, beforeAll, expect, test} from 'vitest';
import {poll} from '../../scripts/process/poll.ts';
import {LIMIT_MS, connectTo} from '../faults/own-world.ts';
import {connectionSql, freshTopicName, readTopic} from '../setup/kafka.ts';
import {UpgradeWorld, type Attached} from './upgrade-world.ts';

const run = promisify(execFile);

/** Each has a table and a sink of either envelope, one of them in a schema of the user. */
const WAYS = ['upgraded', 'restored'] as const;
type Way = (typeof WAYS)[number];
const sinksOf = (way: Way) => [`upsert_${way}_sink`, `tools.debezium_${way}_sink`];
const topics = new Map<string, string>();

const THEIRS = `
CREATE SCHEMA zoo;
CREATE SCHEMA tools;
DROP SCHEMA zoo;
CREATE TYPE mood AS ENUM ('well', 'ill');
CREATE TABLE forgotten (id int PRIMARY KEY);
${WAYS.map(
  way => `
CREATE TABLE upsert_${way} (id int PRIMARY KEY, body text, feels mood);
CREATE TABLE tools.debezium_${way} (id int NOT NULL, body text);
CREATE UNIQUE INDEX debezium_${way}_key ON tools.debezium_${way} (id);
ALTER TABLE tools.debezium_${way} REPLICA IDENTITY USING INDEX debezium_${way}_key;`,
).join('')}`;

let world: UpgradeWorld;
/** What SHOW CREATE SINK has printed, by sink, with `SNAPSHOT = false`. */
const statements = new Map<string, string>();
let shown: unknown;

const createSink = (name: string, from: string, envelope: string, cluster = 'quickstart') => {
  const topic = freshTopicName(name);
  topics.set(name, topic);
  return `CREATE SINK ${name} IN CLUSTER ${cluster} FROM ${from} INTO KAFKA CONNECTION tools.kafka (TOPIC '${topic}', TOPIC PARTITION COUNT 1)
    KEY (id) FORMAT JSON ENVELOPE ${envelope}`;
};

/** Resolves with the number of changes of each table, each a transaction of its own; the one of the upsert sink has one more. */
async function write({app}: Attached, way: Way, first: number): Promise<number> {
  const changes: readonly (readonly [string, number, string])[] = [
    ['INSERT INTO $ (id, body) VALUES ($1, $2)', first, 'new'],
    ['INSERT INTO $ (id, body) VALUES ($1, $2)', first + 1, 'new'],
    ['INSERT INTO $ (id, body) VALUES ($1, $2)', first + 2, 'new'],
    ['UPDATE $ SET body = $2 WHERE id = $1', first, 'changed'],
    ['DELETE FROM $ WHERE id = $1 AND body = $2', first + 1, 'new'],
  ];
  for (const [text, ...values] of changes)
    for (const table of [`upsert_${way}`, `tools.debezium_${way}`])
      await app.query(text.replace('$ ', `${table} `), values);
  await app.query(`UPDATE upsert_${way} SET feels = 'well' WHERE id = $1`, [first + 2]);
  return changes.length;
}

interface Row {
  readonly id: number;
}

/** The topic read back is the table: every change once, in its place. Resolves with the number of messages. */
async function compare(sink: string): Promise<number> {
  const table = sink.replace(/_sink$/, '');
  const rows = await world.query<Row>(`SELECT * FROM ${table} ORDER BY id`);
  const state = new Map<string, unknown>();
  const messages = await readTopic(topics.get(sink)!);
  for (const {key, value} of messages) {
    const said = value === null ? null : (JSON.parse(String(value)) as Record<string, unknown>);
    const id = String(key);
    let now: unknown = said;
    if (sink.includes('debezium')) {
      expect(said!['before']).toEqual(state.get(id) ?? null);
      now = said!['after'];
    } else expect(now).not.toEqual(state.get(id) ?? null);
    if (now === null) state.delete(id);
    else state.set(id, now);
  }
  expect([...state.values()].sort((a, b) => (a as Row).id - (b as Row).id)).toEqual(rows);
  return messages.length;
}

/** What there is besides sinks, as its users see it. */
async function show({app}: Attached): Promise<unknown> {
  const questions = [
    'SHOW CONNECTIONS FROM tools',
    'SHOW SECRETS FROM tools',
    'SHOW CLUSTERS',
    'SHOW CREATE CONNECTION tools.kafka',
    'SHOW CREATE CLUSTER extra',
    `SELECT id, object_type, comment FROM mz_internal.mz_comments WHERE object_type IN ('connection', 'secret', 'cluster') ORDER BY id`,
    `SELECT has_connection_privilege('reader', 'tools.kafka', 'USAGE') AS connection, has_secret_privilege('reader', 'tools.password', 'USAGE') AS secret,
       has_cluster_privilege('app', 'extra', 'CREATE') AS cluster, has_cluster_privilege('reader', 'extra', 'CREATE') AS nothing`,
    `SELECT o.name, r.name AS owner FROM mz_catalog.mz_objects o JOIN mz_catalog.mz_roles r ON r.id = o.owner_id WHERE o.type IN ('connection', 'secret') ORDER BY 1`,
    `SELECT s.name AS schema, g.name AS grantee, p.object_type, p.privileges FROM mz_catalog.mz_default_privileges p
       JOIN mz_catalog.mz_schemas s ON s.id = p.schema_id JOIN mz_catalog.mz_roles g ON g.id = p.grantee`,
  ];
  const answers: unknown[] = [];
  for (const question of questions) answers.push((await app.query<Record<string, unknown>>(question)).rows);
  return answers;
}

/** Keeps what they were, and waits until nothing of them holds back log. */
async function dropSinks({app}: Attached, sinks: readonly string[]): Promise<void> {
  for (const sink of sinks) {
    const {rows} = await app.query<{create_sql: string}>(`SHOW CREATE SINK ${sink}`);
    statements.set(sink, `${rows[0].create_sql} WITH (SNAPSHOT = false)`);
    await app.query(`DROP SINK ${sink}`);
  }
  await poll('the end of the slot', LIMIT_MS, async () => {
    const slots = await world.query(`SELECT FROM pg_replication_slots WHERE slot_name ~ '^sluice_[0-9]+_u1$'`);
    return slots.length === 0;
  });
}

/** Makes the sinks again, and looks that they have what is written from now on, once. */
async function goOn(attached: Attached, way: Way): Promise<void> {
  const before = new Map<string, number>();
  for (const sink of sinksOf(way)) {
    before.set(sink, (await readTopic(topics.get(sink)!)).length);
    await attached.app.query(statements.get(sink)!);
  }
  for (const sink of sinksOf(way)) await world.until(sink.replace('tools.', ''), 'running');
  const count = await write(attached, way, 100);
  await world.caughtUp();
  const [upsert, debezium] = sinksOf(way);
  expect(await compare(upsert)).toBe(before.get(upsert)! + count + 1);
  expect(await compare(debezium)).toBe(before.get(debezium)! + count);
}

beforeAll(async () => {
  world = await UpgradeWorld.open(15);
  const attached = await world.start();
  await world.query(`SET ROLE app; ${THEIRS}`);
  for (const statement of [
    `CREATE CLUSTER extra (SIZE '25cc')`,
    'GRANT CREATE ON CLUSTER quickstart TO app',
    'GRANT CREATE ON CLUSTER extra TO app',
    `COMMENT ON CLUSTER extra IS 'for the rest'`,
  ])
    await attached.boss.query(statement);
  for (const statement of [
    `ALTER DEFAULT PRIVILEGES IN SCHEMA tools GRANT USAGE ON CONNECTIONS TO reader`,
    `CREATE SECRET tools.password AS 'hush'`,
    'GRANT USAGE ON SECRET tools.password TO reader',
    connectionSql('tools.kafka'),
    `COMMENT ON CONNECTION tools.kafka IS 'the broker'`,
    `COMMENT ON SECRET tools.password IS 'nobody knows'`,
    ...WAYS.flatMap(way => [
      createSink(`upsert_${way}_sink`, `upsert_${way}`, 'UPSERT'),
      createSink(`tools.debezium_${way}_sink`, `tools.debezium_${way}`, 'DEBEZIUM'),
    ]),
    createSink('forgotten_sink', 'forgotten', 'UPSERT', 'extra'),
    'INSERT INTO forgotten VALUES (1)',
  ])
    await attached.app.query(statement);
  for (const way of WAYS) await write(attached, way, 1);
  for (const sink of ['forgotten_sink', ...WAYS.flatMap(sinksOf)])
    await world.until(sink.replace('tools.', ''), 'running');
  await world.caughtUp();
  shown = await show(attached);
  await dropSinks(attached, WAYS.flatMap(sinksOf));
  await world.stop();
}, 4 * LIMIT_MS);
afterAll(() => world[Symbol.asyncDispose]());

test(
  'pg_upgrade keeps all but the sinks; these are made again and have every later row once',
  async () => {
    const old = world.postgres;
    await world.upgrade();
    await world.query('INSERT INTO forgotten VALUES (2)');
    const attached = await world.start();
    expect(await show(attached)).toEqual(shown);
    await goOn(attached, 'upgraded');

    // Owners, privileges and what names mean are those of before.
    await attached.app.query(connectionSql('tools.second'));
    const {rows} = await attached.app.query(
      `SELECT has_connection_privilege('reader', 'tools.second', 'USAGE') AS has`,
    );
    expect(rows).toEqual([{has: true}]);
    const rotation = await world.command('secrets', 'rotate', '--data-dir', world.dataDirectory);
    expect(await rotation.ended()).toBe('code 0');

    // Whoever has not dropped a sink finds it stalled, and its topic as it was.
    const {code, hints} = await world.until('forgotten_sink', 'stalled');
    expect({code, hints}).toEqual({code: 'SL012', hints: [expect.stringContaining('pg_upgrade')]});
    await attached.app.query('INSERT INTO forgotten VALUES (3)');
    await attached.app.query('DROP SINK forgotten_sink');
    expect((await readTopic(topics.get('forgotten_sink')!)).map(({key}) => String(key))).toEqual(['{"id":1}']);
    await attached.app.query(createSink('forgotten_sink', 'forgotten', 'UPSERT', 'extra'));
    await world.until('forgotten_sink', 'running');
    await attached.app.query('TRUNCATE forgotten; INSERT INTO forgotten VALUES (4)');
    await world.caughtUp();
    await compare('forgotten_sink');

    // Identities from before the upgrade are given back after it.
    await attached.app.query('DROP SINK forgotten_sink');
    await dropSinks(attached, sinksOf('upgraded'));
    await poll('the identities', LIMIT_MS, async () => {
      const [{identities}] = await world.query<{identities: string}>(
        `SELECT string_agg(relreplident::text, '' ORDER BY relname) AS identities FROM pg_class WHERE relname IN ('debezium_upgraded', 'forgotten', 'upsert_upgraded')`,
      );
      return identities === 'idd';
    });
    await world.stop();
    await old.start();
  },
  4 * LIMIT_MS,
);

test(
  'a dump after sluice uninstall has nothing of Sluice; sinks that are made again in the restored database have every later row once',
  async () => {
    const upgraded = world.postgres;
    const [old] = world.servers;
    world.postgres = old;
    const uninstalled = await world.command('uninstall', '--yes');
    expect(await uninstalled.ended()).toBe('code 0');
    const dump = join(world.dataDirectory, 'shop.sql');
    await run(join(world.newer.programs, 'pg_dump'), ['-f', dump, world.url]);
    world.postgres = upgraded;
    {
      await using server = await connectTo(upgraded.url);
      await server.query('ALTER DATABASE shop RENAME TO upgraded');
      await server.query('CREATE DATABASE shop OWNER app');
    }
    await run(join(world.newer.programs, 'psql'), ['-qX', '-v', 'ON_ERROR_STOP=1', '-f', dump, world.url]);
    const [{left}] = await world.query<{left: string}>(
      `SELECT count(*) AS left FROM (SELECT evtname FROM pg_event_trigger UNION ALL SELECT pubname FROM pg_publication UNION ALL
         SELECT nspname FROM pg_namespace WHERE nspname LIKE 'mz%' UNION ALL SELECT tgname FROM pg_trigger WHERE NOT tgisinternal) AS ours`,
    );
    expect(left).toBe('0');

    const attached = await world.start();
    await attached.boss.query('GRANT CREATE ON CLUSTER quickstart TO app');
    await attached.app.query(connectionSql('tools.kafka'));
    await goOn(attached, 'restored');
  },
  4 * LIMIT_MS,
);
