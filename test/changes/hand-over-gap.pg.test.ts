import {describe, expect, test} from 'vitest';
import {poll} from '../../scripts/process/poll.ts';
import {PostgresServer} from '../../scripts/postgres/server.ts';
import {AckGate} from '../../src/changes/ack-gate.ts';
import {publishRelation} from '../../src/changes/hand-over.ts';
import {takeSnapshot} from '../../src/changes/snapshot.ts';
import {isVisible} from '../../src/changes/visibility.ts';
import {collectRows} from './copied-rows.ts';
import {StreamRecorder, type RecordedTransaction, type Row} from './stream-recorder.ts';
import {World} from './world.ts';

/**
 * A commit is in the log, and is decoded and delivered, before it becomes visible to snapshots. A synchronous standby stretches that
 * gap; one that never comes makes it as long as a test wants.
 */
async function standbyThatNeverComes(world: World, isThere: boolean): Promise<void> {
  await world.client.query(`ALTER SYSTEM SET synchronous_standby_names = '${isThere ? 'nobody' : ''}'`);
  await world.client.query('SELECT pg_reload_conf()');
  const fresh = await world.connect();
  await poll('the setting', 20_000, async () => {
    const {rows} = await fresh.query<{names: string}>(`SELECT current_setting('synchronous_standby_names') AS names`);
    return (rows[0].names !== '') === isThere;
  });
}

async function openSink(world: World) {
  await world.client.query('CREATE TABLE t (id int)');
  const relation = await world.oid('t');
  await publishRelation(world.client, {publication: world.name, relation, waiting: () => undefined});
  const gate = new AckGate(await world.confirmedLsn());
  const recorder: StreamRecorder = new StreamRecorder(({endLsn}) => {
    const safe = gate.safe({endLsn, clock: 0n});
    if (safe !== undefined) gate.confirm(safe.endLsn);
  });
  const {stream} = await world.run(recorder);
  const snapshot = async () => {
    const taken = await takeSnapshot(await world.connect(), {relation, attnums: [1]});
    const rows = await collectRows(taken.columns, taken.rows());
    await taken.close();
    return {filter: taken.filter, rows};
  };
  /** An INSERT that does not come back, and its transaction as the stream has delivered it. */
  const hangingInsert = async (id: number) => {
    const writer = await world.connect();
    const {rows} = await writer.query<{pid: number}>('SELECT pg_backend_pid() AS pid');
    const done = writer.query(`INSERT INTO t VALUES (${id})`);
    const transaction = await poll('its delivery', 20_000, () =>
      recorder.users.find(({changes}) => changes[0].after?.['id'] === String(id)),
    );
    return {done, pid: rows[0].pid, transaction};
  };
  return {relation, gate, recorder, stream, snapshot, hangingInsert};
}

function delivered(
  hold: bigint,
  taken: {filter: Parameters<typeof isVisible>[0]; rows: Row[]},
  stream: RecordedTransaction[],
) {
  const later = stream.filter(
    ({endLsn, commitLsn, xid}) => endLsn > hold && !(commitLsn < taken.filter.until && isVisible(taken.filter, xid)),
  );
  return [...taken.rows, ...later.flatMap(({changes}) => changes.map(change => change.after))];
}

describe.each([15, 18] as const)('PostgreSQL %i', version => {
  test('what is delivered but not yet visible when a second sink begins is waited for', async () => {
    await using server = await PostgresServer.start({version});
    await using world = await World.on(server);
    const {relation, gate, stream, recorder, snapshot, hangingInsert} = await openSink(world);
    await standbyThatNeverComes(world, true);
    const {done, pid, transaction} = await hangingInsert(1);
    // The first sink has it, so it has been confirmed.
    const hold = gate.hold('u2');
    expect(hold).toBeGreaterThanOrEqual(transaction.endLsn);
    expect(delivered(hold, await snapshot(), recorder.users)).toEqual([]);

    const heard: string[] = [];
    let over = false;
    const publishing = publishRelation(await world.connect(), {
      publication: world.name,
      relation,
      waiting: whom => heard.push(whom),
    }).then(() => (over = true));
    await poll('the writer to be named', 20_000, () => heard.includes(`transaction of pid ${pid}`));
    expect(over).toBe(false);
    await standbyThatNeverComes(world, false);
    await done;
    await publishing;
    expect(delivered(hold, await snapshot(), recorder.users)).toEqual([{id: '1'}]);
    await stream.close();
  });

  test('what is delivered but not visible in the snapshot is read again, because the hold came first', async () => {
    await using server = await PostgresServer.start({version});
    await using world = await World.on(server);
    const {relation, gate, stream, recorder, snapshot, hangingInsert} = await openSink(world);
    const hold = gate.hold('u2');
    await publishRelation(world.client, {publication: world.name, relation, waiting: () => undefined});
    await standbyThatNeverComes(world, true);
    const {done, transaction} = await hangingInsert(1);
    expect(gate.confirmed).toBe(hold);
    const taken = await snapshot();
    expect(taken.rows).toEqual([]);
    expect(transaction.commitLsn).toBeLessThan(taken.filter.until);
    await standbyThatNeverComes(world, false);
    await done;
    expect(delivered(hold, taken, recorder.users)).toEqual([{id: '1'}]);
    // A hold where the stream is now would have lost it.
    expect(delivered(transaction.endLsn, taken, recorder.users)).toEqual([]);
    await stream.close();
  });
});
