import {poll} from '../../scripts/process/poll.ts';
import type {SinkWorld} from './sink-world.ts';

/** No sink has left anything: no entry in a publication, no slot, no spool, nothing that a later sink would trip over. */
export async function nothingLeft(world: SinkWorld, limitMs = 60_000): Promise<void> {
  let last: unknown;
  const ask = async () => {
    const {rows} = await world.engine.query<Record<string, string>>(
      `SELECT (SELECT count(*) FROM mz_sluice.dropped_sink) AS dropped, (SELECT count(*) FROM mz_sluice.sink_statistics) AS statistics,
         (SELECT count(*) FROM mz_sluice.sink_state) AS states,
         (SELECT count(*) FROM pg_publication_tables WHERE schemaname <> 'mz_sluice') AS published,
         (SELECT count(*) FROM mz_sluice.identity_before) AS identities, (SELECT count(*) FROM mz_sluice.spool) AS spools,
         (SELECT count(*) FROM pg_replication_slots) AS slots`,
    );
    last = rows[0];
    return Object.values(rows[0]).every(count => count === '0');
  };
  try {
    await poll('the end of what sinks need', limitMs, ask, 100);
  } catch (error) {
    throw new Error(`sinks have left ${JSON.stringify(last)}`, {cause: error});
  }
}
