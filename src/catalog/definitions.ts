import type {Column} from '../types/relation.ts';

/** `u<n>`: one number space for connections, secrets and sinks; another one for clusters. */
export type ObjectId = string;

export interface ClusterDefinition {
  readonly id: ObjectId;
  readonly name: string;
  readonly replicationFactor: number;
}

/** A value that was given in the statement, or the id of the secret that holds it. */
export type OptionValue = {readonly text: string} | {readonly secret: ObjectId};

export interface KafkaConnectionDefinition {
  readonly type: 'kafka';
  readonly id: ObjectId;
  /** Full dotted name for messages. */
  readonly name: string;
  readonly brokers: readonly string[];
  readonly securityProtocol: 'PLAINTEXT' | 'SSL' | 'SASL_PLAINTEXT' | 'SASL_SSL';
  /** `PROGRESS TOPIC`, or `_materialize-progress-{environment id}-{connection id}`. */
  readonly progressTopic: string;
  readonly progressTopicReplicationFactor: number | undefined;
}

/** A column of the relation as it was when the sink was created. `attnum` is never reused, so it survives renames. */
export interface SinkColumn extends Column {
  readonly attnum: number;
  readonly notNull: boolean;
}

export type CompressionType = 'none' | 'gzip' | 'snappy' | 'lz4' | 'zstd';

export interface KafkaSinkDefinition {
  readonly type: 'kafka';
  readonly topic: string;
  readonly compression: CompressionType;
  readonly transactionalIdPrefix: string;
  readonly progressGroupIdPrefix: string;
  readonly legacyIds: boolean;
  readonly partitionCount: number | undefined;
  readonly replicationFactor: number | undefined;
  readonly topicConfig: Readonly<Record<string, string>>;
  readonly metadataRefreshMs: number;
  /** `json` for now; avro, text and bytes come later and may differ between key and value. */
  readonly keyFormat: 'json' | undefined;
  readonly valueFormat: 'json';
  readonly connection: KafkaConnectionDefinition;
}

/** What a sink reads: the part of its definition that ALTER SINK … SET FROM changes. */
export interface SinkInput {
  /** `pg_class.oid`; names are only for messages. */
  readonly relation: number;
  readonly relationName: string;
  readonly columns: readonly SinkColumn[];
  /** Indexes into `columns`, in KEY clause order; undefined without a KEY clause. */
  readonly key: readonly number[] | undefined;
  /** Raised by ALTER SINK. */
  readonly version: number;
}

export interface SinkDefinition extends SinkInput {
  readonly id: ObjectId;
  /** Full dotted name for messages: `materialize.public.s`. */
  readonly name: string;
  readonly cluster: ObjectId;
  readonly keyEnforced: boolean;
  readonly envelope: 'upsert' | 'debezium';
  /** `WITH (SNAPSHOT = …)`. */
  readonly snapshot: boolean;
  /** What the sink goes over to at a point of the log that its worker chooses. */
  readonly next?: SinkInput | undefined;
  readonly target: KafkaSinkDefinition;
  /** Set before the target's first commit: from then on a target without progress is a loss, not a beginning. */
  readonly committedOnce: boolean;
}

/** The sink as it is behind the point at which it goes over. */
export function afterCutOver(definition: SinkDefinition, next: SinkInput): SinkDefinition {
  return {...definition, ...next, next: undefined};
}

export type SinkStatus = 'created' | 'starting' | 'running' | 'paused' | 'stalled' | 'dropped';

export interface SinkStatusChange {
  readonly sink: ObjectId;
  readonly status: SinkStatus;
  readonly error?: string | undefined;
  /** For `mz_sink_statuses.details`: `hints` (list), `retrying` (bool), `code` and what else explains the status. */
  readonly details?: Readonly<Record<string, unknown>> | undefined;
}

/** Growth since the last report. */
export interface SinkStatisticsDelta {
  readonly sink: ObjectId;
  readonly messagesStaged: number;
  readonly messagesCommitted: number;
  readonly bytesStaged: number;
  readonly bytesCommitted: number;
}
