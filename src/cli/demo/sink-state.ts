import type pg from 'pg';

export interface SinkState {
  /** Of the sink that is furthest behind; undefined before its first commit. */
  readonly lagSeconds: number | undefined;
  /** What sinks say that are not running; undefined when all are. */
  readonly trouble: string | undefined;
}

/** The demo's sinks, as Sluice's own views show them to everybody. */
export async function askSinks(client: pg.Client, schema: string): Promise<SinkState> {
  const {rows} = await client.query<{lag: number | null; trouble: string | null}>(
    `SELECT
       CASE WHEN min(f.write_frontier) > 0
         THEN greatest(extract(epoch FROM statement_timestamp()) - min(f.write_frontier) / 1000.0, 0)::float8
       END AS lag,
       string_agg(format('%s is %s%s', s.name, s.status, ': ' || s.error), '; ') FILTER (WHERE s.status <> 'running') AS trouble
     FROM mz_catalog.mz_sinks k
     JOIN mz_catalog.mz_schemas n ON n.id = k.schema_id
     JOIN mz_internal.mz_sink_statuses s ON s.id = k.id
     LEFT JOIN mz_internal.mz_frontiers f ON f.object_id = k.id
     WHERE n.name = $1`,
    [schema],
  );
  return {lagSeconds: rows[0].lag ?? undefined, trouble: rows[0].trouble ?? undefined};
}
