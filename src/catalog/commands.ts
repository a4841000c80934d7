/**
 * Every change of the catalog is a call of a server function in the session's own transaction (DESIGN 3.2). This file builds
 * those calls; migrations/ holds the functions. They find the acting role and check its privileges themselves, so a builder
 * takes names and definitions only. What they refuse arrives as an error of the session's backend.
 */
import type {ClusterDefinition, CompressionType, ObjectId, OptionValue} from './definitions.ts';

/** For `query(text, values)`: parameters in PostgreSQL's text form. */
export interface Command {
  readonly text: string;
  readonly values: readonly (string | null)[];
}

/** `[object]`, `[schema, object]` or `[database, schema, object]`, folded as PostgreSQL folds identifiers. */
export type ObjectName = readonly string[];

export type ItemKind = 'connection' | 'secret' | 'sink';

/**
 * The statement's canonical text in pieces, so that names in it follow renames: a literal piece of text, a value that REDACTED
 * hides, or what is to be printed as its present, fully qualified and quoted name.
 */
export type SqlPart =
  | string
  | {readonly value: string}
  | {readonly ref: 'self'}
  | {readonly ref: 'item'; readonly id: ObjectId}
  | {readonly ref: 'cluster'; readonly id: ObjectId}
  | {readonly ref: 'relation'; readonly oid: number}
  | {readonly ref: 'column'; readonly oid: number; readonly attnum: number};

/** What `describeRelation` answers. */
export interface RelationDescription {
  readonly oid: number;
  /** Full dotted name for messages. */
  readonly name: string;
  readonly columns: readonly {
    readonly name: string;
    readonly attnum: number;
    readonly typeOid: number;
    readonly typmod: number;
    /** As `format_type` prints it. */
    readonly typeName: string;
    readonly notNull: boolean;
  }[];
  /** Sets of columns (names) that are provably unique: primary key first, then unique indexes that count (sql-surface 2.6). */
  readonly keys: readonly (readonly string[])[];
}

/** What `describeConnection` answers. */
export interface ConnectionDescription {
  readonly id: ObjectId;
  readonly name: string;
  readonly definition: ConnectionOptions;
}

/** What `describeSecret` and `describeSink` answer. */
export interface ItemDescription {
  readonly id: ObjectId;
  readonly name: string;
}

/** What `describeName` answers. */
export interface NameDescription {
  /** Full dotted name of what would be created. */
  readonly name: string;
  /** What has the name already: `sink`, `table`, …; null = free. */
  readonly taken: string | null;
}

/** A connection's options as they are stored: complete, checked, defaults filled in except those that contain the id. */
export interface KafkaConnectionOptions {
  readonly type: 'kafka';
  readonly brokers: readonly string[];
  readonly securityProtocol: 'PLAINTEXT' | 'SSL' | 'SASL_PLAINTEXT' | 'SASL_SSL';
  readonly saslMechanism?: string | undefined;
  readonly saslUsername?: OptionValue | undefined;
  readonly saslPassword?: OptionValue | undefined;
  readonly sslCertificateAuthority?: OptionValue | undefined;
  readonly sslCertificate?: OptionValue | undefined;
  readonly sslKey?: OptionValue | undefined;
  /** Undefined = `_materialize-progress-{environment id}-{connection id}`. */
  readonly progressTopic?: string | undefined;
  readonly progressTopicReplicationFactor?: number | undefined;
}
export type ConnectionOptions = KafkaConnectionOptions;

/** A Kafka sink's options as they are stored. */
export interface KafkaSinkOptions {
  readonly type: 'kafka';
  readonly topic: string;
  readonly compression: CompressionType;
  readonly transactionalIdPrefix: string;
  readonly progressGroupIdPrefix: string;
  readonly legacyIds: boolean;
  readonly partitionCount?: number | undefined;
  readonly replicationFactor?: number | undefined;
  readonly topicConfig: Readonly<Record<string, string>>;
  readonly metadataRefreshMs: number;
  readonly keyFormat?: 'json' | undefined;
  readonly valueFormat: 'json';
}

export interface NewSink {
  readonly name: ObjectName;
  readonly ifNotExists: boolean;
  readonly cluster: ObjectId;
  /** OID from `describeRelation`. */
  readonly relation: number;
  readonly connection: ObjectId;
  /** Column names in KEY clause order. */
  readonly key?: readonly string[] | undefined;
  readonly keyEnforced: boolean;
  readonly envelope: 'upsert' | 'debezium';
  readonly snapshot: boolean;
  readonly target: KafkaSinkOptions;
  readonly createSql: readonly SqlPart[];
}

