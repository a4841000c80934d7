import pg from 'pg';
import type {Config} from '../base/options.ts';
import {SqlError} from '../base/sql-error.ts';
import {cameFromDump, MIGRATION_LOCK} from '../catalog/migrate.ts';
import {changedTables, restoreTable} from '../changes/hand-over.ts';
import {dropSlot} from '../changes/slot.ts';
import {sleepUntil} from '../changes/wait.ts';
import {leaseLock, workerApplicationNames} from '../cluster/lease.ts';
import {partitionTree} from '../engine/partition-tree.ts';
import {parseEngineUrl} from '../engine/attached.ts';
import {SCHEMAS} from '../engine/attached-facts.ts';
import {connect} from '../engine/connect.ts';
import type {UNINSTALL_OPTIONS} from './command-options.ts';

export interface Uninstall {
  readonly config: Config<typeof UNINSTALL_OPTIONS>;
  readonly out: {write(text: string): unknown};
}

/** Something to undo. Each is a transaction of its own and may be repeated, so that whoever is cut off begins again. */
export interface Step {
  /** What it does, for the user. */
  readonly text: string;
  readonly run: (client: pg.Client) => Promise<void>;
}

/**
 * Takes everything of Sluice out of a database of the user and gives its tables back the replica identities that they had. Topics and
 * the data directory stay. False: there is something to do, and `yes` was not given. Throws `SqlError` 55006 while a Sluice runs there,
 * 2BP01 when objects of the user depend on ours.
 */
export async function uninstall({config, out}: Uninstall): Promise<boolean> {
  if (config.postgres === undefined) {
    throw new SqlError('22023', '--postgres is missing', {
      hint: 'Give the URL of the PostgreSQL to take Sluice out of.',
    });
  }
  const client = await connect(parseEngineUrl(config.postgres, process.env), {applicationName: 'sluice uninstall'});
  try {
    // A start that comes now waits until we are through, and finds a database without Sluice.
    await client.query('SELECT pg_advisory_lock($1)', [MIGRATION_LOCK]);
    await endSessions(client, config.force);
    await refuseDependents(client);
    const steps = await planUninstall(client);
    if (steps.length === 0) {
      out.write('There is nothing of Sluice in this database.\n');
      return true;
    }
    for (const {text, run} of steps) {
      out.write(`${text}\n`);
      if (config.yes) await run(client);
    }
    out.write(config.yes ? 'Sluice is uninstalled.\n' : '\nNothing has been done yet: add --yes to do it.\n');
    return config.yes;
  } finally {
    await client.end();
  }
}

/** Slots first, because they hold back log; our schemas last, because they say what to restore. */
export async function planUninstall(client: pg.Client): Promise<Step[]> {
  return [
    ...(await slotSteps(client)),
    ...(await publicationSteps(client)),
    ...(await tableSteps(client)),
    ...(await eventTriggerSteps(client)),
    ...(await schemaSteps(client)),
  ];
}

async function slotSteps(client: pg.Client): Promise<Step[]> {
  const {rows} = await client.query<{name: string}>(
    `SELECT slot_name AS name FROM pg_replication_slots WHERE database = current_database()
       AND slot_name ~ format('^sluice_%s_u[0-9]+$', (SELECT oid FROM pg_database WHERE datname = current_database()))`,
  );
  return rows.map(({name}) => ({
    text: `drop replication slot ${pg.escapeIdentifier(name)}`,
    run: connection => dropSlot(connection, name),
  }));
}

async function publicationSteps(client: pg.Client): Promise<Step[]> {
  const {rows} = await client.query<{name: string}>(
    `SELECT pubname AS name FROM pg_publication WHERE pubname ~ '^sluice_[0-9]+_u[0-9]+$' ORDER BY pubname`,
  );
  return rows.map(({name}) => statement(`publication ${pg.escapeIdentifier(name)}`, 'PUBLICATION IF EXISTS', name));
}

async function tableSteps(client: pg.Client): Promise<Step[]> {
  if (!(await exists(client, 'mz_sluice.identity_before')) || (await cameFromDump(client))) return [];
  // Those that a publication still holds come free when it is dropped.
  const published = await client.query<{relation: string; name: string}>(
    `SELECT DISTINCT t.relid::text AS relation, format('%I.%I', n.nspname, c.relname) AS name
     FROM pg_publication p JOIN pg_publication_rel r ON r.prpubid = p.oid
     CROSS JOIN LATERAL ${partitionTree('r.prrelid')} t
     JOIN pg_class c ON c.oid = t.relid JOIN pg_namespace n ON n.oid = c.relnamespace
     WHERE p.pubname ~ '^sluice_[0-9]+_u[0-9]+$' AND n.nspname <> 'mz_sluice'`,
  );
  const tables = new Map(published.rows.map(({relation, name}) => [Number(relation), name]));
  for (const {relation, name} of await changedTables(client)) if (name !== undefined) tables.set(relation, name);
  return [...tables].map(([relation, name]) => ({
    text: `restore the replica identity of ${name}`,
    run: connection => restoreTable(connection, {relation, waiting: () => undefined}),
  }));
}

/** Those of a superuser go with their functions. */
async function eventTriggerSteps(client: pg.Client): Promise<Step[]> {
  const {rows} = await client.query<{name: string}>(
    `SELECT e.evtname AS name FROM pg_event_trigger e JOIN pg_proc p ON p.oid = e.evtfoid JOIN pg_namespace n ON n.oid = p.pronamespace
     WHERE n.nspname = 'mz_sluice' AND pg_has_role(e.evtowner, 'USAGE') ORDER BY e.evtname`,
  );
  return rows.map(({name}) => statement(`event trigger ${name}`, 'EVENT TRIGGER IF EXISTS', name));
}

