import pg from 'pg';
import {SqlError} from '../base/sql-error.ts';
import {EVENT_TRIGGERS, eventTriggerStatements, type EventTrigger} from '../engine/attached-event-triggers.ts';
import {errorCode} from '../engine/connection-errors.ts';
import {partitionTree} from '../engine/partition-tree.ts';
import {locatePgoutput} from '../types/tuple.ts';
import type {RewrittenColumn, UnseenChange} from './stream-listener.ts';

/**
 * Our own published table of things that happen to a user's table without its rows being in the log. A row of it, in the same
 * transaction, says so at the right place of the stream: `relation` (of the publication), and what happened.
 */
export const ANNOUNCEMENT_TABLE = {schema: 'mz_sluice', name: 'announcement'} as const;

/** `emptied`: the rows were deleted first, so the TRUNCATE that follows loses nothing. */
export interface Announcement {
  /** OID of the published relation; of the table itself, perhaps a partition, for `emptied`. */
  readonly relation: number;
  readonly change: 'emptied' | UnseenChange;
}

/** Reads a row of the table, `buf[tuple …)` as pgoutput frames it: relation, what, columns. */
export function parseAnnouncement(buf: Buffer, tuple: number): Announcement {
  const [starts, lengths] = [new Int32Array(4), new Int32Array(4)];
  locatePgoutput(buf, tuple, starts, lengths);
  const text = (i: number) => buf.toString('utf8', starts[i], starts[i] + lengths[i]);
  const relation = buf.readUInt32BE(starts[0]);
  const what = text(1);
  switch (what) {
    case 'truncate':
      return {relation, change: 'emptied'};
    case 'attach':
    case 'detach':
    case 'drop':
    case 'unlogged':
      return {relation, change: {how: what}};
    case 'rewrite':
      return {relation, change: {how: what, columns: JSON.parse(text(2)) as RewrittenColumn[]}};
    default:
      throw new SqlError('08P01', `unknown announcement "${what}" in the replication stream`);
  }
}

/** Among BEFORE triggers of one event PostgreSQL goes by name: last, so that no other one adds rows behind us. */
const TRUNCATE_TRIGGER = 'zzz_sluice_truncate';

/**
 * `published_leaf` remembers the partitions that are known, to notice those that come and go; `emptied` is the transaction
 * that has last truncated one.
 */
const TABLES = `
CREATE TABLE IF NOT EXISTS mz_sluice.announcement (
  relation oid, what text, columns text, at timestamptz NOT NULL, PRIMARY KEY (relation, what)
);
CREATE TABLE IF NOT EXISTS mz_sluice.published_leaf (root oid, leaf oid, emptied xid8, PRIMARY KEY (root, leaf));
CREATE OR REPLACE FUNCTION mz_sluice.announce(relation oid, what text, columns text DEFAULT NULL) RETURNS void LANGUAGE sql
SET search_path = pg_catalog, pg_temp AS $$
  INSERT INTO mz_sluice.announcement AS a (relation, what, columns, at) VALUES ($1, $2, $3, clock_timestamp())
  ON CONFLICT (relation, what) DO UPDATE SET columns = excluded.columns, at = excluded.at
$$;
CREATE OR REPLACE VIEW mz_sluice.published_table AS
  SELECT DISTINCT r.prrelid AS root, t.relid AS relation
  FROM pg_catalog.pg_publication p JOIN pg_catalog.pg_publication_rel r ON r.prpubid = p.oid
  CROSS JOIN LATERAL ${partitionTree('r.prrelid')} t
  WHERE p.pubname ~ '^sluice_[0-9]+_' AND r.prrelid NOT IN (
    SELECT c.oid FROM pg_catalog.pg_class c WHERE c.relnamespace = 'mz_sluice'::regnamespace);
`;

/**
 * TRUNCATE puts no rows into the log, so a trigger deletes them first. Who may TRUNCATE need not be allowed to DELETE, and the table may
 * have triggers of the user: they must never run as Sluice. So a function of the table's owner does it, under the search_path of
 * the session where that is the owner's own, and otherwise under none that somebody else could have prepared. Where our role may,
 * it switches the user's triggers and foreign keys off, which do not notice a TRUNCATE either. On a partitioned table DELETE reaches
 * the leaves. Names in `before_truncate` are qualified, because it keeps the session's path.
 */
