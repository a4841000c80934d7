import {SqlError} from '../base/sql-error.ts';
import type {ListedKind, Name, ShowList} from '../sql/ast.ts';
import {quoteName, quoteText} from '../sql/quote.ts';
import {dotted, notYet, orRefuse, singleName} from './ask.ts';
import {relationOid} from './relation-oid.ts';
import {defaultPrivileges, privileges, roleOid} from './show-privileges.ts';
import type {Plan} from './statement.ts';

/** SHOW lists are queries over the catalog, sorted by their columns, left to right. */
export function planShowList(statement: ShowList): Plan {
  return orRefuse('SHOW', () => {
    const {columns, from, order} = LISTS[statement.list](statement);
    const select = columns.map(column => quoteName(column)).join(', ');
    const filter = filterOf(statement);
    return {
      kind: 'rewrite',
      sql: `SELECT ${select} FROM (${from}) AS objects${filter} ORDER BY ${order ?? columns.map((_, i) => i + 1).join(', ')}`,
    };
  });
}

interface List {
  readonly columns: readonly string[];
  /** Gives at least the columns. */
  readonly from: string;
  /** Default: by all columns. */
  readonly order?: string | undefined;
}

/** What LIKE looks at where there is no name. */
const LIKE_COLUMNS: Partial<Record<ListedKind, string>> = {
  clusterReplicas: 'replica',
  roleMembership: 'role',
  defaultPrivileges: 'object_owner',
};

function filterOf({filter, list}: ShowList): string {
  if (filter === undefined) return '';
  if (filter.kind === 'where') return ` WHERE (${filter.sql})`;
  return ` WHERE ${LIKE_COLUMNS[list] ?? 'name'} LIKE ${quoteText(filter.pattern)}`;
}

const LISTS: Record<ListedKind, (statement: ShowList) => List> = {
  databases: () => ({
    columns: ['name', 'comment'],
    from: `SELECT o.name, ${comment('database')} AS comment FROM mz_catalog.mz_databases o`,
  }),
  schemas: ({from}) => ({
    columns: ['name', 'comment'],
    from:
      `SELECT o.name, ${comment('schema')} AS comment FROM mz_catalog.mz_schemas o WHERE true` +
      (from ? inDatabase(singleName(from, 'database')) : ''),
  }),
  roles: () => ({
    columns: ['name', 'comment'],
    from: `SELECT o.name, ${comment('role')} AS comment FROM mz_catalog.mz_roles o WHERE o.name !~ '^pg_'`,
  }),
  clusters: () => ({
    columns: ['name', 'replicas', 'comment'],
    from:
      `SELECT o.name, (SELECT string_agg(r.name || ' (' || r.size || ')', ', ' ORDER BY r.name) ` +
      `FROM mz_catalog.mz_cluster_replicas r WHERE r.cluster_id = o.id) AS replicas, ${comment('cluster')} AS comment FROM mz_catalog.mz_clusters o`,
  }),
  clusterReplicas: () => ({
    columns: ['cluster', 'replica', 'size', 'ready', 'comment'],
    from:
      `SELECT c.name AS cluster, o.name AS replica, o.size, ` +
      `EXISTS (SELECT 1 FROM mz_internal.mz_cluster_replica_statuses t WHERE t.replica_id = o.id AND t.status = 'online') AS ready, ''::text AS comment ` +
      'FROM mz_catalog.mz_cluster_replicas o JOIN mz_catalog.mz_clusters c ON c.id = o.cluster_id',
  }),
  objects: statement => inSchema(statement, 'mz_objects', ['type'], 'o.type', 'o.type', NO_ARRAY_TYPES),
  tables: statement => inSchema(refuseSource(statement), 'mz_tables', [], `'table'`),
  views: statement => inSchema(statement, 'mz_views', [], `'view'`),
  secrets: statement => inSchema(statement, 'mz_secrets', [], `'secret'`),
  connections: statement => inSchema(statement, 'mz_connections', ['type'], `'connection'`, 'o.type'),
  sinks: statement => inSchema(statement, 'mz_sinks', ['type', 'cluster'], `'sink'`, `o.type, ${CLUSTER} AS cluster`),
  materializedViews: statement =>
    inSchema(
      statement,
      `mz_objects`,
      ['cluster'],
      `'materialized-view'`,
      `${CLUSTER} AS cluster`,
      ` AND o.type = 'materialized-view'`,
    ),
  types: ({from}) => ({
    columns: ['name', 'comment'],
    from:
      `SELECT t.typname::text AS name, COALESCE(pg_catalog.obj_description(t.oid, 'pg_type'), '') AS comment ` +
      `FROM pg_catalog.pg_type t WHERE t.typnamespace = ${schemaOid(from)} AND t.typelem = 0 AND ` +
      `(t.typrelid = 0 OR EXISTS (SELECT 1 FROM pg_catalog.pg_class c WHERE c.oid = t.typrelid AND c.relkind = 'c'))${inDatabaseOf(from)}`,
  }),
  indexes: showIndexes,
  columns: ({from}) => ({
    columns: ['name', 'nullable', 'type', 'comment'],
    from:
      `SELECT a.attname::text AS name, NOT a.attnotnull AS nullable, pg_catalog.format_type(a.atttypid, a.atttypmod) AS type, ` +
      `COALESCE(pg_catalog.col_description(a.attrelid, a.attnum), '') AS comment, a.attnum FROM pg_catalog.pg_attribute a ` +
      `WHERE a.attrelid = ${havingOid(from!, 'columns')} AND a.attnum > 0 AND NOT a.attisdropped`,
    order: 'attnum',
  }),
  roleMembership: ({role}) => ({
    columns: ['role', 'member', 'grantor'],
    from:
      `SELECT r.rolname::text AS role, m.rolname::text AS member, g.rolname::text AS grantor FROM pg_catalog.pg_auth_members o ` +
      `JOIN pg_catalog.pg_roles r ON r.oid = o.roleid JOIN pg_catalog.pg_roles m ON m.oid = o.member ` +
      `LEFT JOIN pg_catalog.pg_roles g ON g.oid = o.grantor` +
      (role === undefined ? '' : ` WHERE o.member = ${roleOid(role)}`),
  }),
  sources: statement => nothing(['name', 'type', 'cluster', 'comment'], statement),
  subsources: statement => nothing(['name', 'type'], statement),
  networkPolicies: statement => nothing(['name', 'rules', 'comment'], statement),
  privileges,
  defaultPrivileges,
};

