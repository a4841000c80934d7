import {describe, expect, test} from 'vitest';
import {poll} from '../../scripts/process/poll.ts';
import {AckGate} from '../../src/changes/ack-gate.ts';
import {publishRelation, withdrawRelation} from '../../src/changes/hand-over.ts';
import {dropSpool, makeSpool, readSpool} from '../../src/changes/snapshot-spool.ts';
import {takeSnapshot} from '../../src/changes/snapshot.ts';
import type {SnapshotFilter} from '../../src/changes/snapshot-filter.ts';
import {identifySystem} from '../../src/changes/system-identity.ts';
import {isVisible} from '../../src/changes/visibility.ts';
import {collectRows} from './copied-rows.ts';
import {randomFrom, writeRandomly} from './random-writers.ts';
import {StreamRecorder, type RecordedTransaction, type Row} from './stream-recorder.ts';
import {World} from './world.ts';

interface HandedOver {
  readonly hold: bigint;
  readonly filter: SnapshotFilter;
  readonly rows: Row[];
}

const text = (row: Row) => JSON.stringify(row);

/** The rows after the stream, each change of which must fit exactly what is there: nothing lost, nothing twice. */
function follow({hold, filter, rows}: HandedOver, relation: string, stream: readonly RecordedTransaction[]): string[] {
  const state = new Set(rows.map(text));
  for (const {endLsn, commitLsn, xid, changes} of stream) {
    if (endLsn <= hold) continue;
    if (commitLsn < filter.until && isVisible(filter, xid)) continue;
    for (const change of changes) {
      if (change.relation !== relation) continue;
      if (change.op === 'truncate') throw new Error('a TRUNCATE in the log');
      if (change.before !== undefined && !state.delete(text(change.before))) {
        throw new Error(`xid ${xid}: ${change.op} of a row that is not there: ${text(change.before)}`);
      }
      if (change.after === undefined) continue;
      // A value that the log left out is that of the whole old row.
      const after = Object.fromEntries(
        Object.entries(change.after).map(([name, value]) => [name, value === '?' ? change.before![name] : value]),
      ) as Row;
      if (state.has(text(after)))
        throw new Error(`xid ${xid}: ${change.op} of a row that is there already: ${text(after)}`);
      state.add(text(after));
    }
  }
  return [...state].sort();
}

const SECONDS = Number(process.env['SLUICE_TEST_HAND_OVER_SECONDS'] ?? 5);

describe.each([15, 18] as const)('PostgreSQL %i', version => {
  test(
    'hand-overs among random writers see every change exactly once',
    {timeout: 60_000 + SECONDS * 2000},
    async () => {
      const seed = Number(process.env['SLUICE_TEST_SEED'] ?? Math.floor(Math.random() * 2 ** 31));
      const random = randomFrom(seed);
      await using world = await World.open({version});
      await world.client.query(
        `CREATE TABLE t (id int, part int, v text, PRIMARY KEY (id, part));
       CREATE TABLE p (id int, part int, v text, PRIMARY KEY (id, part)) PARTITION BY LIST (part);
       CREATE TABLE p0 PARTITION OF p FOR VALUES IN (0); CREATE TABLE p1 PARTITION OF p DEFAULT`,
      );
      const writers = await Promise.all([0, 1, 2, 3].map(() => world.connect()));
      const identity = await identifySystem(world.client);
      const gate = new AckGate(await world.confirmedLsn());
      const recorder: StreamRecorder = new StreamRecorder(({endLsn}) => {
        // As eager as can be: all that was received is confirmed at once, unless a hold is in the way.
        const safe = gate.safe({endLsn, clock: 0n});
        if (safe === undefined) return;
        gate.confirm(safe.endLsn);
        stream.confirm(safe.endLsn);
      });
      const {stream, done} = await world.run(recorder, {settings: {logical_decoding_work_mem: '64kB'}});

      const handOver = async (sink: string, relation: number, spooled: boolean): Promise<HandedOver> => {
        const hold = gate.hold(sink);
        const client = await world.connect();
        await publishRelation(client, {publication: world.name, relation, waiting: () => undefined});
        const request = {relation, attnums: [1, 2, 3]};
        if (spooled) {
          const spool = await makeSpool(client, {...request, sink, hold, identity});
          const rows = await collectRows(spool.columns, readSpool(client, spool, 0, spool.blocks));
          await dropSpool(client, sink);
          return {hold: spool.holdLsn, filter: spool.filter, rows};
        }
        const snapshot = await takeSnapshot(client, request);
        const rows = await collectRows(snapshot.columns, snapshot.rows());
        await snapshot.close();
        return {hold, filter: snapshot.filter, rows};
      };

      const round = async (table: string): Promise<void> => {
        const relation = await world.oid(table);
        let [transactions, over] = [0, false];
        const later = (n: number) => {
          const until = transactions + n;
          return poll('the writers', 30_000, () => transactions >= until, 5);
        };
        const writing = writers.map((client, w) =>
          writeRandomly(client, {
            table,
            gid: `${world.name}_${w}`,
            random,
            truncates: w === 0,
            isOver: () => over,
            onTransaction: () => transactions++,
          }),
        );
        const handingOver = async () => {
          await later(20);
          const first = await handOver('u1', relation, false);
          await later(10);
          const second = await Promise.all([handOver('u2', relation, false), handOver('u3', relation, true)]);
          await later(20);
          return [first, ...second];
        };
        const results = await handingOver().finally(() => (over = true));
        await Promise.all(writing);
        await world.caughtUp(recorder, done);
        const {rows} = await world.client.query<Row>(`SELECT id::text, part::text, v FROM ${table}`);
        for (const result of results)
          expect(follow(result, `public.${table}`, recorder.transactions)).toEqual(rows.map(text).sort());
        for (const sink of ['u1', 'u2', 'u3']) gate.release(sink);
        await withdrawRelation(world.client, {publication: world.name, relation, restoreIdentity: true});
      };

      const deadline = performance.now() + SECONDS * 1000;
      let rounds = 0;
      try {
        while (performance.now() < deadline || rounds < 2) await round(rounds++ % 2 === 0 ? 't' : 'p');
      } catch (error) {
        throw new Error(`seed ${seed}, round ${rounds}`, {cause: error});
      }
      await stream.close();
      expect(recorder.users.length).toBeGreaterThan(50);
    },
  );
});
