/**
 * Our statements as trees. Every `at` is the 0-based UTF-16 offset, in the statement's text, of the token to blame. Names are as
 * the user wrote them (folded, perhaps incomplete); `print.ts` is the way back.
 */
export interface Name {
  readonly parts: readonly string[];
  readonly at: number;
}

export type ObjectKind = 'sink' | 'connection' | 'secret' | 'cluster' | 'source' | 'clusterReplica';

/** A role by its name, or by what the session says it is. */
export type Role = {readonly name: string} | {readonly session: 'current_user' | 'current_role' | 'session_user'};

/** One way to a broker: directly, through an SSH tunnel, or through AWS PrivateLink. */
export interface Broker {
  readonly address: string;
  readonly tunnel?:
    | {readonly via: 'ssh'; readonly connection: Name}
    | {readonly via: 'privatelink'; readonly connection: Name; readonly options: readonly Option[]}
    | undefined;
}

/** A value in the form that its option's description asks for (`options/describe.ts`). */
export type OptionValue =
  | {readonly kind: 'text'; readonly text: string}
  | {readonly kind: 'integer'; readonly value: number}
  | {readonly kind: 'boolean'; readonly value: boolean}
  /** PostgreSQL's interval text, not yet checked. */
  | {readonly kind: 'interval'; readonly text: string}
  | {readonly kind: 'map'; readonly entries: readonly (readonly [string, string])[]}
  | {readonly kind: 'textList'; readonly items: readonly string[]}
  | {readonly kind: 'secret'; readonly secret: Name}
  | {readonly kind: 'object'; readonly object: Name; readonly options?: readonly Option[] | undefined}
  /** `list`: BROKERS (…), otherwise BROKER with one. */
  | {readonly kind: 'brokers'; readonly list: boolean; readonly brokers: readonly Broker[]}
  | {readonly kind: 'expression'; readonly sql: string}
  | {readonly kind: 'replicas'; readonly replicas: readonly ReplicaDefinition[]}
  | {readonly kind: 'schedule'; readonly on: 'manual' | 'refresh'; readonly options: readonly Option[]};

export interface Option {
  /** As the description spells it: `TOPIC PARTITION COUNT`. */
  readonly name: string;
  readonly at: number;
  /** The object of DOC ON TYPE and DOC ON COLUMN. */
  readonly target?: Name | undefined;
  /** Undefined where the option stands without a value. */
  readonly value?: OptionValue | undefined;
}

export interface ReplicaDefinition {
  readonly name: string;
  readonly options: readonly Option[];
}

export type Format =
  | {readonly kind: 'json'; readonly array: boolean}
  | {readonly kind: 'text'}
  | {readonly kind: 'bytes'}
  | {readonly kind: 'avro'; readonly registry: Name; readonly options: readonly Option[]};

export interface CreateSink {
  readonly kind: 'createSink';
  readonly ifNotExists: boolean;
  /** Only EXPLAIN SCHEMA may leave it out. */
  readonly name: Name | undefined;
  readonly cluster: Name | undefined;
  readonly from: Name;
  readonly connection: Name;
  readonly options: readonly Option[];
  readonly key: {readonly columns: readonly Name[]; readonly notEnforced: boolean} | undefined;
  readonly headers: Name | undefined;
  readonly format:
    | {readonly kind: 'one'; readonly format: Format}
    | {readonly kind: 'keyValue'; readonly key: Format; readonly value: Format}
    | undefined;
  readonly envelope: 'upsert' | 'debezium' | undefined;
  readonly with: readonly Option[];
}

export interface AlterSinkSetFrom {
  readonly kind: 'alterSinkSetFrom';
  readonly ifExists: boolean;
  readonly name: Name;
  readonly from: Name;
}

/** `ALTER SINK … SET (…)` and `RESET (…)`: understood, and refused. */
export interface AlterSinkOptions {
  readonly kind: 'alterSinkOptions';
  readonly ifExists: boolean;
  readonly name: Name;
  readonly action: 'set' | 'reset';
  readonly options: readonly Option[];
}

export type ConnectionType =
  | 'kafka'
  | 'confluentSchemaRegistry'
  | 'sshTunnel'
  | 'aws'
  | 'awsPrivatelink'
  | 'gcp'
  | 'icebergCatalog'
  | 'postgres'
  | 'mysql'
  | 'sqlServer';