const TRUNCATE_FUNCTIONS = `
CREATE OR REPLACE FUNCTION mz_sluice.make_emptier(name text, owner oid, settings text) RETURNS void LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $make$
DECLARE
  needs_create boolean := NOT has_schema_privilege(owner, 'mz_sluice', 'CREATE');
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended('mz_sluice.give_anchor', 0));
  -- Another role's by now. IF EXISTS would tell the user of it.
  IF to_regprocedure(format('mz_sluice.%I(oid)', name)) IS NOT NULL THEN
    EXECUTE format('DROP FUNCTION mz_sluice.%I(oid)', name);
  END IF;
  EXECUTE format($create$
    CREATE FUNCTION mz_sluice.%I(relation oid) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET row_security = off %s AS $body$
    DECLARE
      name text := (SELECT pg_catalog.format('%%I.%%I', n.nspname, c.relname)
        FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace
        WHERE c.oid OPERATOR(pg_catalog.=) relation);
      rows_left boolean;
    BEGIN
      EXECUTE pg_catalog.format('DELETE FROM %%s', name);
      EXECUTE pg_catalog.format('SELECT EXISTS (SELECT FROM %%s)', name) INTO rows_left;
      IF rows_left THEN
        RAISE 'a trigger or a rule keeps rows from being deleted';
      END IF;
    END
    $body$ $create$, name, settings);
  EXECUTE format('REVOKE ALL ON FUNCTION mz_sluice.%I FROM PUBLIC', name);
  EXECUTE format('GRANT EXECUTE ON FUNCTION mz_sluice.%I TO %I', name, current_user);
  IF needs_create THEN
    EXECUTE format('GRANT CREATE ON SCHEMA mz_sluice TO %s', owner::regrole);
  END IF;
  EXECUTE format('ALTER FUNCTION mz_sluice.%I OWNER TO %s', name, owner::regrole);
  EXECUTE format('GRANT EXECUTE ON FUNCTION mz_sluice.%I TO %I', name, current_user);
  IF needs_create THEN
    EXECUTE format('REVOKE CREATE ON SCHEMA mz_sluice FROM %s', owner::regrole);
  END IF;
END
$make$;

-- Announces the TRUNCATE and returns the statement that deletes the rows.
CREATE OR REPLACE FUNCTION mz_sluice.prepare_truncate(relation oid) RETURNS text LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp AS $prepare$
DECLARE
  owner oid := (SELECT relowner FROM pg_class WHERE oid = relation);
  is_owners boolean := pg_has_role(mz_sluice.acting_role(), owner, 'USAGE');
  name text := format('empty_%s_as_%s', CASE WHEN is_owners THEN 'directly' ELSE 'safely' END, owner);
BEGIN
  PERFORM mz_sluice.announce(relation, 'truncate');
  UPDATE mz_sluice.published_leaf SET emptied = pg_current_xact_id() WHERE leaf = relation;
  IF NOT EXISTS (SELECT FROM pg_proc WHERE proname = name AND pronamespace = 'mz_sluice'::regnamespace AND proowner = owner) THEN
    PERFORM mz_sluice.make_emptier(name, owner, CASE WHEN is_owners THEN '' ELSE 'SET search_path = pg_catalog, pg_temp' END);
  END IF;
  RETURN format('SELECT mz_sluice.%I(%s::pg_catalog.oid)', name, relation);
END
$prepare$;
REVOKE ALL ON FUNCTION mz_sluice.make_emptier, mz_sluice.prepare_truncate FROM PUBLIC;
`;

const BEFORE_TRUNCATE = `
BEGIN
  RAISE NOTICE 'TRUNCATE of "%.%" deletes its rows one by one', TG_TABLE_SCHEMA, TG_TABLE_NAME
    USING DETAIL = 'A sink reads the table, and the write-ahead log does not say which rows a TRUNCATE removes.';
  EXECUTE mz_sluice.prepare_truncate(TG_RELID);
  RETURN NULL;
EXCEPTION WHEN OTHERS THEN
  -- What the user has asked of PostgreSQL, or PostgreSQL of him: to try again, to wait less, to stop.
  IF pg_catalog.left(SQLSTATE, 2) OPERATOR(pg_catalog.=) ANY ('{40,53,54,55,57,58,XX}') THEN
    RAISE;
  END IF;
  RAISE WARNING 'sinks of "%.%" stall, because its rows could not be deleted before TRUNCATE', TG_TABLE_SCHEMA, TG_TABLE_NAME
    USING DETAIL = SQLERRM;
  RETURN NULL;
END`;

