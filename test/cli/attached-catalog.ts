import type pg from 'pg';

/** What belongs to a database, and what of a row changes by itself. */
const CATALOGS: Readonly<Record<string, readonly string[]>> = {
  pg_namespace: [],
  // Statistics, storage, and hints that PostgreSQL resets when it feels like it.
  pg_class: [
    'relfilenode',
    'relpages',
    'reltuples',
    'relallvisible',
    'relallfrozen',
    'relfrozenxid',
    'relminmxid',
    'relhastriggers',
    'relhasrules',
  ],
  pg_attribute: [],
  pg_attrdef: [],
  pg_index: ['indcheckxmin'],
  pg_constraint: [],
  pg_inherits: [],
  pg_trigger: [],
  pg_rewrite: [],
  pg_policy: [],
  pg_proc: [],
  pg_type: [],
  pg_event_trigger: [],
  pg_publication: [],
  pg_publication_rel: [],
  pg_publication_namespace: [],
  pg_default_acl: [],
  pg_description: [],
  pg_depend: [],
  pg_sequence: [],
};

/** Every row of the catalogs about objects of users in this database, its settings and slots: two that are equal show the same database. */
export async function catalogSnapshot(client: pg.Client): Promise<Record<string, unknown[]>> {
  const snapshot: Record<string, unknown[]> = {};
  for (const [catalog, volatile] of Object.entries(CATALOGS)) {
    const {rows} = await client.query<{row: unknown}>(
      `SELECT row FROM (SELECT to_jsonb(t) - $1::text[] AS row FROM ${catalog} t) AS r
       WHERE greatest((row ->> 'oid')::bigint, (row ->> 'objid')::bigint, (row ->> 'objoid')::bigint, (row ->> 'attrelid')::bigint,
         (row ->> 'indexrelid')::bigint, (row ->> 'inhrelid')::bigint, (row ->> 'seqrelid')::bigint) >= 16384 ORDER BY row`,
      [volatile],
    );
    snapshot[catalog] = rows.map(({row}) => row);
  }
  const {rows} = await client.query<{database: unknown}>(
    `SELECT json_build_object('acl', datacl::text, 'settings', (SELECT json_agg(setconfig) FROM pg_db_role_setting WHERE setdatabase = d.oid),
       'slots', (SELECT json_agg(slot_name) FROM pg_replication_slots WHERE database = datname)) AS database
     FROM pg_database d WHERE datname = current_database()`,
  );
  snapshot['database'] = rows;
  return snapshot;
}
