import pg from 'pg';
import {SqlError} from '../base/sql-error.ts';
import {ANNOUNCEMENT_TABLE, ensureAnnouncements} from './announcements.ts';

const PUBLISHED_OPERATIONS = 'insert, update, delete, truncate';

const OWN_TABLES = `('mz_sluice.heartbeat'::regclass, '${ANNOUNCEMENT_TABLE.schema}.${ANNOUNCEMENT_TABLE.name}'::regclass)`;

/** SQL: whether the publication `p` sends all kinds of changes, whole ones, and both tables of ours. */
export const SENDS_EVERYTHING = `p.pubinsert AND p.pubupdate AND p.pubdelete AND p.pubtruncate AND p.pubviaroot
  AND coalesce(to_jsonb(p) ->> 'pubgencols', 's') = 's'
  AND (SELECT count(*) = 2 FROM pg_publication_rel WHERE prpubid = p.oid AND prrelid IN ${OWN_TABLES})`;

/**
 * SQL: text that is another one after options, name or owner of the publication `p` were changed or a table of ours was taken out, also when
 * that was put back. Tables that come and go leave the row of the publication alone, and so does VACUUM FREEZE: it keeps `xmin` as it is.
 */
export const PUBLICATION_MARK = `concat_ws(' ', p.oid, p.xmin,
  (SELECT string_agg(oid::text, ' ' ORDER BY oid) FROM pg_publication_rel WHERE prpubid = p.oid AND prrelid IN ${OWN_TABLES}))`;

/**
 * Makes the cluster's publication if it is not there: with the cluster's own heartbeat row and our announcements.
 * Must be called before the slot is made, because a slot that meets changes from before its publication fails for good.
 * One that somebody has changed stays as it is while there is a slot, because changes are missing and nobody knows which (`SENDS_EVERYTHING` is
 * what sinks look at); a new slot gets a new publication.
 */
export async function ensurePublication(client: pg.ClientBase, name: string, hasSlot: boolean): Promise<void> {
  await ensureAnnouncements(client);
  const {rows} = await client.query<{whole: boolean}>(
    `SELECT ${SENDS_EVERYTHING} AS whole FROM pg_publication p WHERE p.pubname = $1`,
    [name],
  );
  const found = rows.at(0);
  if (found !== undefined) {
    if (found.whole || hasSlot) return;
    await client.query(`DROP PUBLICATION ${pg.escapeIdentifier(name)}`);
  }
  await createPublication(client, name);
}

async function createPublication(client: pg.ClientBase, name: string): Promise<void> {
  const options = [`publish = '${PUBLISHED_OPERATIONS}'`, 'publish_via_partition_root = true'];
  if (await sendsGeneratedColumns(client)) options.push('publish_generated_columns = stored');
  await client.query(
    `CREATE PUBLICATION ${pg.escapeIdentifier(name)}
     FOR TABLE mz_sluice.heartbeat WHERE (slot = ${pg.escapeLiteral(name)}), ${ANNOUNCEMENT_TABLE.schema}.${ANNOUNCEMENT_TABLE.name}
     WITH (${options.join(', ')})`,
  );
}

async function sendsGeneratedColumns(client: pg.ClientBase): Promise<boolean> {
  const {rows} = await client.query<{version: number}>(`SELECT current_setting('server_version_num')::int AS version`);
  return rows[0].version >= 180000;
}

/**
 * Whether the relation's rows are published whole. Throws 55000 when somebody has added a row filter or a column list
 * to it, or has published only a part of a partitioned table.
 */
export async function isPublished(client: pg.ClientBase, publication: string, relation: number): Promise<boolean> {
  const {rows} = await client.query<{narrowed: boolean}>(
    `SELECT r.prqual IS NOT NULL OR r.prattrs IS NOT NULL AS narrowed FROM pg_publication_rel r
     JOIN pg_publication p ON p.oid = r.prpubid WHERE p.pubname = $1 AND r.prrelid = $2::oid`,
    [publication, relation],
  );
  if (rows.length === 0) return false;
  if (rows[0].narrowed) {
    throw new SqlError(
      '55000',
      `relation ${relation} is published with a row filter or a column list in "${publication}"`,
      {
        hint: 'Drop the sink and create it again: rows that were left out cannot be found again.',
      },
    );
  }
  return true;
}
