/*
 * changes/ is the change log: what a relation holds at one moment (snapshot.ts, snapshot-spool.ts), every committed transaction
 * after it, once and in commit order (replication-stream.ts, pgoutput.ts), and this file, which joins the two without loss or
 * repetition. It promises that a position, once reached, gives the same transactions and times again (logical-clock.ts,
 * clock-record.ts) until it has been confirmed (ack-gate.ts). It knows nothing of sinks, formats and targets.
 */
import {setTimeout as sleep} from 'node:timers/promises';
import pg from 'pg';
import {errorCode} from '../engine/connection-errors.ts';
import {describeHolders, EVERYBODY, lockHolders, waitForHolders, WRITERS} from './lock-holders.ts';
import {isPublished} from './publication.ts';
import {lockRelation, tablesOf, type PreparedTable} from './relation-tables.ts';
import {
  addTruncateTrigger,
  dropTruncateTrigger,
  forgetEmptiers,
  forgetLeaves,
  rememberLeaves,
} from './announcements.ts';

/**
 * How long the users' statements may queue behind our request for a lock, and the longest pause before the next one.
 * docs: a sink's creation holds up writers of its table by this much, repeatedly, until it has got the lock once.
 */
const LOCK_TIMEOUT_MS = 100;
const LONGEST_PAUSE_MS = 2000;

