import type pg from 'pg';
import type {EngineAddress} from './address.ts';
import {connect} from './connect.ts';
import {errorCode} from './connection-errors.ts';
import {OLDEST_VERSION} from './attached-versions.ts';

/** What the checks of an attached PostgreSQL look at. Sizes and times are in the units that `pg_settings` has for them. */
export interface ServerFacts {
  /** `server_version_num`: 150018 is 15.18. */
  readonly version: number;
  readonly standby: boolean;
  /** `pg_settings.setting` of `SETTINGS`; a setting that this version does not have is absent. */
  readonly settings: Readonly<Record<string, string>>;
  readonly encoding: string;
  readonly role: RoleFacts;
  readonly database: DatabaseFacts;
  /** Of the whole server; `ours` counts those of Sluice in this database. */
  readonly slots: {readonly used: number; readonly ours: number; readonly lost: readonly string[]};
  readonly senders: {readonly used: number; readonly ours: number};
  /** Client connections of the whole server. */
  readonly connections: number;
  /** What pg_backend_pid() says and what the log-in said; something in between gives another number. */
  readonly backend: {readonly own: number; readonly announced: number | undefined};
  readonly encrypted: boolean;
  readonly remote: boolean;
  /** Why a walsender could not be had; undefined = it could. */
  readonly walsender: {readonly code: string | undefined; readonly message: string} | undefined;
  /** Slots that a walsender waits for and that are not in use (`synchronized_standby_slots`). */
  readonly idleStandbySlots: readonly string[];
  readonly schemas: readonly {readonly name: string; readonly owner: string; readonly usable: boolean}[];
  /** Those of Sluice that fire. */
  readonly eventTriggers: readonly string[];
  /** Tables of users: whose owner's rights the role does not have. */
  readonly tables: {readonly all: number; readonly foreign: number; readonly owners: readonly string[]};
}

export interface RoleFacts {
  readonly name: string;
  readonly superuser: boolean;
  readonly replication: boolean;
  readonly connectionLimit: number;
  readonly connections: number;
  /** SET on session_replication_role. */
  readonly quietTriggers: boolean;
}

export interface DatabaseFacts {
  readonly name: string;
  readonly mayCreate: boolean;
  readonly connectionLimit: number;
  readonly connections: number;
}

const SETTINGS = [
  'wal_level',
  'max_replication_slots',
  'max_wal_senders',
  'max_connections',
  'superuser_reserved_connections',
  'reserved_connections',
  'wal_sender_timeout',
  'max_slot_wal_keep_size',
  'idle_replication_slot_timeout',
  'synchronized_standby_slots',
];

/** Schemas of Sluice. */
export const SCHEMAS = ['mz_sluice', 'mz_catalog', 'mz_internal'] as const;

const OWN_SLOTS = `starts_with(slot_name, format('sluice_%s_', (SELECT oid FROM pg_database WHERE datname = current_database())))`;