/** Ends the statement with this error, in its place in the session's transaction. */
export function raiseError(
  code: string,
  message: string,
  fields: {readonly detail?: string | undefined; readonly hint?: string | undefined} = {},
): Command {
  return {
    text: 'SELECT mz_internal.raise_error($1, $2, $3, $4)',
    values: [code, message, fields.detail ?? null, fields.hint ?? null],
  };
}

/**
 * May the session create an object of this name? Column `description`: NameDescription as JSON. For statements that have I/O to do
 * first; the create function checks again. 3F000 (no such schema), 42501.
 */
export function describeName(name: ObjectName): Command {
  return {
    text: `SELECT mz_internal.describe_name($1::text[], ${CREATION_PATH}) AS description`,
    values: [textArray(name)],
  };
}

/**
 * Column `description`: RelationDescription as JSON. Refuses what cannot be sunk: 42P01, 42809 (a view, an index, …), 0A000 (what the log
 * does not carry whole), 42501 (USAGE on the schema, SELECT on every column, row-level security).
 */
export function describeRelation(name: ObjectName): Command {
  return {text: `SELECT mz_internal.describe_relation($1::text[], ${PATH}) AS description`, values: [textArray(name)]};
}

/** Column `description`: ConnectionDescription as JSON. `owner` for ALTER. 42704, 42809 (another kind of object), 42501. */
export function describeConnection(name: ObjectName, right: 'usage' | 'owner' = 'usage'): Command {
  return describeItem('connection', name, right);
}

/** Column `description`: ItemDescription as JSON. `owner` for ALTER, `usage` for a reference. 42704, 42809, 42501. */
export function describeSecret(name: ObjectName, right: 'usage' | 'owner'): Command {
  return describeItem('secret', name, right);
}

/** Column `description`: ItemDescription as JSON. 42704, 42809, 42501 (not the owner). */
export function describeSink(name: ObjectName): Command {
  return describeItem('sink', name, 'owner');
}

function describeItem(kind: ItemKind, name: ObjectName, right: 'usage' | 'owner'): Command {
  return {
    text: `SELECT mz_internal.describe_item($1, $2::text[], ${PATH}, $3) AS description`,
    values: [kind, textArray(name), right],
  };
}

/** Column `description`: ClusterDefinition as JSON. Without a name: `sluice.cluster`, or else `quickstart`. 42704, 42501 (no CREATE on it). */
export function describeCluster(name?: string): Command {
  return {text: 'SELECT mz_internal.describe_cluster($1) AS description', values: [name ?? null]};
}

/** Column `id`; null when IF NOT EXISTS found one (the server has sent the NOTICE). Next comes `sealSecret`. 42710, 42501, 3F000. */
export function createSecret(secret: {readonly name: ObjectName; readonly ifNotExists: boolean}): Command {
  return {
    text: `SELECT mz_internal.create_secret($1::text[], ${CREATION_PATH}, $2) AS id`,
    values: [textArray(secret.name), String(secret.ifNotExists)],
  };
}

/** Stores what `SecretBox.seal(id, …)` made; also for ALTER SECRET. 42704, 42501 (not the owner). */
export function sealSecret(id: ObjectId, sealed: Uint8Array): Command {
  return {
    text: 'SELECT mz_internal.seal_secret($1, $2::bytea)',
    values: [id, `\\x${Buffer.from(sealed).toString('hex')}`],
  };
}

/** Column `id`; null when IF NOT EXISTS found one. Checks USAGE on every secret in the options. 42710, 42501, 42704, 3F000. */
export function createConnection(connection: {
  readonly name: ObjectName;
  readonly ifNotExists: boolean;
  readonly options: ConnectionOptions;
  readonly createSql: readonly SqlPart[];
}): Command {
  return {
    text: `SELECT mz_internal.create_connection($1::text[], ${CREATION_PATH}, $2, $3::jsonb, $4::jsonb) AS id`,
    values: [
      textArray(connection.name),
      String(connection.ifNotExists),
      JSON.stringify(connection.options),
      JSON.stringify(connection.createSql),
    ],
  };
}

/**
 * Column `id`; null when IF NOT EXISTS found one. Checks everything that `describeRelation`, `describeConnection` and CREATE on
 * the cluster check, again.
 */
