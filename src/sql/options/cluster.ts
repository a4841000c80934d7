import type {OptionTable} from './describe.ts';

/** `CREATE CLUSTER … (…)`, `ALTER CLUSTER … SET (…)` */
export const CLUSTER_OPTIONS = {
  SIZE: {value: 'text', default: '25cc', text: 'A label. Every cluster is one process.'},
  'REPLICATION FACTOR': {
    value: 'integer',
    default: '1',
    text: '0 pauses everything on the cluster, 1 lets it run. More than 1 is kept, but one process does the work.',
  },
  MANAGED: {value: 'boolean', default: 'true', text: '`false` gives the replicas names and sizes of their own.'},
  SCHEDULE: {value: 'schedule', default: 'MANUAL', text: 'Only `MANUAL`.'},
  'INTROSPECTION INTERVAL': {value: 'interval', text: 'Accepted and ignored.'},
  'INTROSPECTION DEBUGGING': {value: 'boolean', text: 'Accepted and ignored.'},
  'AVAILABILITY ZONES': {value: 'textList', text: 'Accepted and ignored.'},
  DISK: {value: 'boolean', text: 'Accepted and ignored.'},
  'WORKLOAD CLASS': {value: 'text', text: 'Accepted and ignored.'},
  REPLICAS: {
    value: 'replicas',
    text: "The replicas of an unmanaged cluster, instead of a size and a factor: `REPLICAS (r1 (SIZE = '25cc'))`.",
  },
} as const satisfies OptionTable;

/** `REPLICAS (r1 (…))` and `CREATE CLUSTER REPLICA c.r1 (…)` */
export const REPLICA_OPTIONS = {
  SIZE: {value: 'text', text: 'A label.'},
  'AVAILABILITY ZONE': {value: 'text', text: 'Accepted and ignored.'},
  DISK: {value: 'boolean', text: 'Accepted and ignored.'},
  'INTROSPECTION INTERVAL': {value: 'interval', text: 'Accepted and ignored.'},
  'INTROSPECTION DEBUGGING': {value: 'boolean', text: 'Accepted and ignored.'},
} as const satisfies OptionTable;

/** `SCHEDULE = ON REFRESH (…)` */
export const SCHEDULE_OPTIONS = {
  'HYDRATION TIME ESTIMATE': {value: 'interval', text: 'How long before a refresh the cluster starts.'},
} as const satisfies OptionTable;

/** `ALTER CLUSTER … WITH (…)` */
export const ALTER_CLUSTER_WITH_OPTIONS = {
  'WAIT UNTIL READY': {value: 'expression', text: 'Accepted and ignored: the process needs no warming up.'},
  'WAIT FOR': {value: 'interval', text: 'Accepted and ignored.'},
} as const satisfies OptionTable;
