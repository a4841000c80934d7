import pg from 'pg';
import type {Logger} from 'pino';
import {clearClockRecords} from '../changes/clock-record.ts';
import {withdrawRelation} from '../changes/hand-over.ts';
import {dropSlot} from '../changes/slot.ts';
import {dropSpool} from '../changes/snapshot-spool.ts';
import type {ObjectId} from '../catalog/definitions.ts';
import type {DroppedSink, WorkerCatalog} from '../catalog/worker-catalog.ts';
import {briefTransaction} from './brief-transaction.ts';
import {fenceDropped} from './targets.ts';

/** Of the cluster's slot and publication, which have the same name. */
export async function clusterSlot(client: pg.Client, cluster: string): Promise<string> {
  const {rows} = await client.query<{name: string}>('SELECT mz_sluice.slot_name($1) AS name', [cluster]);
  return rows[0].name;
}

/** How long one look at a dropped sink waits for transactions on its relation: other sinks wait meanwhile. */
const PATIENCE_MS = 1000;

/** What sinks that are gone needed in the user's tables; those that `isBusy` are left for later. May be repeated. */
export async function undoDropped(
  client: pg.Client,
  catalog: WorkerCatalog,
  cluster: ObjectId,
  isBusy: (sink: ObjectId) => boolean,
  log: Logger,
): Promise<void> {
  const undone: DroppedSink[] = [];
  for (const sink of await catalog.droppedSinks(cluster)) {
    if (isBusy(sink.id)) continue;
    await dropSpool(client, sink.id);
    if (!(await withdrawUnused(client, cluster, sink.relation))) continue;
    await catalog.forgetDroppedSink(sink.id);
    undone.push(sink);
  }
  // Brokers that are away hold up nobody.
  void fenceDropped(undone, log);
}

/** The same for relations that sinks have gone over from. */
export async function undoReleased(
  client: pg.Client,
  catalog: WorkerCatalog,
  cluster: ObjectId,
  isBusy: (relation: number) => boolean,
): Promise<void> {
  for (const released of await catalog.releasedRelations(cluster)) {
    if (isBusy(released.relation)) continue;
    if (!(await withdrawUnused(client, cluster, released.relation))) continue;
    // Where somebody's open transaction alters the sink, next time.
    await briefTransaction(client, () => catalog.forgetReleasedRelation(released));
  }
}

/** False: somebody's transaction holds a lock on the relation, and this has to be repeated. */
async function withdrawUnused(client: pg.Client, cluster: ObjectId, relation: number): Promise<boolean> {
  const {rows} = await client.query<{here: boolean; anywhere: boolean}>(
    `SELECT coalesce(bool_or(cluster = $2), false) AS here, count(*) > 0 AS anywhere FROM mz_sluice.sink_version WHERE relation = $1::oid`,
    [relation, cluster],
  );
  const {here, anywhere} = rows[0];
  if (here) return true;
  const publication = await clusterSlot(client, cluster);
  const signal = AbortSignal.timeout(PATIENCE_MS);
  try {
    await withdrawRelation(client, {publication, relation, restoreIdentity: !anywhere, signal});
    return true;
  } catch (error) {
    if (error !== signal.reason) throw error;
    return false;
  }
}

/** A cluster without sinks holds no log back. The publication stays while there is the cluster: a later slot must not meet changes from before it. */
export async function retireLog(client: pg.Client, slot: string): Promise<void> {
  await dropSlot(client, slot);
  await clearClockRecords(client, slot);
}

/**
 * What is left of clusters that no worker runs: sinks that were dropped while their cluster was paused or together with it,
 * slots of clusters that are gone, which would hold back log for ever, and their publications. `running`: the clusters whose workers do this
 * themselves.
 */
export async function retireOrphans(
  client: pg.Client,
  catalog: WorkerCatalog,
  running: ReadonlySet<string>,
  log: Logger,
): Promise<void> {
  const {rows} = await client.query<{cluster: string}>(
    'SELECT cluster FROM mz_sluice.dropped_sink UNION SELECT cluster FROM mz_sluice.released_relation',
  );
  for (const {cluster} of rows) {
    if (running.has(cluster)) continue;
    await undoDropped(client, catalog, cluster, () => false, log);
    await undoReleased(client, catalog, cluster, () => false);
  }
  const slots = await client.query<{slot: string}>(
    `SELECT slot_name AS slot FROM pg_replication_slots
     WHERE database = current_database() AND starts_with(slot_name, $1)
       AND substr(slot_name, length($1) + 1) NOT IN (SELECT cluster FROM mz_sluice.sink)`,
    [await clusterSlot(client, '')],
  );
  for (const {slot} of slots.rows) {
    if (!running.has(slot.slice(slot.lastIndexOf('_') + 1))) await retireLog(client, slot);
  }
  await dropPublications(client);
}

/** Once nothing is left that needs them; a cluster's id is never given again, so no later slot does. */
async function dropPublications(client: pg.Client): Promise<void> {
  const {rows} = await client.query<{name: string}>(
    `SELECT pubname AS name FROM pg_publication, substr(pubname, length($1) + 1) AS cluster
     WHERE starts_with(pubname, $1) AND pg_has_role(pubowner, 'USAGE') AND cluster NOT IN (
         SELECT id FROM mz_sluice.cluster UNION SELECT cluster FROM mz_sluice.dropped_sink UNION SELECT cluster FROM mz_sluice.released_relation)
       AND cluster ~ '^u[0-9]+$' AND NOT EXISTS (SELECT FROM pg_replication_slots WHERE database = current_database() AND slot_name = pubname)`,
    [await clusterSlot(client, '')],
  );
  for (const {name} of rows) await client.query(`DROP PUBLICATION IF EXISTS ${pg.escapeIdentifier(name)}`);
}
