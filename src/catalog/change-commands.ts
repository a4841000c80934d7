/** Calls of the functions that change an object of ours, or what roles may do with it. As in commands.ts, they check every privilege. */
import {
  type Command,
  type ConnectionOptions,
  type ItemKind,
  type ObjectName,
  PATH,
  type SqlPart,
  textArray,
} from './commands.ts';
import type {ObjectId} from './definitions.ts';

/** What has a name, an owner and a comment. A cluster's name has one part. */
export type ChangeableKind = ItemKind | 'cluster';

export type GrantableKind = 'connection' | 'secret' | 'cluster';

/** By its name, or who the session is at the moment of the call. */
export type RoleReference = {readonly name: string} | {readonly session: 'current_user' | 'session_user'};

/** Column `renamed`: false when IF EXISTS found nothing (the server has sent the NOTICE). 42704, 42809, 42501, 42710. */
export function renameObject(
  kind: ChangeableKind,
  name: ObjectName,
  change: {readonly ifExists: boolean; readonly to: string},
): Command {
  return {
    text: `SELECT mz_internal.rename_object($1, $2::text[], ${PATH}, $3, $4) AS renamed`,
    values: [kind, textArray(name), String(change.ifExists), change.to],
  };
}

/** Column `changed`, as `renameObject`. 42704 (object or role), 42501 (not the owner, or not able to be the new one). */
export function setOwner(
  kind: ChangeableKind,
  name: ObjectName,
  change: {readonly ifExists: boolean; readonly owner: RoleReference},
): Command {
  const {sql, values} = roles([change.owner], 4);
  return {
    text: `SELECT mz_internal.set_owner($1, $2::text[], ${PATH}, $3, (${sql})[1]) AS changed`,
    values: [kind, textArray(name), String(change.ifExists), ...values],
  };
}

/** Null takes the comment away. 42704, 42809, 42501. */
export function commentOn(kind: ChangeableKind, name: ObjectName, comment: string | null): Command {
  return {
    text: `SELECT mz_internal.comment_on($1, $2::text[], ${PATH}, $3)`,
    values: [kind, textArray(name), comment],
  };
}

/** Checks USAGE on everything in the options, and that what sinks find their progress by stays. 42704, 42501, 0A000. */
export function alterConnection(id: ObjectId, options: ConnectionOptions, createSql: readonly SqlPart[]): Command {
  return {
    text: 'SELECT mz_internal.alter_connection($1, $2::jsonb, $3::jsonb)',
    values: [id, JSON.stringify(options), JSON.stringify(createSql)],
  };
}

/**
 * Column `altered`: false when the sink reads that relation already, as it is now. Checks everything that `describeRelation` checks, again.
 * 42704, 42501 (not the owner), 42703 (a column of the key is missing).
 */
export function alterSink(id: ObjectId, relation: number): Command {
  return {text: 'SELECT mz_internal.alter_sink($1, $2::oid) AS altered', values: [id, String(relation)]};
}

interface Grant {
  /** In upper case; empty: all. */
  readonly privileges: readonly string[];
  readonly grantees: readonly RoleReference[];
  readonly revoke: boolean;
}

/** 0LP01 (no such privilege), 42704 (object or role), 42809, 42501 (not the owner). */
export function grantOn(kind: GrantableKind, name: ObjectName, grant: Grant): Command {
  const {sql, values} = roles(grant.grantees, 5);
  return {
    text: `SELECT mz_internal.grant_on($1, $2::text[], ${PATH}, $3::text[], ${sql}, $4)`,
    values: [kind, textArray(name), textArray(grant.privileges), String(grant.revoke), ...values],
  };
}

/** The same on every object of the kind; no schemas: in all of them. 0LP01, 3F000, 42704 (role), 42501 (not the owner of one of them). */
export function grantOnAll(kind: GrantableKind, schemas: readonly string[], grant: Grant): Command {
  const {sql, values} = roles(grant.grantees, 5);
  return {
    text: `SELECT mz_internal.grant_on_all($1, $2::text[], $3::text[], ${sql}, $4)`,
    values: [kind, textArray(schemas), textArray(grant.privileges), String(grant.revoke), ...values],
  };
}

/** CREATECLUSTER and CREATENETWORKPOLICY only. 0LP01, 42704, 42501 (not the owner of the database). */
export function grantOnSystem(grant: Grant): Command {
  const {sql, values} = roles(grant.grantees, 3);
  return {
    text: `SELECT mz_internal.grant_on_system($1::text[], ${sql}, $2)`,
    values: [textArray(grant.privileges), String(grant.revoke), ...values],
  };
}

/** 0LP01, 42704, 3F000, 42501. */
export function alterDefaultPrivileges(
  kind: GrantableKind,
  of: {readonly roles: readonly RoleReference[] | 'all'; readonly schemas: readonly string[]},
  grant: Grant,
): Command {
  const grantees = roles(grant.grantees, 5);
  const whose = of.roles === 'all' ? undefined : roles(of.roles, 5 + grantees.values.length);
  return {
    text: `SELECT mz_internal.alter_default_privileges($1, ${whose?.sql ?? 'NULL'}, $2::text[], $3::text[], ${grantees.sql}, $4)`,
    values: [
      kind,
      textArray(of.schemas),
      textArray(grant.privileges),
      String(grant.revoke),
      ...grantees.values,
      ...(whose?.values ?? []),
    ],
  };
}

/** 42704, 42710, 42501, 55000 (the cluster is managed). */
export function createReplica(cluster: string, replica: string, size: string): Command {
  return {text: 'SELECT mz_internal.create_replica($1, $2, $3)', values: [cluster, replica, size]};
}

/** Column `dropped`: false when IF EXISTS found nothing. 42704, 42501, 55000. */
export function dropReplica(cluster: string, replica: string, ifExists: boolean): Command {
  return {
    text: 'SELECT mz_internal.drop_replica($1, $2, $3) AS dropped',
    values: [cluster, replica, String(ifExists)],
  };
}

/** 42704, 42710, 42501, 55000. */
export function renameReplica(cluster: string, replica: string, to: string): Command {
  return {text: 'SELECT mz_internal.rename_replica($1, $2, $3)', values: [cluster, replica, to]};
}

/** 42704, 42501 (not the owner of both). */
export function swapClusters(name: string, other: string): Command {
  return {text: 'SELECT mz_internal.swap_clusters($1, $2)', values: [name, other]};
}

/** A `text[]` of roles. The session's own are asked for where the call runs, because only there it is known who that is. */
function roles(references: readonly RoleReference[], firstParameter: number): {sql: string; values: string[]} {
  const values: string[] = [];
  const elements = references.map(role => {
    if ('session' in role) return role.session;
    values.push(role.name);
    return `$${firstParameter + values.length - 1}`;
  });
  return {sql: `ARRAY[${elements.join(', ')}]::text[]`, values};
}
