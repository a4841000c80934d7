import type pg from 'pg';
import {SqlError} from '../base/sql-error.ts';
import {catalogViews} from './migrations/catalog-views.ts';
import {changes} from './migrations/changes.ts';
import {clusters} from './migrations/clusters.ts';
import {grants} from './migrations/grants.ts';
import {hasPrivilege} from './migrations/has-privilege.ts';
import {internalViews} from './migrations/internal-views.ts';
import {items} from './migrations/items.ts';
import type {Migration} from './migrations/migration.ts';
import {moreCatalogViews} from './migrations/more-catalog-views.ts';
import {moreInternalViews} from './migrations/more-internal-views.ts';
import {objects} from './migrations/objects.ts';
import {privileges} from './migrations/privileges.ts';
import {relations} from './migrations/relations.ts';
import {replicas} from './migrations/replicas.ts';
import {state} from './migrations/state.ts';
import {upgrades} from './migrations/upgrades.ts';

/** In order; only ever appended to. */
export const MIGRATIONS: readonly Migration[] = [
  state,
  privileges,
  relations,
  objects,
  items,
  clusters,
  catalogViews,
  internalViews,
  changes,
  grants,
  replicas,
  moreCatalogViews,
  moreInternalViews,
  hasPrivilege,
  upgrades,
];

/** Advisory lock that lets one start at a time migrate, and no other uninstall meanwhile: "sluicemi" in ASCII. */
export const MIGRATION_LOCK = '8317426476498644329';

/**
 * Brings the state in this database to what this Sluice expects; does nothing if it is there already. `client` is a connection of
 * Sluice's own role, which will own everything. Throws `SqlError` 55000 when a newer Sluice has been here, or the state came with a dump.
 */
export async function migrate(client: pg.Client): Promise<void> {
  await client.query('SELECT pg_advisory_lock($1)', [MIGRATION_LOCK]);
  try {
    const applied = await appliedVersion(client);
    refuseNewer(applied);
    for (const migration of MIGRATIONS) if (migration.version > applied) await apply(client, migration);
    await refuseDump(client);
    await client.query('SELECT mz_sluice.follow_upgrade()');
  } finally {
    await client.query('SELECT pg_advisory_unlock($1)', [MIGRATION_LOCK]);
  }
}

/** For processes that do not set anything up. Throws `SqlError` 55000 unless the state in this database is what this Sluice expects. */
export async function requireState(client: pg.Client): Promise<void> {
  const applied = await appliedVersion(client);
  refuseNewer(applied);
  const latest = MIGRATIONS.at(-1)!.version;
  if (applied === latest) return;
  throw new SqlError(
    '55000',
    applied === 0
      ? 'Sluice is not set up in this database'
      : `state of Sluice has version ${applied}, this Sluice needs version ${latest}`,
    {hint: 'Run sluice start of this version on it first.'},
  );
}

function refuseNewer(applied: number): void {
  const latest = MIGRATIONS.at(-1)!.version;
  if (applied <= latest) return;
  throw new SqlError('55000', `state of Sluice has version ${applied}, this Sluice knows versions up to ${latest}`, {
    detail: 'A newer Sluice has used this database or data directory.',
    hint: 'Start that version of Sluice, or a later one.',
  });
}

/** Whether the OIDs in the state are those of another database: then whatever is looked up by them is a stranger's. */
export async function cameFromDump(client: pg.Client): Promise<boolean> {
  const {rows} = await client.query<{dump: boolean}>('SELECT mz_sluice.came_from_dump() AS dump');
  return rows[0].dump;
}

async function refuseDump(client: pg.Client): Promise<void> {
  if (!(await cameFromDump(client))) return;
  throw new SqlError('55000', 'the state of Sluice in this database came with a dump', {
    detail: 'It refers to tables, roles and types by OID, which a dump does not keep.',
    hint: 'Run sluice uninstall on it, start Sluice, and create everything again. How to make a dump without Sluice is in docs/upgrade.md.',
  });
}

/** 0 = an empty database. */
async function appliedVersion(client: pg.Client): Promise<number> {
  const known = await client.query<{known: boolean}>("SELECT to_regclass('mz_sluice.migration') IS NOT NULL AS known");
  if (!known.rows[0].known) return 0;
  const {rows} = await client.query<{version: number}>(
    'SELECT coalesce(max(version), 0) AS version FROM mz_sluice.migration',
  );
  return rows[0].version;
}

async function apply(client: pg.Client, migration: Migration): Promise<void> {
  await client.query('BEGIN');
  try {
    await client.query('SET LOCAL search_path = pg_catalog');
    await client.query(migration.sql);
    await client.query(`INSERT INTO mz_sluice.migration (version, name) VALUES ($1, $2)`, [
      migration.version,
      migration.name,
    ]);
    await client.query('COMMIT');
  } catch (error) {
    await client.query('ROLLBACK');
    throw error;
  }
}