export function createSink(sink: NewSink): Command {
  // Pairs, because the server takes every object with a member "secret" or "connection" for a reference.
  const target = {...sink.target, topicConfig: Object.entries(sink.target.topicConfig)};
  const definition = {keyEnforced: sink.keyEnforced, envelope: sink.envelope, snapshot: sink.snapshot, target};
  return {
    text: `SELECT mz_internal.create_sink($1::text[], ${CREATION_PATH}, $2, $3, $4::oid, $5, $6::text[], $7::jsonb, $8::jsonb) AS id`,
    values: [
      textArray(sink.name),
      String(sink.ifNotExists),
      sink.cluster,
      String(sink.relation),
      sink.connection,
      sink.key ? textArray(sink.key) : null,
      JSON.stringify(definition),
      JSON.stringify(sink.createSql),
    ],
  };
}

/** Column `dropped`: false when IF EXISTS found nothing (the server has sent the NOTICE). 42704, 42809, 42501, 2BP01. */
export function dropItem(
  kind: ItemKind,
  name: ObjectName,
  how: {readonly ifExists: boolean; readonly cascade: boolean},
): Command {
  return {
    text: `SELECT mz_internal.drop_item($1, $2::text[], ${PATH}, $3, $4) AS dropped`,
    values: [kind, textArray(name), String(how.ifExists), String(how.cascade)],
  };
}

/** Column `id`. Needs CREATE on the database. 42710, 42501. */
export function createCluster(cluster: Omit<ClusterDefinition, 'id'> & {readonly size: string}): Command {
  return {
    text: 'SELECT mz_internal.create_cluster($1, $2, $3::integer) AS id',
    values: [cluster.name, cluster.size, String(cluster.replicationFactor)],
  };
}

/** Column `id`. A cluster whose replicas have names. 42710, 42501. */
export function createUnmanagedCluster(cluster: {
  readonly name: string;
  readonly replicas: readonly {readonly name: string; readonly size: string}[];
}): Command {
  return {
    text: 'SELECT mz_internal.create_unmanaged_cluster($1, $2::text[], $3::text[]) AS id',
    values: [
      cluster.name,
      textArray(cluster.replicas.map(({name}) => name)),
      textArray(cluster.replicas.map(({size}) => size)),
    ],
  };
}

/** What is left out stays. 42704, 42501 (not the owner), 42601 (a size or factor for an unmanaged cluster). */
export function alterCluster(
  name: string,
  change: {
    readonly replicationFactor?: number | undefined;
    readonly size?: string | undefined;
    readonly managed?: boolean | undefined;
  },
): Command {
  return {
    text: 'SELECT mz_internal.alter_cluster($1, $2, $3::integer, $4)',
    values: [
      name,
      change.size ?? null,
      change.replicationFactor === undefined ? null : String(change.replicationFactor),
      change.managed === undefined ? null : String(change.managed),
    ],
  };
}

/** Column `dropped`, as `dropItem`. */
export function dropCluster(name: string, how: {readonly ifExists: boolean; readonly cascade: boolean}): Command {
  return {
    text: 'SELECT mz_internal.drop_cluster($1, $2, $3) AS dropped',
    values: [name, String(how.ifExists), String(how.cascade)],
  };
}

/** Columns `name`, `create_sql`, one row. 42704, 42809. */
export function showCreate(kind: 'connection' | 'sink', name: ObjectName, redacted: boolean): Command {
  return {
    text: `SELECT name, create_sql FROM mz_internal.show_create($1, $2::text[], ${PATH}, $3)`,
    values: [kind, textArray(name), String(redacted)],
  };
}

/** Columns `name`, `create_sql`, one row. 42704. */
export function showCreateCluster(name: string): Command {
  return {text: 'SELECT name, create_sql FROM mz_internal.show_create_cluster($1)', values: [name]};
}

/** The command as one text without parameters, for where the text of a statement is replaced. Right under either setting of standard_conforming_strings. */
export function inline(command: Command): string {
  return command.text.replace(/\$(\d+)/g, (_, n: string) => {
    const value = command.values[Number(n) - 1];
    return value === null ? 'NULL' : quoteLiteral(value);
  });
}

/** The caller's search_path: the functions themselves run with a fixed one. */
export const PATH = 'pg_catalog.current_schemas(true)::text[]';
/** mz_catalog is behind every path, but nothing can be created there. */
const CREATION_PATH = "pg_catalog.array_remove(pg_catalog.current_schemas(false)::text[], 'mz_catalog')";

/** PostgreSQL's text form of a `text[]`. */
export function textArray(elements: readonly string[]): string {
  return `{${elements.map(element => `"${element.replace(/["\\]/g, '\\$&')}"`).join(',')}}`;
}

function quoteLiteral(text: string): string {
  const quoted = `'${text.replaceAll("'", "''")}'`;
  return text.includes('\\') ? ` E${quoted.replaceAll('\\', '\\\\')}` : quoted;
}
