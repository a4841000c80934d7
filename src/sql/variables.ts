import {SqlError} from '../base/sql-error.ts';

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
  cluster_replica: {
    type: 'text',
    default: '',
    text: 'Accepted, without effect: every cluster has at most one process.',
  },
  welcome_message: {
    type: 'boolean',
    default: 'on',
    text: 'Whether a session begins with a notice that says where it is. Read at the log-in.',
  },
  current_object_missing_warnings: {
    type: 'boolean',
    default: 'on',
    text: 'Whether a notice says that the cluster of the session, or every schema of its search path, does not exist.',
  },
  emit_timestamp_notice: {type: 'boolean', default: 'off', text: 'Accepted, without effect.'},
  emit_trace_id_notice: {type: 'boolean', default: 'off', text: 'Accepted, without effect.'},
  emit_introspection_query_notice: {type: 'boolean', default: 'on', text: 'Accepted, without effect.'},
  auto_route_catalog_queries: {
    type: 'boolean',
    default: 'on',
    text: 'Accepted, without effect: PostgreSQL answers every query.',
  },
  auto_route_introspection_queries: {
    type: 'boolean',
    default: 'on',
    text: 'Accepted, without effect: what `auto_route_catalog_queries` was called before. Each keeps a value of its own.',
  },
  max_query_result_size: {
    type: 'integer',
    default: '1073741824',
    text: 'Accepted, without effect: results are streamed, however long they are.',
  },
  sql_safe_updates: {type: 'boolean', default: 'off', text: 'Accepted, without effect.'},
  real_time_recency: {type: 'boolean', default: 'off', text: 'Accepted, without effect.'},
  enable_session_rbac_checks: {
    type: 'boolean',
    default: 'on',
    text: 'Privileges are always checked, so `on` is the only value.',
    fixed: true,
  },
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

/** Levels of `transaction_isolation` that PostgreSQL does not know: they are accepted and change nothing. */
export const ISOLATION_OF_OTHERS: readonly string[] = [
  'strict serializable',
  'strong session serializable',
  'strict linearizable',
];

const TRUE = ['on', 'true', 't', 'yes', 'y', '1'];
const FALSE = ['off', 'false', 'f', 'no', 'n', '0'];

/** Undefined: it is neither. */
export function booleanOf(value: string): boolean | undefined {
  const lower = value.toLowerCase();
  return TRUE.includes(lower) ? true : FALSE.includes(lower) ? false : undefined;
}

/** `values` as SHOW will give them back. Throws 22023. */
export function normalValue(name: SessionVariableName, values: readonly string[]): string {
  const {type, fixed, default: only}: SessionVariable = SESSION_VARIABLES[name];
  const [value] = values;
  if (values.length > 1) throw new SqlError('22023', `SET ${name} takes only one argument`);
  if (type === 'text') return value;
  if (type === 'integer') {
    if (/^\d{1,18}$/.test(value)) return value;
    throw new SqlError('22023', `parameter "${name}" requires a "integer" value`);
  }
  const on = booleanOf(value);
  if (on === undefined) throw new SqlError('22023', `parameter "${name}" requires a "boolean" value`);
  const normal = on ? 'on' : 'off';
  if (fixed === true && normal !== only)
    throw new SqlError('22023', `parameter "${name}" can only be set to "${only}"`);
  return normal;
}
