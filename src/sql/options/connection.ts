import type {ConnectionType} from '../ast.ts';
import type {OptionDescription, OptionTable} from './describe.ts';

const TLS_OPTIONS = {
  'SSL CERTIFICATE AUTHORITY': {
    value: 'textOrSecret',
    text: 'Certificates (PEM) of the authorities to trust. Default: those of the system.',
  },
  'SSL CERTIFICATE': {value: 'textOrSecret', text: 'Our own certificate (PEM). Needs SSL KEY.'},
  'SSL KEY': {value: 'secret', text: 'Private key (PEM) of SSL CERTIFICATE.'},
} as const satisfies OptionTable;

const SSH_TUNNEL: {readonly value: 'object'; readonly text: string} = {
  value: 'object',
  text: 'SSH tunnel connection to go through.',
};
const AWS_PRIVATELINK: {readonly value: 'privatelink'; readonly supported: false; readonly text: string} = {
  value: 'privatelink',
  supported: false,
  text: 'AWS PrivateLink connection to go through.',
};

export const KAFKA_CONNECTION_OPTIONS = {
  BROKER: {value: 'broker', text: 'Address `host:port` of one broker; the others are learned from it.'},
  BROKERS: {value: 'brokers', text: "Addresses of several brokers: `BROKERS ('k1:9092', 'k2:9092')`."},
  'SECURITY PROTOCOL': {
    value: 'text',
    text: '`PLAINTEXT`, `SSL`, `SASL_PLAINTEXT` or `SASL_SSL`. Default: `SASL_SSL` if any SASL option or AWS CONNECTION is given, otherwise `SSL`.',
  },
  'SASL MECHANISMS': {value: 'text', text: '`PLAIN`, `SCRAM-SHA-256` or `SCRAM-SHA-512`.'},
  'SASL USERNAME': {value: 'textOrSecret', text: 'User name for SASL.'},
  'SASL PASSWORD': {value: 'secret', text: 'Password for SASL.'},
  ...TLS_OPTIONS,
  'AWS CONNECTION': {value: 'object', text: 'AWS connection whose identity logs in to Amazon MSK (IAM).'},
  'PROGRESS TOPIC': {
    value: 'text',
    default: '_materialize-progress-{environment}-{connection}',
    text: 'Topic in which the sinks of this connection keep how far they got. Cannot be changed later.',
  },
  'PROGRESS TOPIC REPLICATION FACTOR': {
    value: 'integer',
    text: 'Replicas of the progress topic when it is created. Default: the broker’s. Cannot be changed later.',
  },
  'SSH TUNNEL': {...SSH_TUNNEL, text: 'SSH tunnel connection for every broker that has none of its own.'},
  'AWS PRIVATELINK': {...AWS_PRIVATELINK, text: 'AWS PrivateLink connection in place of broker addresses.'},
} as const satisfies OptionTable;

export const REGISTRY_CONNECTION_OPTIONS = {
  URL: {value: 'text', required: true, text: 'Address of the registry, `http://…` or `https://…`.'},
  USERNAME: {value: 'textOrSecret', text: 'User name for HTTP basic authentication.'},
  USER: {value: 'textOrSecret', alias: 'USERNAME', text: 'The same as USERNAME.'},
  PASSWORD: {value: 'secret', text: 'Password for HTTP basic authentication.'},
  ...TLS_OPTIONS,
  'SSH TUNNEL': SSH_TUNNEL,
  'AWS PRIVATELINK': AWS_PRIVATELINK,
} as const satisfies OptionTable;

export const SSH_CONNECTION_OPTIONS = {
  HOST: {value: 'text', required: true, text: 'Name or address of the bastion host.'},
  PORT: {value: 'integer', default: '22', text: 'Its port.'},
  USER: {value: 'text', required: true, text: 'User to log in as.'},
} as const satisfies OptionTable;

export const AWS_CONNECTION_OPTIONS = {
  ENDPOINT: {value: 'text', text: 'Another address than that of Amazon, for what is compatible with it.'},
  REGION: {value: 'text', text: 'Region of the services.'},
  'ACCESS KEY ID': {value: 'textOrSecret', text: 'Access key to log in with.'},
  'SECRET ACCESS KEY': {value: 'secret', text: 'Secret half of the access key.'},
  'SESSION TOKEN': {value: 'textOrSecret', text: 'Session token of a temporary access key.'},
  'ASSUME ROLE ARN': {value: 'text', text: 'Role to assume instead of an access key.'},
  'ASSUME ROLE SESSION NAME': {value: 'text', text: 'Session name for the assumed role.'},
} as const satisfies OptionTable;

export const PRIVATELINK_CONNECTION_OPTIONS = {
  'SERVICE NAME': {value: 'text', required: true, text: 'Name of the endpoint service.'},
  'AVAILABILITY ZONES': {value: 'textList', required: true, text: 'Availability zones of the endpoint service.'},
} as const satisfies OptionTable;

export const GCP_CONNECTION_OPTIONS = {
  'SERVICE ACCOUNT KEY': {value: 'secret', required: true, text: 'Key file (JSON) of a service account.'},
} as const satisfies OptionTable;

export const ICEBERG_CONNECTION_OPTIONS = {
  'CATALOG TYPE': {value: 'text', required: true, text: '`rest` or `s3tablesrest`.'},
  URL: {value: 'text', required: true, text: 'Address of the catalog.'},
  WAREHOUSE: {value: 'text', text: 'Warehouse within the catalog. Required for `s3tablesrest`.'},
  'AWS CONNECTION': {value: 'object', text: 'AWS connection that signs requests to `s3tablesrest`.'},
  'GCP CONNECTION': {value: 'object', text: 'GCP connection that logs in to BigLake.'},
  CREDENTIAL: {value: 'textOrSecret', text: '`client_id:client_secret` for OAuth2.'},
  SCOPE: {value: 'text', text: 'OAuth2 scope.'},
  'OAUTH2 SERVER URL': {value: 'text', text: 'Where tokens come from. Default: `<URL>/v1/oauth/tokens`.'},
  'ACCESS DELEGATION': {value: 'text', text: '`vended-credentials`.'},
  'STORAGE PROVIDER': {value: 'text', default: 's3', text: '`s3`, `gcs` or `adls`.'},
} as const satisfies OptionTable;