/** Every type has one. */
const NO_ARRAY_TYPES =
  " AND NOT (o.type = 'type' AND EXISTS (SELECT 1 FROM pg_catalog.pg_type t WHERE t.oid = o.oid AND t.typcategory = 'A'))";

const CLUSTER = '(SELECT c.name FROM mz_catalog.mz_clusters c WHERE c.id = o.cluster_id)';

const comment = (type: string): string =>
  `COALESCE((SELECT c.comment FROM mz_internal.mz_comments c WHERE c.id = o.id AND c.object_sub_id IS NULL AND c.object_type = ${type === 'o.type' || type.startsWith("'") ? type : quoteText(type)}), '')`;

/** A list of objects with name and comment, and `more` columns between them. */
function inSchema(
  {from, cluster}: ShowList,
  view: string,
  more: readonly string[],
  commentType: string,
  moreSql = '',
  condition = '',
): List {
  const inCluster = cluster ? ` AND ${CLUSTER} = ${quoteText(singleName(cluster, 'cluster'))}` : '';
  return {
    columns: ['name', ...more, 'comment'],
    from:
      `SELECT o.name${moreSql && `, ${moreSql}`}, ${comment(commentType)} AS comment FROM mz_catalog.${view} o ` +
      `JOIN mz_catalog.mz_schemas s ON s.id = o.schema_id WHERE s.oid = ${schemaOid(from)}${condition}${inCluster}${requireCluster(cluster)}${inDatabaseOf(from)}`,
  };
}

function showIndexes({from, on, cluster}: ShowList): List {
  const relation = on ? ` AND i.indrelid = ${havingOid(on, 'indexes')}` : ` AND c.relnamespace = ${schemaOid(from)}`;
  return {
    columns: ['name', 'on', 'cluster', 'key', 'comment'],
    from:
      `SELECT c.relname::text AS name, r.relname::text AS "on", ''::text AS cluster, ` +
      `ARRAY(SELECT pg_catalog.pg_get_indexdef(i.indexrelid, n, false) FROM generate_series(1, i.indnkeyatts) AS n) AS key, ` +
      `COALESCE(pg_catalog.obj_description(c.oid, 'pg_class'), '') AS comment FROM pg_catalog.pg_index i ` +
      `JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid JOIN pg_catalog.pg_class r ON r.oid = i.indrelid WHERE true` +
      `${relation}${cluster ? ' AND i.indexrelid = 0' : ''}${requireCluster(cluster)}${inDatabaseOf(from)}`,
  };
}

/** No rows, but a schema that is named has to be there. */
function nothing(columns: readonly string[], statement: ShowList): List {
  const {from, cluster} = refuseSource(statement);
  return {
    columns,
    from:
      `SELECT ${columns.map(column => `n::text AS ${quoteName(column)}`).join(', ')} ` +
      `FROM pg_catalog.generate_series(1, 0) AS n WHERE ${schemaOid(from)} IS DISTINCT FROM 0${requireCluster(cluster)}${inDatabaseOf(from)}`,
  };
}

/** ON names a source, and there is none. */
function refuseSource(statement: ShowList): ShowList {
  if (statement.on !== undefined) throw notYet('sources are', statement.on.at);
  return statement;
}

/** The first schema of the path that exists, or the one that is named: then 3F000 if it does not exist. */
function schemaOid(from: Name | undefined): string {
  if (from === undefined)
    return "pg_catalog.to_regnamespace(pg_catalog.quote_ident(NULLIF(pg_catalog.current_schema(), 'mz_catalog')))::oid";
  if (from.parts.length > 2) {
    throw new SqlError('42601', `improper schema name (too many dotted names): ${dotted(from)}`, {position: from.at});
  }
  return `${quoteText(quoteName(from.parts.at(-1)!))}::pg_catalog.regnamespace::oid`;
}

/** Of a relation that has them. */
const havingOid = (name: Name, wanted: 'columns' | 'indexes'): string =>
  relationOid(name, "c.relkind NOT IN ('i', 'I')", {
    types: ['connection', 'secret', 'sink', 'index'],
    complaint:
      `pg_catalog.format('%s is %s %s and so does not have ${wanted}', ` +
      `o.name, CASE o.type WHEN 'index' THEN 'an' ELSE 'a' END, o.type)`,
  });

const inDatabaseOf = (from: Name | undefined): string => (from?.parts.length === 2 ? inDatabase(from.parts[0]) : '');

/** An error where the name is another database's. */
const inDatabase = (name: string): string => ` AND mz_internal.require_database(${quoteText(name)})`;

/** 42704 where there is no such cluster. */
const requireCluster = (name: Name | undefined): string =>
  name === undefined ? '' : ` AND mz_internal.require_cluster(${quoteText(singleName(name, 'cluster'))})`;