export interface PublishOptions {
  readonly publication: string;
  /** `pg_class.oid` of a table or a partitioned root. */
  readonly relation: number;
  /** Hears whom we wait for, whenever that changes. */
  readonly waiting: (whom: string) => void;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Sees to it that every change of the relation, with whole old rows, is in the stream from a hold that has been registered
 * before, as far as a snapshot taken afterwards does not show it. May be repeated; also prepares partitions that are new.
 * Rules 1 to 3 of the hand-over in ARCHITECTURE.md; each of them has lost rows when left out.
 */
export async function publishRelation(client: pg.ClientBase, options: PublishOptions): Promise<void> {
  const {publication, relation, waiting, signal} = options;
  const tables = await tablesOf(client, relation);
  if ((await isPublished(client, publication, relation)) && tables.every(isPrepared)) {
    // Who writes now may have begun before the hold, and his commit may have been decoded before it.
    const locks = {relations: tables.map(({oid}) => oid), modes: WRITERS};
    await waitForHolders(client, locks, holders => waiting(describeHolders(holders)), signal);
    return;
  }
  await retryLocked(client, options, () => publishLocked(client, options));
}

function isPrepared(table: PreparedTable): boolean {
  return table.replicaIdentity === 'f' && table.hasTruncateTrigger;
}

/** The lock waits for every writer and keeps new ones out until the publication is committed. */
async function publishLocked(client: pg.ClientBase, {publication, relation}: PublishOptions): Promise<void> {
  const needsIdentity = (await tablesOf(client, relation)).some(({replicaIdentity}) => replicaIdentity !== 'f');
  // The strongest lock first: to ask for it while holding a weaker one is to deadlock with readers who want to write.
  const tables = await lockRelation(client, relation, needsIdentity ? 'ACCESS EXCLUSIVE' : 'SHARE ROW EXCLUSIVE');
  for (const table of tables) {
    await client.query(
      `INSERT INTO mz_sluice.identity_before (relation, relreplident, index) VALUES ($1::oid, $2, $3::oid) ON CONFLICT DO NOTHING`,
      [table.oid, table.replicaIdentity, table.identityIndex],
    );
    if (!table.hasTruncateTrigger) await addTruncateTrigger(client, table.name);
    // Before ADD TABLE, or UPDATE and DELETE of a table without primary key fail.
    if (table.replicaIdentity !== 'f') await client.query(`ALTER TABLE ${table.name} REPLICA IDENTITY FULL`);
  }
  await rememberLeaves(client, relation);
  if (await isPublished(client, publication, relation)) return;
  await client.query(`ALTER PUBLICATION ${pg.escapeIdentifier(publication)} ADD TABLE ${tables[0].name}`);
}

export interface WithdrawOptions {
  readonly publication: string;
  readonly relation: number;
  /** False while another sink, perhaps of another cluster, needs the relation's old rows. */
  readonly restoreIdentity: boolean;
  readonly waiting?: ((whom: string) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Undoes `publishRelation`: the relation, which may have been dropped meanwhile, leaves the publication, and tables that no
 * publication of ours needs any more get back the replica identity that they had. May be repeated.
 */
export async function withdrawRelation(client: pg.ClientBase, options: WithdrawOptions): Promise<void> {
  const {publication, relation, restoreIdentity, waiting = () => undefined, signal} = options;
  await retryLocked(client, {relation, waiting, signal}, async () => {
    const {rows} = await client.query<{name: string}>(
      `SELECT format('%I.%I', n.nspname, c.relname) AS name FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
       JOIN pg_class c ON c.oid = r.prrelid JOIN pg_namespace n ON n.oid = c.relnamespace
       WHERE p.pubname = $1 AND c.oid = $2::oid`,
      [publication, relation],
    );
    if (rows.length > 0) {
      await client.query(`ALTER PUBLICATION ${pg.escapeIdentifier(publication)} DROP TABLE ${rows[0].name}`);
    }
    await forgetLeaves(client);
    if (restoreIdentity) await restoreIdentities(client);
    await forgetEmptiers(client);
  });
}

/** Undoes what was done to one table, whether or not it is still published; may be repeated. */
export async function restoreTable(
  client: pg.ClientBase,
  {relation, waiting, signal}: Pick<PublishOptions, 'relation' | 'waiting' | 'signal'>,
): Promise<void> {
  await retryLocked(client, {relation, waiting, signal}, () => restore(client, relation));
}

/** Tables that we have changed: neither themselves nor by a partitioned root in a publication of ours. */
export async function changedTables(client: pg.ClientBase): Promise<ChangedTable[]> {
  const {rows} = await client.query<{relation: string; name: string | null}>(
    `SELECT relation::text, CASE WHEN c.oid IS NOT NULL THEN format('%I.%I', n.nspname, c.relname) END AS name
     FROM (
       SELECT relation FROM mz_sluice.identity_before
       UNION SELECT t.tgrelid FROM pg_trigger t WHERE t.tgfoid = to_regproc('mz_sluice.before_truncate')
     ) AS changed
     LEFT JOIN pg_class c ON c.oid = relation LEFT JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE NOT EXISTS (
       SELECT FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
       WHERE p.pubname ~ '^sluice_[0-9]+_' AND (r.prrelid = relation
         OR r.prrelid IN (SELECT relid FROM pg_partition_ancestors(relation::regclass) AS a (relid))))
     ORDER BY relation`,
  );
  return rows.map(({relation, name}) => ({relation: Number(relation), name: name ?? undefined}));
}

export interface ChangedTable {
  readonly relation: number;
  /** Qualified and quoted; undefined when the table is gone. */
  readonly name: string | undefined;
}

async function restoreIdentities(client: pg.ClientBase): Promise<void> {
  for (const {relation} of await changedTables(client)) await restore(client, relation);
}

interface IdentityBefore {
  readonly name: string;
  readonly now: string;
  /** NULL: it was FULL already. */
  readonly before: string | null;
  /** NULL: the index is gone, never was, or can no longer be an identity. */
  readonly index: string | null;
}

async function restore(client: pg.ClientBase, relation: number): Promise<void> {
  const {rows} = await client.query<IdentityBefore>(
    `SELECT format('%I.%I', n.nspname, c.relname) AS name, c.relreplident AS now, b.relreplident AS before,
       (SELECT x.relname FROM pg_class x JOIN pg_index i ON i.indexrelid = x.oid
        WHERE x.oid = b.index AND i.indrelid = c.oid AND i.indisvalid AND i.indimmediate
          AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum = ANY (i.indkey) AND NOT a.attnotnull)) AS index
     FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
     LEFT JOIN mz_sluice.identity_before b ON b.relation = c.oid WHERE c.oid = $1::oid`,
    [relation],
  );
  for (const row of rows) {
    await dropTruncateTrigger(client, row.name);
    // What the user has set himself since then stays.
    if (row.now === 'f' && row.before !== null && row.before !== 'f') {
      await client.query(`ALTER TABLE ${row.name} REPLICA IDENTITY ${identityClause(row)}`);
    }
  }
  await client.query('DELETE FROM mz_sluice.identity_before WHERE relation = $1::oid', [relation]);
}

function identityClause({before, index}: IdentityBefore): string {
  if (before === 'n') return 'NOTHING';
  return before === 'i' && index !== null ? `USING INDEX ${pg.escapeIdentifier(index)}` : 'DEFAULT';
}

/** One transaction that gives up a lock it does not get at once, so that nobody queues behind it for long, and tries again. */
async function retryLocked(
  client: pg.ClientBase,
  {relation, waiting, signal}: Pick<PublishOptions, 'relation' | 'waiting' | 'signal'>,
  work: () => Promise<void>,
): Promise<void> {
  for (let pauseMs = 50; ; pauseMs = Math.min(LONGEST_PAUSE_MS, pauseMs * 2)) {
    signal?.throwIfAborted();
    await client.query('BEGIN');
    try {
      await client.query(`SET LOCAL lock_timeout = ${LOCK_TIMEOUT_MS}`);
      await work();
      await client.query('COMMIT');
      return;
    } catch (error) {
      await client.query('ROLLBACK');
      // Lock not available, deadlock, renamed meanwhile.
      if (!['55P03', '40P01', '40001'].includes(errorCode(error) ?? '')) throw error;
    }
    const tables = await tablesOf(client, relation).catch(() => []);
    const holders = await lockHolders(client, {relations: tables.map(({oid}) => oid), modes: EVERYBODY});
    if (holders.length > 0) waiting(describeHolders(holders));
    await sleep(pauseMs, undefined, {signal}).catch(() => undefined);
  }
}