export interface CreateConnection {
  readonly kind: 'createConnection';
  readonly ifNotExists: boolean;
  readonly name: Name;
  readonly type: ConnectionType;
  readonly options: readonly Option[];
  readonly with: readonly Option[];
}

export type ConnectionAction =
  {readonly action: 'set'; readonly option: Option} | {readonly action: 'drop' | 'reset'; readonly option: Option};

export interface AlterConnection {
  readonly kind: 'alterConnection';
  readonly ifExists: boolean;
  readonly name: Name;
  readonly actions: readonly ConnectionAction[];
  readonly rotateKeys: boolean;
  readonly with: readonly Option[];
}

export interface ValidateConnection {
  readonly kind: 'validateConnection';
  readonly name: Name;
}

/** What CREATE SECRET may compute. It never reaches PostgreSQL, so that the value is in none of its logs. */
export type SecretExpression =
  | {readonly kind: 'string'; readonly text: string; readonly at: number}
  | {readonly kind: 'number'; readonly digits: string; readonly at: number}
  | {readonly kind: 'cast'; readonly operand: SecretExpression; readonly type: string; readonly at: number}
  | {
      readonly kind: 'call';
      readonly function: string;
      readonly arguments: readonly SecretExpression[];
      readonly at: number;
    }
  | {readonly kind: 'concat'; readonly operands: readonly SecretExpression[]; readonly at: number};

export interface CreateSecret {
  readonly kind: 'createSecret';
  readonly ifNotExists: boolean;
  readonly name: Name;
  readonly value: SecretExpression;
}

export interface AlterSecret {
  readonly kind: 'alterSecret';
  readonly ifExists: boolean;
  readonly name: Name;
  readonly value: SecretExpression;
}

export interface CreateCluster {
  readonly kind: 'createCluster';
  readonly name: Name;
  readonly options: readonly Option[];
}

export interface CreateClusterReplica {
  readonly kind: 'createClusterReplica';
  /** `cluster.replica` */
  readonly name: Name;
  readonly options: readonly Option[];
}

export interface AlterClusterOptions {
  readonly kind: 'alterClusterOptions';
  readonly ifExists: boolean;
  readonly name: Name;
  readonly action: 'set' | 'reset';
  readonly options: readonly Option[];
  readonly with: readonly Option[];
}

export interface SwapCluster {
  readonly kind: 'swapCluster';
  readonly name: Name;
  readonly other: Name;
}

export interface Rename {
  readonly kind: 'rename';
  readonly object: ObjectKind;
  readonly ifExists: boolean;
  readonly name: Name;
  readonly to: string;
}

export interface ChangeOwner {
  readonly kind: 'changeOwner';
  readonly object: ObjectKind;
  readonly ifExists: boolean;
  readonly name: Name;
  readonly owner: Role;
}

export interface Drop {
  readonly kind: 'drop';
  readonly object: ObjectKind;
  readonly ifExists: boolean;
  readonly names: readonly Name[];
  readonly behavior: 'cascade' | 'restrict' | undefined;
}

export interface Comment {
  readonly kind: 'comment';
  readonly object: ObjectKind;
  readonly name: Name;
  readonly text: string | null;
}

/** What may stand behind the roles of a GRANT or REVOKE. */
export interface GrantEnd {
  readonly grantedBy: Role | undefined;
  readonly behavior: 'cascade' | 'restrict' | undefined;
}

export interface Grant extends GrantEnd {
  readonly kind: 'grant' | 'revoke';
  readonly object: 'connection' | 'secret' | 'cluster';
  /** In upper case; empty: ALL. */
  readonly privileges: readonly string[];
  readonly names: readonly Name[];
  readonly roles: readonly Role[];
}

/** Every object of a kind that there is at this moment, PostgreSQL's too: there GRANT has ALL only for relations and routines of a schema. */
export interface GrantOnAll extends GrantEnd {
  readonly kind: 'grantOnAll';
  readonly revoke: boolean;
  readonly object: 'connection' | 'secret' | 'cluster' | 'table' | 'type' | 'schema' | 'database';
  /** In upper case; empty: ALL. */
  readonly privileges: readonly string[];
  /** IN SCHEMA; none: everywhere. */
  readonly schemas: readonly Name[];
  /** IN DATABASE; none: everywhere. */
  readonly databases: readonly Name[];
  readonly roles: readonly Role[];
}

/** PostgreSQL's role attributes, and two privileges of ours. */
export interface GrantOnSystem extends GrantEnd {
  readonly kind: 'grantOnSystem';
  readonly revoke: boolean;
  readonly privileges: readonly string[];
  readonly roles: readonly Role[];
}

