/** How a session variable of ours is kept and checked. PostgreSQL's own variables are not here. */
export interface SessionVariable {
  readonly type: 'text' | 'boolean' | 'integer';
  readonly default: string;
  readonly text: string;
  /** The only value that it takes. */
  readonly fixed?: boolean | undefined;
}

/**
 * Session variables that PostgreSQL does not know. They live in the backend as `sluice.<name>`, so that SET LOCAL, ROLLBACK, RESET
 * and DISCARD treat them like any other.
 */
export const SESSION_VARIABLES = {
  cluster: {type: 'text', default: 'quickstart', text: 'Cluster of sinks that are created without IN CLUSTER.'},
  cluster_replica: {type: 'text', default: '', text: 'Accepted; every cluster has at most one process.'},
  welcome_message: {type: 'boolean', default: 'on', text: 'Whether a session begins with a notice about the server.'},
  current_object_missing_warnings: {
    type: 'boolean',
    default: 'on',
    text: 'Whether to warn when the active cluster or database does not exist.',
  },
  emit_timestamp_notice: {type: 'boolean', default: 'off', text: 'Accepted; has no effect.'},
  emit_trace_id_notice: {type: 'boolean', default: 'off', text: 'Accepted; has no effect.'},
  emit_introspection_query_notice: {type: 'boolean', default: 'on', text: 'Accepted; has no effect.'},
  auto_route_catalog_queries: {type: 'boolean', default: 'on', text: 'Accepted; PostgreSQL answers every query.'},
  auto_route_introspection_queries: {
    type: 'boolean',
    default: 'on',
    text: 'Older name of auto_route_catalog_queries.',
  },
  max_query_result_size: {type: 'integer', default: '1073741824', text: 'Accepted; results are streamed.'},
  sql_safe_updates: {type: 'boolean', default: 'off', text: 'Accepted; has no effect.'},
  real_time_recency: {type: 'boolean', default: 'off', text: 'Accepted; has no effect.'},
  enable_session_rbac_checks: {type: 'boolean', default: 'on', text: 'Privileges are always checked.', fixed: true},
} as const satisfies Record<string, SessionVariable>;

export type SessionVariableName = keyof typeof SESSION_VARIABLES;

export function isSessionVariable(name: string): name is SessionVariableName {
  return Object.hasOwn(SESSION_VARIABLES, name);
}

/** Variables that are read through SHOW only, and those of PostgreSQL's whose SET or SHOW needs our hand. */
const SHOWN = new Set(['database', 'schema', 'mz_version', 'search_path']);
const SETTABLE = new Set(['database', 'schema', 'search_path', 'transaction_isolation']);

/** `SHOW name` is ours. */
export const isShownByUs = (name: string): boolean => SHOWN.has(name) || isSessionVariable(name);
/** `SET name` and `RESET name` are ours. */
export const isSetByUs = (name: string): boolean => SETTABLE.has(name) || isSessionVariable(name);
