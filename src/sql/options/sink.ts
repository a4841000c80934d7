import type {OptionTable} from './describe.ts';

/** `INTO KAFKA CONNECTION c (…)` */
export const KAFKA_SINK_OPTIONS = {
  TOPIC: {
    value: 'text',
    required: true,
    text: 'Topic to write to, taken as it is. It is created if it does not exist.',
  },
  'COMPRESSION TYPE': {
    value: 'text',
    default: 'lz4',
    text: 'How batches are compressed: `none`, `gzip`, `snappy`, `lz4` or `zstd`.',
  },
  'TRANSACTIONAL ID PREFIX': {
    value: 'text',
    text: 'Put in front of the transactional id that the sink uses, so that a prefixed ACL can cover it.',
  },
  'PROGRESS GROUP ID PREFIX': {
    value: 'text',
    text: 'Put in front of the id of the consumer group that reads the progress topic, so that a prefixed ACL can cover it.',
  },
  'LEGACY IDS': {
    value: 'boolean',
    default: 'false',
    text: 'Use ids without the environment in them. Excludes both prefixes.',
  },
  'PARTITION BY': {
    value: 'expression',
    supported: false,
    text: 'Expression over the row, cast to an unsigned number, whose remainder by the number of partitions is the partition. Default: a hash of the encoded key.',
  },
  'TOPIC PARTITION COUNT': {
    value: 'integer',
    text: 'Partitions of a topic that the sink creates. Default: the broker’s `num.partitions`.',
  },
  'TOPIC REPLICATION FACTOR': {
    value: 'integer',
    text: 'Replicas of a topic that the sink creates. Default: the broker’s `default.replication.factor`.',
  },
  'TOPIC CONFIG': {
    value: 'map',
    text: "Configuration of a topic that the sink creates, for example `MAP['cleanup.policy' => 'compact']`.",
  },
  'TOPIC METADATA REFRESH INTERVAL': {
    value: 'interval',
    default: '30s',
    text: 'How often the number of partitions is read again. At most one hour.',
  },
} as const satisfies OptionTable;

/** `… CONFLUENT SCHEMA REGISTRY CONNECTION c (…)` */
export const AVRO_OPTIONS = {
  'AVRO KEY FULLNAME': {value: 'text', default: 'row', text: 'Full name of the key’s record. Needs a KEY clause.'},
  'AVRO VALUE FULLNAME': {
    value: 'text',
    default: 'envelope',
    text: 'Full name of the value’s record. With a KEY clause both names are given or none.',
  },
  'NULL DEFAULTS': {value: 'boolean', default: 'false', text: 'Give every nullable field the default null.'},
  'DOC ON TYPE': {
    value: 'text',
    target: 'type',
    text: 'Documentation of a relation or named type, in key and value. Default: its COMMENT.',
  },
  'KEY DOC ON TYPE': {value: 'text', target: 'type', text: 'The same, for the key’s schema only.'},
  'VALUE DOC ON TYPE': {value: 'text', target: 'type', text: 'The same, for the value’s schema only.'},
  'DOC ON COLUMN': {
    value: 'text',
    target: 'column',
    text: 'Documentation of a column, in key and value. Default: its COMMENT.',
  },
  'KEY DOC ON COLUMN': {value: 'text', target: 'column', text: 'The same, for the key’s schema only.'},
  'VALUE DOC ON COLUMN': {value: 'text', target: 'column', text: 'The same, for the value’s schema only.'},
  'KEY COMPATIBILITY LEVEL': {
    value: 'text',
    text: 'Level of the key’s subject, set if it has none of its own: `BACKWARD`, `BACKWARD_TRANSITIVE`, `FORWARD`, `FORWARD_TRANSITIVE`, `FULL`, `FULL_TRANSITIVE` or `NONE`.',
  },
  'VALUE COMPATIBILITY LEVEL': {value: 'text', text: 'The same for the value’s subject.'},
} as const satisfies OptionTable;

/** `CREATE SINK … WITH (…)` */
export const SINK_WITH_OPTIONS = {
  SNAPSHOT: {
    value: 'boolean',
    default: 'true',
    text: 'Whether the rows that the relation holds when the sink is created are written first.',
  },
  VERSION: {
    value: 'integer',
    supported: false,
    text: 'Kept for statements that SHOW CREATE SINK of another system printed.',
  },
  'PARTITION STRATEGY': {value: 'text', text: 'Accepted and ignored.'},
  'COMMIT INTERVAL': {value: 'interval', supported: false, text: 'For sinks that write files.'},
} as const satisfies OptionTable;