export interface AlterDefaultPrivileges {
  readonly kind: 'alterDefaultPrivileges';
  /** Whose new objects; none: those of the acting role. */
  readonly roles: readonly Role[] | 'all';
  /** None: everywhere. */
  readonly schemas: readonly Name[];
  readonly database: Name | undefined;
  readonly revoke: boolean;
  readonly privileges: readonly string[];
  readonly object: 'connection' | 'secret' | 'cluster';
  readonly grantees: readonly Role[];
}

export type ListedKind =
  | 'databases'
  | 'schemas'
  | 'roles'
  | 'secrets'
  | 'tables'
  | 'views'
  | 'types'
  | 'objects'
  | 'connections'
  | 'sources'
  | 'sinks'
  | 'materializedViews'
  | 'subsources'
  | 'indexes'
  | 'columns'
  | 'clusters'
  | 'clusterReplicas'
  | 'privileges'
  | 'defaultPrivileges'
  | 'roleMembership'
  | 'networkPolicies';

export interface ShowList {
  readonly kind: 'showList';
  readonly list: ListedKind;
  /** FROM or IN: a schema, a database (SHOW SCHEMAS) or a relation (SHOW COLUMNS). */
  readonly from: Name | undefined;
  /** ON: a relation, a source, or a kind of object. */
  readonly on: Name | undefined;
  readonly cluster: Name | undefined;
  /** FOR: a role. */
  readonly role: string | undefined;
  readonly filter:
    {readonly kind: 'like'; readonly pattern: string} | {readonly kind: 'where'; readonly sql: string} | undefined;
}

export type ShowableKind =
  'sink' | 'connection' | 'cluster' | 'table' | 'view' | 'materializedView' | 'source' | 'index' | 'type';

export interface ShowCreate {
  readonly kind: 'showCreate';
  readonly redacted: boolean;
  readonly object: ShowableKind;
  readonly name: Name;
}

export interface ShowVariable {
  readonly kind: 'showVariable';
  readonly variable: string;
}

export interface SetVariable {
  readonly kind: 'setVariable';
  readonly scope: 'session' | 'local';
  readonly variable: string;
  /** Names and strings as text; undefined: DEFAULT. */
  readonly values: readonly string[] | undefined;
}

export interface ResetVariable {
  readonly kind: 'resetVariable';
  readonly variable: string;
}

/** PostgreSQL's statement with a variable of ours: `ALTER ROLE r SET cluster = c`, `ALTER DATABASE d RESET cluster`. */
export interface AlterSettings {
  readonly kind: 'alterSettings';
  /** The statement's text in front of SET or RESET. */
  readonly before: string;
  readonly setting: SetVariable | ResetVariable;
}

export interface ExplainSchema {
  readonly kind: 'explainSchema';
  readonly part: 'key' | 'value';
  readonly json: boolean;
  readonly sink: CreateSink;
}

/** PostgreSQL's statement, but with a schema that is named with its database: `CREATE SCHEMA "db"."s"`. */
export interface SchemaOfDatabase {
  readonly kind: 'schemaOfDatabase';
  readonly tag: string;
  readonly names: readonly Name[];
  /** The statement's text in front of the names and behind them. */
  readonly before: string;
  readonly rest: string;
}

export interface SwapSchema {
  readonly kind: 'swapSchema';
  readonly name: Name;
  readonly other: Name;
}

/** Understood well enough to say what is missing: SUBSCRIBE, CREATE SOURCE, COPY to an object store. */
export interface Unsupported {
  readonly kind: 'unsupported';
  /** As the subject of "… not yet supported". */
  readonly what: string;
  readonly at: number;
  readonly hint?: string | undefined;
}

export type Statement =
  | CreateSink
  | AlterSinkSetFrom
  | AlterSinkOptions
  | CreateConnection
  | AlterConnection
  | ValidateConnection
  | CreateSecret
  | AlterSecret
  | CreateCluster
  | CreateClusterReplica
  | AlterClusterOptions
  | SwapCluster
  | Rename
  | ChangeOwner
  | Drop
  | Comment
  | Grant
  | GrantOnAll
  | GrantOnSystem
  | AlterDefaultPrivileges
  | ShowList
  | ShowCreate
  | ShowVariable
  | SetVariable
  | ResetVariable
  | AlterSettings
  | ExplainSchema
  | SchemaOfDatabase
  | SwapSchema
  | Unsupported;