const FACTS = `
SELECT pg_is_in_recovery() AS standby, current_setting('server_encoding') AS encoding,
  (SELECT json_object_agg(name, setting) FROM pg_settings WHERE name = ANY ($1)) AS settings,
  (SELECT json_build_object('name', r.rolname, 'superuser', r.rolsuper, 'connectionLimit', r.rolconnlimit,
     'replication', r.rolreplication OR r.rolsuper OR EXISTS (
       SELECT FROM pg_roles m WHERE m.rolname IN ('rds_replication', 'rds_superuser') AND pg_has_role(m.oid, 'USAGE')),
     'connections', (SELECT count(*) FROM pg_stat_activity a WHERE a.usesysid = r.oid),
     'quietTriggers', has_parameter_privilege('session_replication_role', 'SET'))
   FROM pg_roles r WHERE r.rolname = current_user) AS role,
  (SELECT json_build_object('name', d.datname, 'mayCreate', has_database_privilege(d.oid, 'CREATE'),
     'connectionLimit', d.datconnlimit, 'connections', pg_stat_get_db_numbackends(d.oid))
   FROM pg_database d WHERE d.datname = current_database()) AS database,
  (SELECT json_build_object('used', count(*), 'ours', count(*) FILTER (WHERE ${OWN_SLOTS}),
     'lost', coalesce(json_agg(slot_name) FILTER (WHERE ${OWN_SLOTS} AND wal_status = 'lost'), '[]')) FROM pg_replication_slots) AS slots,
  (SELECT json_build_object('used', (SELECT count(*) FROM pg_stat_replication),
     'ours', count(active_pid) FILTER (WHERE ${OWN_SLOTS})) FROM pg_replication_slots) AS senders,
  (SELECT sum(numbackends)::integer FROM pg_stat_database) AS connections,
  json_build_object('own', pg_backend_pid()) AS backend,
  coalesce((SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()), false) AS encrypted,
  coalesce(NOT (inet_client_addr() <<= '127.0.0.0/8' OR inet_client_addr() = '::1' OR inet_client_addr() = inet_server_addr()), false) AS remote,
  ARRAY(SELECT trim(BOTH ' "' FROM name) FROM string_to_table(coalesce(current_setting('synchronized_standby_slots', true), ''), ',') AS name
    WHERE trim(name) <> '' AND NOT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = trim(BOTH ' "' FROM name) AND active)) AS "idleStandbySlots",
  (SELECT coalesce(json_agg(json_build_object('name', nspname, 'owner', nspowner::regrole::text, 'usable', pg_has_role(nspowner, 'USAGE'))), '[]')
   FROM pg_namespace WHERE nspname = ANY ($2)) AS schemas,
  ARRAY(SELECT e.evtname::text FROM pg_event_trigger e JOIN pg_proc p ON p.oid = e.evtfoid JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname = 'mz_sluice' AND e.evtenabled = 'A') AS "eventTriggers",
  (SELECT json_build_object('all', count(*), 'foreign', count(*) FILTER (WHERE NOT pg_has_role(c.relowner, 'USAGE')),
     'owners', coalesce(json_agg(DISTINCT c.relowner::regrole::text) FILTER (WHERE NOT pg_has_role(c.relowner, 'USAGE')), '[]'))
   FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE c.relkind IN ('r', 'p') AND c.relpersistence = 'p' AND n.nspname <> 'information_schema' AND NOT starts_with(n.nspname, 'pg_')
     AND n.nspname <> ALL ($2)) AS tables`;

/** Of a server that is too old, only the version is known. */
export interface OldServer {
  readonly version: number;
}

/** Errors as `connect`. */
export async function readServerFacts(address: EngineAddress): Promise<ServerFacts | OldServer> {
  const client = await connect(address, {applicationName: 'sluice check'});
  try {
    const {rows: versions} = await client.query<OldServer>(
      `SELECT current_setting('server_version_num')::int AS version`,
    );
    if (versions[0].version < OLDEST_VERSION * 10_000) return versions[0];
    const {rows} = await client.query<Omit<ServerFacts, 'version' | 'walsender'>>(FACTS, [SETTINGS, SCHEMAS]);
    const [facts] = rows;
    const {processID} = client as pg.Client & {readonly processID?: number | null};
    return {
      ...facts,
      version: versions[0].version,
      backend: {own: facts.backend.own, announced: processID ?? undefined},
      // Otherwise another check says what is missing.
      walsender: mayOpenWalsender(facts) ? await tryWalsender(address) : undefined,
    };
  } finally {
    await client.end();
  }
}

function mayOpenWalsender({role, senders, settings}: Pick<ServerFacts, 'role' | 'senders' | 'settings'>): boolean {
  return role.replication && senders.used < Number(settings['max_wal_senders']);
}

async function tryWalsender(address: EngineAddress): Promise<ServerFacts['walsender']> {
  try {
    const client = await connect(address, {applicationName: 'sluice check', replication: 'database'});
    await client.query('IDENTIFY_SYSTEM').finally(() => client.end());
    return undefined;
  } catch (error) {
    return {code: errorCode(error), message: error instanceof Error ? error.message : String(error)};
  }
}
