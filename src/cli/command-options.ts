import {LOG_FORMATS, LOG_LEVELS} from '../base/log.ts';
import type {Options} from '../base/options.ts';

const logLevel = {
  type: 'choice',
  choices: LOG_LEVELS,
  default: 'info',
  text: 'How much is logged to standard error.',
} as const;

const logFormat = {
  type: 'choice',
  choices: LOG_FORMATS,
  default: 'auto',
  text: 'How a line of the log looks; auto is text on a terminal and JSON elsewhere.',
} as const;

const metricsListen = {
  type: 'address',
  text: 'Where /metrics and /healthz are served by plain HTTP, on this machine only; off unless given. Port 0 takes any free one.',
} as const;

const secretKeys = {
  'secret-key': {
    type: 'secret',
    text: 'Keys of secrets, each 64 hexadecimal digits, with commas between them: the first encrypts, all decrypt. Better given by the environment.',
  },
  'secret-key-file': {
    type: 'path',
    text: 'File with the keys of secrets, one a line. Default: secret.key in the data directory, made if it is missing.',
  },
} as const;

/** What `sluice start` takes. */
export const START_OPTIONS = {
  'data-dir': {
    type: 'path',
    default: './sluice-data',
    text: 'Where Sluice keeps its data; created if it is missing.',
  },
  listen: {
    type: 'address',
    default: '127.0.0.1:6875',
    text: 'Where SQL clients connect. Port 0 takes any free one. One that other machines reach needs --tls-cert, --tls-key and --password.',
  },
  'internal-listen': {
    type: 'address',
    text: 'Where administrators (mz_system, superusers) connect; off unless given.',
  },
  postgres: {
    type: 'url',
    text: 'Run on this PostgreSQL, 15 or newer with wal_level=logical, instead of the embedded one.',
  },
  clusters: {
    type: 'choice',
    choices: ['all', 'none'],
    default: 'all',
    text: 'Which clusters run here; none where sluice cluster runs them on other machines.',
  },
  password: {
    type: 'secret',
    text: 'Password of user materialize; with it everybody has to log in by password. Better given by the environment, because arguments are visible to other users.',
  },
  'tls-cert': {
    type: 'path',
    text: 'PEM file with the certificate that clients see, followed by what leads up to its authority. SIGHUP reads it again.',
  },
  'tls-key': {type: 'path', text: 'PEM file with the key of that certificate; nobody else may read it.'},
  ...secretKeys,
  'metrics-listen': metricsListen,
  'log-level': logLevel,
  'log-format': logFormat,
} as const satisfies Options;

/** What `sluice demo` takes. */
export const DEMO_OPTIONS = {
  kafka: {
    type: 'address',
    text: 'A Kafka broker that needs neither TLS nor a password. Required; npm run demo starts one and gives its address.',
  },
  postgres: {
    type: 'url',
    text: 'Run on this PostgreSQL, 15 or newer with wal_level=logical, instead of the embedded one. The demo keeps to a schema of its own and drops it.',
  },
  'data-dir': {
    type: 'path',
    text: 'Where Sluice keeps its data. Without it a temporary directory that is removed at the end.',
  },
  seconds: {
    type: 'count',
    text: 'How long to write before source and topic are compared. Without it until Ctrl-C.',
  },
  'log-level': {...logLevel, default: 'error'},
  'log-format': logFormat,
} as const satisfies Options;

/** What `sluice cluster <name>` takes. */
export const CLUSTER_OPTIONS = {
  postgres: {type: 'url', text: 'The PostgreSQL that Sluice runs on. Required.'},
  'data-dir': {
    type: 'path',
    default: './sluice-cluster-data',
    text: 'Where large transactions wait on disk. Nothing in it outlives the process.',
  },
  ...secretKeys,
  'metrics-listen': metricsListen,
  'log-level': logLevel,
  'log-format': logFormat,
} as const satisfies Options;

/** What `sluice doctor` takes. */
export const DOCTOR_OPTIONS = {
  postgres: {type: 'url', text: 'The PostgreSQL to look at, as for sluice start. Required.'},
  json: {type: 'flag', default: 'false', text: 'Print one line of JSON instead of text.'},
} as const satisfies Options;

/** What `sluice uninstall` takes. */
export const UNINSTALL_OPTIONS = {
  postgres: {type: 'url', text: 'The PostgreSQL to take Sluice out of, as for sluice start. Required.'},
  yes: {type: 'flag', default: 'false', text: 'Do it. Without it, only say what would be done.'},
  force: {type: 'flag', default: 'false', text: 'Also while a Sluice runs there: its connections are cut.'},
} as const satisfies Options;

/** What `sluice secrets rotate` and `sluice secrets keys` take. */
export const SECRETS_OPTIONS = {
  'data-dir': {type: 'path', default: './sluice-data', text: 'The data directory of the Sluice that runs.'},
  postgres: {type: 'url', text: 'Your own PostgreSQL, where Sluice runs on that.'},
  ...secretKeys,
} as const satisfies Options;