async function schemaSteps(client: pg.Client): Promise<Step[]> {
  // Without mz_sluice the others are somebody else's.
  const {rows} = await client.query<{name: string}>(
    `SELECT nspname AS name FROM pg_namespace WHERE nspname = ANY ($1) AND to_regnamespace('mz_sluice') IS NOT NULL ORDER BY nspname`,
    [SCHEMAS],
  );
  if (rows.length === 0) return [];
  const names = rows.map(({name}) => name).join(', ');
  return [
    {
      text: `drop schema ${names} with everything in it`,
      run: async connection => {
        await connection.query(`SET client_min_messages = warning; DROP SCHEMA ${names} CASCADE`);
      },
    },
  ];
}

function statement(what: string, kind: string, name: string): Step {
  return {
    text: `drop ${what}`,
    run: async client => {
      await client.query(`DROP ${kind} ${pg.escapeIdentifier(name)}`);
    },
  };
}

async function exists(client: pg.Client, relation: string): Promise<boolean> {
  const {rows} = await client.query<{there: boolean}>('SELECT to_regclass($1) IS NOT NULL AS there', [relation]);
  return rows[0].there;
}

/** DROP … CASCADE would take them along. */
async function refuseDependents(client: pg.Client): Promise<void> {
  const {rows} = await client.query<{object: string}>(
    `WITH ours AS (
       SELECT 'pg_class'::regclass AS classid, oid AS objid FROM pg_class WHERE relnamespace IN (SELECT oid FROM pg_namespace WHERE nspname = ANY ($1))
       UNION ALL SELECT 'pg_type'::regclass, oid FROM pg_type WHERE typnamespace IN (SELECT oid FROM pg_namespace WHERE nspname = ANY ($1))
       UNION ALL SELECT 'pg_proc'::regclass, oid FROM pg_proc WHERE pronamespace IN (SELECT oid FROM pg_namespace WHERE nspname = ANY ($1))
       UNION ALL SELECT 'pg_constraint'::regclass, oid FROM pg_constraint WHERE connamespace IN (SELECT oid FROM pg_namespace WHERE nspname = ANY ($1)))
     SELECT DISTINCT pg_describe_object(d.classid, d.objid, d.objsubid) AS object
     FROM pg_depend d JOIN ours o ON d.refclassid = o.classid AND d.refobjid = o.objid
     CROSS JOIN LATERAL pg_identify_object_as_address(d.classid, d.objid, d.objsubid) AS i
     WHERE to_regnamespace('mz_sluice') IS NOT NULL AND d.deptype IN ('n', 'a') AND d.classid <> 'pg_event_trigger'::regclass
       AND NOT i.object_names[1] = ANY ($1)
       AND NOT EXISTS (SELECT FROM ours x WHERE x.classid = d.classid AND x.objid = d.objid)
       AND NOT EXISTS (SELECT FROM pg_trigger t WHERE d.classid = 'pg_trigger'::regclass AND t.oid = d.objid
         AND t.tgfoid = to_regproc('mz_sluice.before_truncate'))
     ORDER BY object`,
    [SCHEMAS],
  );
  if (rows.length === 0) return;
  throw new SqlError('2BP01', 'objects of your own depend on the catalog of Sluice', {
    detail: rows.map(({object}) => object).join('\n'),
    hint: 'Drop them first, then uninstall again.',
  });
}

interface RunningSession {
  readonly pid: number;
  readonly name: string;
  readonly host: string | null;
}

/** Throws 55006 when a Sluice runs on this database; with `force` its connections are cut. */
async function endSessions(client: pg.Client, force: boolean): Promise<void> {
  // A name may be anybody's; a session of a role that is not ours runs no Sluice.
  const {rows} = await client.query<RunningSession>(
    `SELECT pid, application_name AS name, client_addr::text AS host FROM pg_stat_activity
     WHERE datname = current_database() AND pid <> pg_backend_pid() AND pg_has_role(usesysid, 'USAGE')
       AND application_name ~ '^sluice (supervisor|gateway|console|start|migration|worker .*)$'`,
  );
  if (rows.length === 0) return;
  if (!force) {
    throw new SqlError('55006', 'a Sluice is running on this database', {
      detail: rows
        .map(({pid, name, host}) => `${name} (pid ${pid}${host === null ? '' : `, from ${host}`})`)
        .join('\n'),
      hint: 'Stop it first: every sluice start and sluice cluster. With --force its connections are cut instead.',
    });
  }
  await endWorkers(
    client,
    rows.map(({pid}) => pid),
  );
}

/** A supervisor starts its workers again: from here on they wait for us. */
async function endWorkers(client: pg.Client, pids: readonly number[]): Promise<void> {
  await client.query('SELECT pg_terminate_backend(pid, 10000) FROM unnest($1::int[]) AS pid', [pids]);
  if (!(await exists(client, 'mz_sluice.cluster'))) return;
  const {rows} = await client.query<{id: string}>('SELECT id FROM mz_sluice.cluster');
  for (const {id} of rows) {
    const got = await sleepUntil(30_000, async () => {
      const {rows: locks} = await client.query<{got: boolean}>(
        `SELECT pg_try_advisory_lock($1, $2) AS got`,
        leaseLock(id),
      );
      if (locks[0].got) return true;
      await client.query(
        `SELECT pg_terminate_backend(pid) FROM pg_stat_activity
         WHERE datname = current_database() AND application_name LIKE $1 AND pg_has_role(usesysid, 'USAGE')`,
        [workerApplicationNames(id)],
      );
      return false;
    });
    if (!got) throw new SqlError('55006', `the worker of cluster ${id} cannot be ended`);
  }
}