/**
 * After CREATE TABLE and ALTER TABLE: every logged partition of a published relation has identity FULL and our trigger, in the very
 * transaction that made it a partition or took them away. The identity of a leaf is not in the stream: without this, old rows would
 * come with false NULLs, and a TRUNCATE of a leaf alone would not come at all. What the user does to the relation itself is in
 * the stream and stays as he wants it.
 */
const AFTER_DDL = `
DECLARE
  item record;
  has_rows boolean;
BEGIN
  FOR item IN
    SELECT p.root, c.oid, c.oid::regclass AS name, c.relkind, c.relpersistence, c.relreplident AS identity,
      (SELECT indexrelid FROM pg_index i WHERE i.indrelid = c.oid AND i.indisreplident) AS index,
      ${hasTruncateTrigger('c.oid')} AS has_trigger,
      EXISTS (SELECT FROM mz_sluice.published_leaf l WHERE l.root = p.root AND l.leaf = c.oid) AS is_known,
      EXISTS (SELECT FROM pg_event_trigger_ddl_commands() d WHERE d.objid = c.oid AND d.command_tag = 'CREATE TABLE') AS is_new
    FROM mz_sluice.published_table p JOIN pg_class c ON c.oid = p.relation
    -- Only what the command was about, with everything below it: DDL on one table takes no lock on another.
    WHERE c.oid <> p.root AND EXISTS (SELECT FROM pg_event_trigger_ddl_commands() d WHERE d.objid = c.oid
      OR d.objid IN (SELECT relid FROM pg_partition_ancestors(c.oid::regclass) a (relid)))
  LOOP
    IF item.relpersistence <> 'p' OR item.relkind = 'f' THEN
      PERFORM mz_sluice.announce(item.root, 'unlogged');
      CONTINUE;
    END IF;
    BEGIN
      -- First, because the ALTER TABLE below come here again.
      IF item.relkind = 'r' AND NOT item.is_known THEN
        INSERT INTO mz_sluice.published_leaf (root, leaf) VALUES (item.root, item.oid) ON CONFLICT DO NOTHING;
        IF NOT item.is_new THEN
          EXECUTE format('SELECT EXISTS (SELECT FROM %s)', item.name) INTO has_rows;
          IF has_rows THEN
            PERFORM mz_sluice.announce(item.root, 'attach');
          END IF;
        END IF;
      END IF;
      IF item.identity <> 'f' THEN
        -- What the user wants now is what he gets back.
        INSERT INTO mz_sluice.identity_before AS b (relation, relreplident, index) VALUES (item.oid, item.identity, item.index)
        ON CONFLICT (relation) DO UPDATE SET relreplident = excluded.relreplident, index = excluded.index;
        RAISE NOTICE 'replica identity of % is set to FULL', item.name USING DETAIL = 'A sink needs whole old rows in the write-ahead log.';
        EXECUTE format('ALTER TABLE %s REPLICA IDENTITY FULL', item.name);
      END IF;
      IF NOT item.has_trigger THEN
        EXECUTE format('CREATE OR REPLACE TRIGGER ${TRUNCATE_TRIGGER} BEFORE TRUNCATE ON %s FOR EACH STATEMENT '
          'EXECUTE FUNCTION mz_sluice.before_truncate()', item.name);
        EXECUTE format('ALTER TABLE %s ENABLE ALWAYS TRIGGER ${TRUNCATE_TRIGGER}', item.name);
      END IF;
    EXCEPTION WHEN insufficient_privilege THEN
      -- A partition of somebody for whom Sluice may not act. His command must not fail because of us; the sinks stall.
      PERFORM mz_sluice.announce(item.root, 'unlogged');
    END;
  END LOOP;
  FOR item IN
    SELECT l.root, l.leaf, c.oid::regclass AS name FROM mz_sluice.published_leaf l JOIN pg_class c ON c.oid = l.leaf
    WHERE l.root IN (SELECT coalesce(pg_partition_root(objid::regclass)::oid, objid) FROM pg_event_trigger_ddl_commands())
      AND NOT EXISTS (SELECT FROM pg_partition_ancestors(l.leaf::regclass) a (relid) WHERE a.relid = l.root)
  LOOP
    DELETE FROM mz_sluice.published_leaf l WHERE l.root = item.root AND l.leaf = item.leaf;
    BEGIN
      EXECUTE format('SELECT EXISTS (SELECT FROM %s)', item.name) INTO has_rows;
    EXCEPTION WHEN insufficient_privilege THEN
      has_rows := true;
    END;
    IF has_rows THEN
      PERFORM mz_sluice.announce(item.root, 'detach');
    END IF;
  END LOOP;
END`;