const DATABASE_OPTIONS = {
  HOST: {value: 'text', required: true, text: 'Name or address of the server.'},
  PORT: {value: 'integer', text: 'Its port. Default: the usual one.'},
  USER: {value: 'textOrSecret', required: true, text: 'User to log in as.'},
  PASSWORD: {value: 'secret', text: 'Password.'},
  ...TLS_OPTIONS,
  'SSL MODE': {value: 'text', text: 'How much TLS is asked for.'},
  'SSH TUNNEL': SSH_TUNNEL,
  'AWS PRIVATELINK': AWS_PRIVATELINK,
} as const satisfies OptionTable;

export const POSTGRES_CONNECTION_OPTIONS = {
  ...DATABASE_OPTIONS,
  DATABASE: {value: 'text', required: true, text: 'Database to connect to.'},
} as const satisfies OptionTable;

export const MYSQL_CONNECTION_OPTIONS = {
  ...DATABASE_OPTIONS,
  'AWS CONNECTION': {value: 'object', text: 'AWS connection whose identity logs in (IAM).'},
} as const satisfies OptionTable;

export const SQL_SERVER_CONNECTION_OPTIONS = {
  ...DATABASE_OPTIONS,
  DATABASE: {value: 'text', required: true, text: 'Database to connect to.'},
} as const satisfies OptionTable;

/** `CREATE CONNECTION … WITH (…)` and `ALTER CONNECTION … WITH (…)` */
export const CONNECTION_WITH_OPTIONS = {
  VALIDATE: {
    value: 'boolean',
    default: 'true',
    text: 'Whether the statement contacts the other side and fails if that does not answer. On for Kafka and schema registries.',
  },
} as const satisfies OptionTable;

/** `AWS PRIVATELINK c (…)` behind a broker or as an option. */
export const PRIVATELINK_USE_OPTIONS = {
  PORT: {value: 'integer', text: 'Port of the endpoint.'},
  'AVAILABILITY ZONE': {value: 'text', text: 'Availability zone of the broker.'},
} as const satisfies OptionTable;

export interface ConnectionTypeDescription {
  /** As the statement spells it. */
  readonly keywords: string;
  /** As messages call it: `KAFKA connections do not support …`. */
  readonly title: string;
  /** `mz_connections.type`. */
  readonly id: string;
  readonly options: OptionTable;
  readonly supported: boolean;
}

/** Longer spellings stand before the ones that they begin with. */
export const CONNECTION_TYPES: Record<ConnectionType, ConnectionTypeDescription> = {
  kafka: {keywords: 'KAFKA', title: 'KAFKA', id: 'kafka', options: KAFKA_CONNECTION_OPTIONS, supported: true},
  confluentSchemaRegistry: {
    keywords: 'CONFLUENT SCHEMA REGISTRY',
    title: 'CONFLUENT SCHEMA REGISTRY',
    id: 'confluent-schema-registry',
    options: REGISTRY_CONNECTION_OPTIONS,
    supported: false,
  },
  sshTunnel: {
    keywords: 'SSH TUNNEL',
    title: 'SSH TUNNEL',
    id: 'ssh-tunnel',
    options: SSH_CONNECTION_OPTIONS,
    supported: false,
  },
  awsPrivatelink: {
    keywords: 'AWS PRIVATELINK',
    title: 'AWS PRIVATELINK',
    id: 'aws-privatelink',
    options: PRIVATELINK_CONNECTION_OPTIONS,
    supported: false,
  },
  aws: {keywords: 'AWS', title: 'AWS', id: 'aws', options: AWS_CONNECTION_OPTIONS, supported: false},
  gcp: {keywords: 'GCP', title: 'GCP', id: 'gcp', options: GCP_CONNECTION_OPTIONS, supported: false},
  icebergCatalog: {
    keywords: 'ICEBERG CATALOG',
    title: 'ICEBERG CATALOG',
    id: 'iceberg-catalog',
    options: ICEBERG_CONNECTION_OPTIONS,
    supported: false,
  },
  postgres: {
    keywords: 'POSTGRES',
    title: 'POSTGRES',
    id: 'postgres',
    options: POSTGRES_CONNECTION_OPTIONS,
    supported: false,
  },
  mysql: {keywords: 'MYSQL', title: 'MYSQL', id: 'mysql', options: MYSQL_CONNECTION_OPTIONS, supported: false},
  sqlServer: {
    keywords: 'SQL SERVER',
    title: 'SQL SERVER',
    id: 'sql-server',
    options: SQL_SERVER_CONNECTION_OPTIONS,
    supported: false,
  },
};

/** Every option of every type, for the ones that a type does not take and for ALTER, which does not name the type. */
export const ALL_CONNECTION_OPTIONS: OptionTable = Object.values(CONNECTION_TYPES).reduce<
  Record<string, OptionDescription>
>((all, {options}) => {
  for (const [name, option] of Object.entries(options)) {
    const known = all[name];
    // ALTER reads every option as the widest kind that any type gives it.
    if (known === undefined || (known.value === 'text' && option.value === 'textOrSecret')) {
      all[name] = {...option, alias: undefined};
    }
  }
  return all;
}, {});
