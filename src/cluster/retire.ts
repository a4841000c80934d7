import type pg from 'pg';
import {clearClockRecords} from '../changes/clock-record.ts';
import {withdrawRelation} from '../changes/hand-over.ts';
import {dropSlot} from '../changes/slot.ts';
import {dropSpool} from '../changes/snapshot-spool.ts';
import type {DroppedSink, WorkerCatalog} from '../catalog/worker-catalog.ts';

/** Of the cluster's slot and publication, which have the same name. */
export async function clusterSlot(client: pg.Client, cluster: string): Promise<string> {
  const {rows} = await client.query<{name: string}>('SELECT mz_sluice.slot_name($1) AS name', [cluster]);
  return rows[0].name;
}

/** How long one look at a dropped sink waits for transactions on its relation: other sinks wait meanwhile. */
const PATIENCE_MS = 1000;

/**
 * Restores what a sink needed in the user's tables, unless another sink still needs it. May be repeated, and has to be where the
 * answer is false: then somebody's transaction holds a lock on the relation.
 */
export async function undoSink(client: pg.Client, slot: string, sink: DroppedSink): Promise<boolean> {
  await dropSpool(client, sink.id);
  const {rows} = await client.query<{here: boolean; anywhere: boolean}>(
    `SELECT coalesce(bool_or(cluster = $2), false) AS here, count(*) > 0 AS anywhere FROM mz_sluice.sink WHERE relation = $1::oid`,
    [sink.relation, slot.slice(slot.lastIndexOf('_') + 1)],
  );
  const {here, anywhere} = rows[0];
  if (here) return true;
  const signal = AbortSignal.timeout(PATIENCE_MS);
  try {
    await withdrawRelation(client, {publication: slot, relation: sink.relation, restoreIdentity: !anywhere, signal});
    return true;
  } catch (error) {
    if (error !== signal.reason) throw error;
    return false;
  }
}

/** A cluster without sinks holds no log back. The publication stays: a later slot must not meet changes from before it. */
export async function retireLog(client: pg.Client, slot: string): Promise<void> {
  await dropSlot(client, slot);
  await clearClockRecords(client, slot);
}

/**
 * What is left of clusters that no worker runs: sinks that were dropped while their cluster was paused or together with it, and
 * slots of clusters that are gone, which would hold back log for ever. `running`: the clusters whose workers do this themselves.
 */
export async function retireOrphans(
  client: pg.Client,
  catalog: WorkerCatalog,
  running: ReadonlySet<string>,
): Promise<void> {
  const {rows} = await client.query<{cluster: string}>('SELECT DISTINCT cluster FROM mz_sluice.dropped_sink');
  for (const {cluster} of rows) {
    if (running.has(cluster)) continue;
    const slot = await clusterSlot(client, cluster);
    for (const dropped of await catalog.droppedSinks(cluster)) {
      if (await undoSink(client, slot, dropped)) await catalog.forgetDroppedSink(dropped.id);
    }
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
}