/** A partition that is dropped takes rows along, unless the same transaction has truncated it before. Nothing of it can be read any more. */
const AFTER_DROP = `
DECLARE
  item record;
BEGIN
  FOR item IN
    SELECT l.* FROM pg_event_trigger_dropped_objects() d JOIN mz_sluice.published_leaf l ON l.leaf = d.objid
    WHERE d.classid = 'pg_class'::regclass AND d.objsubid = 0
  LOOP
    DELETE FROM mz_sluice.published_leaf l WHERE l.root = item.root AND l.leaf = item.leaf;
    IF item.emptied IS DISTINCT FROM pg_current_xact_id() AND EXISTS (SELECT FROM pg_class WHERE oid = item.root) THEN
      PERFORM mz_sluice.announce(item.root, 'drop');
    END IF;
  END LOOP;
END`;

/**
 * Reasons: 2 = a default, of a column that is new or of a generated one by SET EXPRESSION; 4 = the type of a column, perhaps to the
 * same type with other values. The others (persistence, access method) keep values, and CLUSTER and VACUUM FULL do not come here.
 * The columns at hand are those whose entry this transaction has written: their xmin is not older than our own id. Partitions
 * have numbers of their own, and the published relation has already been altered.
 */
const ON_REWRITE = `
DECLARE
  reason integer := pg_event_trigger_table_rewrite_reason();
BEGIN
  IF reason & 6 <> 0 THEN
    PERFORM mz_sluice.announce(p.root, 'rewrite', json_agg(json_build_object(
      'attnum', r.attnum, 'typeOid', r.atttypid::bigint, 'typmod', r.atttypmod) ORDER BY r.attnum)::text)
    FROM mz_sluice.published_table p
    JOIN pg_attribute a ON a.attrelid = p.relation
    JOIN pg_attribute r ON r.attrelid = p.root AND r.attname = a.attname
    WHERE p.relation = pg_event_trigger_table_rewrite_oid() AND a.attnum > 0 AND NOT a.attisdropped AND age(a.xmin) <= 0
      AND (reason & 4 <> 0 OR a.attgenerated <> '')
    GROUP BY p.root;
  END IF;
END`;

const BODIES: Readonly<Record<string, string>> = {
  sluice_after_ddl: AFTER_DDL,
  sluice_after_drop: AFTER_DROP,
  sluice_on_rewrite: ON_REWRITE,
};

/**
 * Makes what the announcements need. Safe to repeat; concurrent callers wait for each other. Event triggers take a superuser, who may
 * make them by hand once the functions are there; until then relations are watched by `cluster/rewrite-watch.ts`.
 */
export async function ensureAnnouncements(client: pg.ClientBase): Promise<void> {
  await client.query('BEGIN');
  try {
    await client.query(`SELECT pg_advisory_xact_lock(hashtextextended('mz_sluice.announcement', 0))`);
    const {rows} = await client.query<{quiet: boolean}>(
      `SELECT rolsuper OR has_parameter_privilege('session_replication_role', 'SET') AS quiet
       FROM pg_roles WHERE rolname = current_user`,
    );
    await client.query(TABLES);
    await client.query(TRUNCATE_FUNCTIONS);
    await makeFunction(
      client,
      'before_truncate',
      'trigger',
      BEFORE_TRUNCATE,
      rows[0].quiet ? 'SET session_replication_role = replica' : '',
    );
    for (const [name, body] of Object.entries(BODIES)) {
      await makeFunction(
        client,
        name,
        'event_trigger',
        body,
        'SET search_path = pg_catalog, pg_temp SET row_security = off',
      );
    }
    for (const eventTrigger of EVENT_TRIGGERS) await tryEventTrigger(client, eventTrigger);
    await client.query('COMMIT');
  } catch (error) {
    await client.query('ROLLBACK');
    throw error;
  }
}

