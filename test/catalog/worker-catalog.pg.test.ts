import type pg from 'pg';
import {afterAll, beforeAll, describe, expect, test} from 'vitest';
import {alterCluster, createSecret, dropItem} from '../../src/catalog/commands.ts';
import {listenForChanges} from '../../src/catalog/listen.ts';
import {WorkerCatalog} from '../../src/catalog/worker-catalog.ts';
import {CatalogWorld, newConnection, newSink, run, sqlstate, VERSIONS} from './catalog-world.ts';

const RESTRICT = {ifExists: false, cascade: false};

describe.each(VERSIONS)('PostgreSQL %i', version => {
  let world: CatalogWorld;
  let session: pg.Client;
  let catalog: WorkerCatalog;
  let sink: string;
  let relation: number;
  beforeAll(async () => {
    world = await CatalogWorld.open(version);
    session = await world.session(world.owner);
    catalog = new WorkerCatalog(world.admin);
    await session.query(
      "CREATE SCHEMA s; CREATE TYPE s.mood AS ENUM ('fine'); CREATE TABLE s.t (v s.mood, id bigint PRIMARY KEY)",
    );
    await newConnection(session, 's', 'k');
    sink = (await newSink(session, {name: ['s', 'z'], relation: ['s', 't'], connection: ['s', 'k']})) as string;
    [{relation}] = (await world.rows("SELECT 's.t'::regclass::oid::integer AS relation")) as [{relation: number}];
  });
  afterAll(() => world[Symbol.asyncDispose]());

  const status = async () =>
    (await session.query('SELECT status, error, details FROM mz_internal.mz_sink_statuses')).rows as unknown;
  const history = async (of: string) =>
    (
      await world.rows(
        'SELECT status FROM mz_internal.mz_sink_status_history WHERE sink_id = $1 ORDER BY occurred_at',
        [of],
      )
    ).map(row => row['status']);

  test('a cluster’s sinks, as they were created', async () => {
    const database = world.database.address.database;
    expect(await catalog.clusters()).toEqual([{id: 'u1', name: 'quickstart', replicationFactor: 1}]);
    const [{id: connection}] = await world.rows('SELECT id FROM mz_catalog.mz_connections');
    const [{environment}] = await world.rows('SELECT mz_catalog.mz_environment_id() AS environment');
    const expected = {
      id: sink,
      name: `${database}.s.z`,
      cluster: 'u1',
      relation,
      relationName: `${database}.s.t`,
      columns: [
        {
          name: 'v',
          attnum: 1,
          typmod: -1,
          notNull: false,
          type: {kind: 'enum', name: 'mood', schema: 's', labels: ['fine']},
        },
        {name: 'id', attnum: 2, typmod: -1, notNull: true, type: {kind: 'base', name: 'int8', oid: 20}},
      ],
      key: [1],
      keyEnforced: true,
      envelope: 'upsert',
      snapshot: true,
      version: 0,
      committedOnce: false,
      target: {
        type: 'kafka',
        topic: 'topic',
        topicConfig: {},
        connection: {
          id: connection,
          brokers: ['127.0.0.1:9092'],
          progressTopic: `_materialize-progress-${environment as string}-${connection as string}`,
        },
      },
    };
    expect(await catalog.sinks('u1')).toMatchObject([expected]);
    expect(await catalog.sinks('u2')).toEqual([]);

    // Names for messages follow; what the sink writes does not.
    await session.query(
      'ALTER TABLE s.t RENAME v TO w; ALTER TABLE s.t RENAME TO t2; ALTER TABLE s.t2 ADD COLUMN more text',
    );
    expect(await catalog.sinks('u1')).toMatchObject([{...expected, relationName: `${database}.s.t2`}]);
    await session.query('ALTER TABLE s.t2 DROP COLUMN w; DROP TYPE s.mood');
    const [{columns}] = await catalog.sinks('u1');
    expect(columns).toHaveLength(2);
    expect(columns[0].type).toMatchObject({kind: 'base', name: '???'});
  });

  test('writers: whoever may have written the progress is known, nobody else', async () => {
    const writers = async () =>
      (await world.rows('SELECT writers FROM mz_sluice.sink_state WHERE sink = $1', [sink]))[0];
    expect(await catalog.acceptWriter(sink, 'a', 'b')).toBe(false);
    for (let i = 0; i < 120; i++) await catalog.noteWriter(sink, `w${i}`);
    await catalog.noteWriter(sink, 'a');
    await catalog.noteWriter(sink, 'a');
    expect((await writers())['writers']).toEqual(expect.arrayContaining(['w119', 'a']));
    expect(((await writers())['writers'] as string[]).length).toBeLessThanOrEqual(100);
    expect(await catalog.acceptWriter(sink, 'a', 'b')).toBe(true);
    expect(await writers()).toEqual({writers: ['a', 'b']});
    expect(await catalog.acceptWriter(sink, 'w119', 'c')).toBe(false);
    expect(await catalog.acceptWriter(sink, undefined, 'c')).toBe(true);
    expect(await writers()).toEqual({writers: ['c']});
    await catalog.disownWriters(sink);
    expect(await catalog.acceptWriter(sink, 'c', 'd')).toBe(false);
  });

  test('statuses: repeats are one row, a paused cluster says so, old rows go', async () => {
    expect(await status()).toEqual([{status: 'created', error: null, details: null}]);
    const stalled = {sink, status: 'stalled', error: 'no broker', details: {hints: ['Wait.'], retrying: true}} as const;
    await catalog.recordStatus({sink, status: 'starting'});
    for (let i = 0; i < 3; i++) await catalog.recordStatus(stalled);
    await catalog.recordStatus({...stalled, details: {retrying: true, hints: ['Wait.']}});
    expect(await history(sink)).toEqual(['starting', 'stalled']);
    expect(await status()).toEqual([
      {status: 'stalled', error: 'no broker', details: {hints: ['Wait.'], retrying: true}},
    ]);

    await run(session, alterCluster('quickstart', {replicationFactor: 0}));
    expect(await status()).toEqual([{status: 'paused', error: null, details: null}]);
    await catalog.recordStatusOfAll('u1', {status: 'paused'});
    await run(session, alterCluster('quickstart', {replicationFactor: 1}));
    await catalog.recordStatus({sink, status: 'starting'});
    expect(await history(sink)).toEqual(['starting', 'stalled', 'paused', 'starting']);
    await catalog.recordStatus({sink: 'u424242', status: 'running'});
    expect(await history('u424242')).toEqual([]);

    await world.admin.query(
      `INSERT INTO mz_sluice.sink_status_history (sink, status) SELECT $1, 'running' FROM generate_series(1, 1200)`,
      [sink],
    );
    await catalog.recordStatus(stalled);
    expect(await history(sink)).toHaveLength(1000);
    await world.admin.query(
      `UPDATE mz_sluice.sink_status_history SET occurred_at = now() - interval '31 days' WHERE status = 'running';
       INSERT INTO mz_sluice.sink_status_history (sink, status, occurred_at) VALUES ('u0', 'dropped', now() - interval '31 days')`,
    );
    await catalog.recordStatus({sink, status: 'starting'});
    expect(await history(sink)).toEqual(['stalled', 'starting']);
    expect(await history('u0')).toEqual([]);
  });

  test('statistics add up; progress is seen as frontier and lag', async () => {
    const delta = {sink, messagesStaged: 3, messagesCommitted: 2, bytesStaged: 2 ** 53 - 1, bytesCommitted: 1};
    await catalog.addStatistics([delta, delta, {...delta, sink: 'u424242'}]);
    await catalog.addStatistics([delta]);
    const statistics = await session.query('SELECT * FROM mz_internal.mz_sink_statistics');
    expect(statistics.rows).toEqual([
      {
        id: sink,
        replica_id: 'u1',
        messages_staged: '9',
        messages_committed: '6',
        bytes_staged: '27021597764222973',
        bytes_committed: '3',
      },
    ]);

    const frontier = `SELECT write_frontier FROM mz_internal.mz_frontiers WHERE object_id = '${sink}'`;
    expect((await session.query(frontier)).rows).toEqual([{write_frontier: '0'}]);
    const unknown = await session.query(
      `SELECT lag_bytes, lag_seconds, l.lag AS global
       FROM mz_internal.mz_sluice_lag s JOIN mz_internal.mz_wallclock_global_lag l ON l.object_id = s.sink_id`,
    );
    expect(unknown.rows).toEqual([{lag_bytes: null, lag_seconds: null, global: null}]);
    const [{lsn, at}] = await world.rows(
      `SELECT (pg_current_wal_insert_lsn() - '0/0'::pg_lsn)::text AS lsn, floor(extract(epoch FROM now()) * 1000)::text AS at`,
    );
    await catalog.recordFrontier(sink, BigInt(lsn as string) - 1000n, BigInt(at as string) - 5000n);
    expect((await session.query(frontier)).rows).toEqual([{write_frontier: String(BigInt(at as string) - 5000n)}]);
    const lag = await session.query(
      `SELECT lag_bytes >= 1000 AND lag_bytes < 1024 * 1024 * 1024 AS bytes, lag_seconds BETWEEN 5 AND 600 AS seconds, l.lag >= interval '5 s' AS global
       FROM mz_internal.mz_sluice_lag s JOIN mz_internal.mz_wallclock_global_lag l ON l.object_id = s.sink_id`,
    );
    expect(lag.rows).toEqual([{bytes: true, seconds: true, global: true}]);
  });

  test('the first commit is remembered; a sink that is gone cannot make one', async () => {
    await catalog.markCommittedOnce(sink);
    expect(await catalog.sinks('u1')).toMatchObject([{committedOnce: true}]);
    expect(await sqlstate(catalog.markCommittedOnce('u424242'))).toBe('42704');
  });

  test('the log that a slot keeps is shown per cluster', async () => {
    const [{slot}] = await world.rows("SELECT mz_sluice.slot_name('u1')::text AS slot");
    await world.admin.query("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", [slot]);
    const {rows} = await session.query(
      `SELECT cluster_id, slot_name, active, retained_bytes >= 0 AS retained FROM mz_internal.mz_sluice_slots`,
    );
    expect(rows).toEqual([{cluster_id: 'u1', slot_name: slot, active: false, retained: true}]);
    await world.admin.query('SELECT pg_drop_replication_slot($1)', [slot]);
  });

  test('committed changes wake a listener, others do not', async () => {
    const changes = await listenForChanges(world.admin);
    const forever = new AbortController().signal;
    await changes.next(0, forever);

    await session.query('BEGIN');
    await run(session, createSecret({name: ['s', 'late'], ifNotExists: false}));
    let woken = false;
    const next = changes.next(30_000, forever).then(() => (woken = true));
    await world.admin.query('SELECT 1');
    expect(woken).toBe(false);
    await session.query('COMMIT');
    await next;
    expect(woken).toBe(true);

    const stop = new AbortController();
    const aborted = changes.next(30_000, stop.signal);
    stop.abort();
    await aborted;
  });

  test('a listener whose connection is lost says so', async () => {
    const lost = await world.session(world.owner);
    const changes = await listenForChanges(lost);
    const [{pid}] = (await lost.query<{pid: number}>('SELECT pg_backend_pid() AS pid')).rows;
    const rejected = expect(changes.next(30_000, new AbortController().signal)).rejects.toThrow();
    await world.admin.query('SELECT pg_terminate_backend($1)', [pid]);
    await rejected;
    await expect(changes.next(30_000, new AbortController().signal)).rejects.toThrow();
  });

  test('so does one whose connection was ended', async () => {
    const ended = await world.session(world.owner);
    const changes = await listenForChanges(ended);
    const rejected = expect(changes.next(30_000, new AbortController().signal)).rejects.toThrow();
    await ended.end();
    await rejected;
  });

  test('a user’s open transaction that drops things keeps no worker waiting', async () => {
    await session.query('BEGIN');
    await session.query('DROP TABLE s.t2 CASCADE');
    await run(session, alterCluster('quickstart', {replicationFactor: 0}));
    await world.admin.query("SET lock_timeout = '2s'");
    const delta = {sink, messagesStaged: 1, messagesCommitted: 1, bytesStaged: 1, bytesCommitted: 1};
    expect(await catalog.sinks('u1')).toHaveLength(1);
    await catalog.addStatistics([delta]);
    await catalog.recordFrontier(sink, 1n, 1n);
    await catalog.recordStatus({sink, status: 'running'});
    await catalog.recordStatusOfAll('u1', {status: 'paused'});
    await catalog.markCommittedOnce(sink);
    await world.admin.query('RESET lock_timeout');
    await session.query('ROLLBACK');
  });

  test('a dropped sink is kept until the worker has undone it', async () => {
    expect(await catalog.droppedSinks('u1')).toEqual([]);
    const [{target}] = await catalog.sinks('u1');
    const [{environmentId}] = await world.rows('SELECT mz_catalog.mz_environment_id() AS "environmentId"');
    await run(session, dropItem('sink', ['s', 'z'], RESTRICT));
    expect(await catalog.sinks('u1')).toEqual([]);
    expect((await history(sink)).at(-1)).toBe('dropped');
    expect(await catalog.droppedSinks('u1')).toEqual([
      // What a worker needs to end what the dead one has open; nobody asks any more how the connection is called in full.
      {id: sink, relation, environmentId, target: {...target, connection: {...target.connection, name: 'k'}}},
    ]);
    expect(await sqlstate(catalog.markCommittedOnce(sink))).toBe('42704');
    await catalog.forgetDroppedSink(sink);
    expect(await catalog.droppedSinks('u1')).toEqual([]);
    expect(await world.rows('SELECT FROM mz_sluice.sink_state')).toEqual([]);
    expect(await world.rows('SELECT FROM mz_sluice.sink_statistics')).toEqual([]);
  });
});