/** Managed services let roles make them that are no superusers, so only trying tells. */
async function tryEventTrigger(client: pg.ClientBase, eventTrigger: EventTrigger): Promise<void> {
  const {rows} = await client.query<{enabled: string}>(
    'SELECT evtenabled AS enabled FROM pg_event_trigger WHERE evtname = $1',
    [eventTrigger.name],
  );
  if (rows[0]?.enabled === 'A') return;
  const [create, enable] = eventTriggerStatements(eventTrigger);
  await client.query('SAVEPOINT event_trigger');
  try {
    if (rows.length === 0) await client.query(create);
    await client.query(enable);
  } catch (error) {
    if (errorCode(error) !== '42501') throw error;
    await client.query('ROLLBACK TO event_trigger');
  }
}

async function makeFunction(
  client: pg.ClientBase,
  name: string,
  returns: string,
  body: string,
  settings: string,
): Promise<void> {
  await client.query(
    `CREATE OR REPLACE FUNCTION mz_sluice.${name}() RETURNS ${returns} LANGUAGE plpgsql SECURITY DEFINER ${settings} AS $body$${body}$body$`,
  );
  await client.query(`REVOKE ALL ON FUNCTION mz_sluice.${name}() FROM PUBLIC`);
}

/** `table` is a quoted name. Needs SHARE ROW EXCLUSIVE on it. */
export async function addTruncateTrigger(client: pg.ClientBase, table: string): Promise<void> {
  await client.query(
    `CREATE OR REPLACE TRIGGER ${TRUNCATE_TRIGGER} BEFORE TRUNCATE ON ${table}
     FOR EACH STATEMENT EXECUTE FUNCTION mz_sluice.before_truncate()`,
  );
  await client.query(`ALTER TABLE ${table} ENABLE ALWAYS TRIGGER ${TRUNCATE_TRIGGER}`);
}

export async function dropTruncateTrigger(client: pg.ClientBase, table: string): Promise<void> {
  await client.query(`DROP TRIGGER IF EXISTS ${TRUNCATE_TRIGGER} ON ${table}`);
}

/** SQL expression: relation `oid` has the trigger and it always fires. */
export function hasTruncateTrigger(oid: string): string {
  return `EXISTS (SELECT FROM pg_catalog.pg_trigger t WHERE t.tgrelid = ${oid} AND t.tgname = '${TRUNCATE_TRIGGER}' AND t.tgenabled = 'A')`;
}

/** The partitions that the relation has when it is published. */
export async function rememberLeaves(client: pg.ClientBase, root: number): Promise<void> {
  await client.query(
    `INSERT INTO mz_sluice.published_leaf (root, leaf)
     SELECT $1::oid, relid FROM ${partitionTree('$1')} t JOIN pg_class c ON c.oid = t.relid WHERE c.relkind = 'r' AND c.oid <> $1::oid
     ON CONFLICT DO NOTHING`,
    [root],
  );
}

/** Functions of roles none of whose tables has our trigger any more: they would keep the role from being dropped. */
export async function forgetEmptiers(client: pg.ClientBase): Promise<void> {
  const {rows} = await client.query<{name: string}>(
    `SELECT p.oid::regprocedure AS name FROM pg_proc p
     WHERE p.pronamespace = 'mz_sluice'::regnamespace AND p.proname ~ '^empty_(directly|safely)_as_[0-9]+$' AND NOT EXISTS (
       SELECT FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid WHERE t.tgname = '${TRUNCATE_TRIGGER}' AND c.relowner = p.proowner)`,
  );
  for (const {name} of rows) await client.query(`DROP FUNCTION ${name}`);
}

/** Of relations that no publication of ours has any more. */
export async function forgetLeaves(client: pg.ClientBase): Promise<void> {
  await client.query(
    'DELETE FROM mz_sluice.published_leaf WHERE root NOT IN (SELECT root FROM mz_sluice.published_table)',
  );
}
