import {SqlError} from '../base/sql-error.ts';
import type {KafkaSinkOptions, RelationDescription} from '../catalog/commands.ts';
import type {CompressionType} from '../catalog/definitions.ts';
import type {CreateSink} from '../sql/ast.ts';
import {readOptions} from '../sql/options/describe.ts';
import {KAFKA_SINK_OPTIONS, SINK_WITH_OPTIONS} from '../sql/options/sink.ts';
import {notYet} from './ask.ts';
import {checkPartitionBy} from './partition-by.ts';
import type {StatementContext} from './statement.ts';

const COMPRESSIONS: readonly CompressionType[] = ['none', 'gzip', 'snappy', 'lz4', 'zstd'];
const HOUR_MS = 3_600_000;
const DEFAULT_REFRESH_MS = 30_000;

/** The options of CREATE SINK … INTO KAFKA, checked in the order of the table in docs/sql/create-sink.md. */
export async function checkKafkaSink(
  sink: CreateSink,
  relation: RelationDescription,
  key: readonly string[] | undefined,
  context: StatementContext,
): Promise<Omit<KafkaSinkOptions, 'keyFormat' | 'valueFormat'>> {
  const options = readOptions(KAFKA_SINK_OPTIONS, sink.options);
  const withOptions = readOptions(SINK_WITH_OPTIONS, sink.with);
  const at = (name: string) => [...sink.options, ...sink.with].find(option => option.name === name)?.at;
  const refused = (name: string, problem: string) => new SqlError('22023', `${name} ${problem}`, {position: at(name)});

  if (withOptions['COMMIT INTERVAL'] !== undefined) {
    throw new SqlError('0A000', 'COMMIT INTERVAL option is not supported with KAFKA sinks', {
      position: at('COMMIT INTERVAL'),
    });
  }
  if (withOptions.VERSION !== undefined) throw notYet('VERSION option of sinks is', at('VERSION'));
  for (const prefix of ['TRANSACTIONAL ID PREFIX', 'PROGRESS GROUP ID PREFIX'] as const) {
    if (options['LEGACY IDS'] === true && options[prefix] !== undefined) {
      throw new SqlError('42601', `LEGACY IDS cannot be used at the same time as ${prefix}`, {position: at(prefix)});
    }
  }
  const {TOPIC: topic} = options;
  if (topic === undefined) {
    throw new SqlError('42601', 'KAFKA CONNECTION must specify TOPIC', {position: sink.connection.at});
  }
  checkTopicName(topic, at('TOPIC'));
  const compression = checkCompression(options['COMPRESSION TYPE'], at('COMPRESSION TYPE'));
  const refresh = options['TOPIC METADATA REFRESH INTERVAL'];
  const metadataRefreshMs = refresh === undefined ? DEFAULT_REFRESH_MS : await milliseconds(refresh, context);
  if (metadataRefreshMs > HOUR_MS) throw refused('TOPIC METADATA REFRESH INTERVAL', 'cannot be greater than 1 hour');
  if (metadataRefreshMs < 1) throw refused('TOPIC METADATA REFRESH INTERVAL', 'must be greater than 0');
  for (const name of ['TOPIC PARTITION COUNT', 'TOPIC REPLICATION FACTOR'] as const) {
    const count = options[name];
    if (count !== undefined && (count <= 0 || count > 0x7fffffff)) throw refused(name, 'must be a positive integer');
  }
  const partitionBy = options['PARTITION BY'];
  if (partitionBy !== undefined) {
    const position = at('PARTITION BY');
    await checkPartitionBy({sql: partitionBy, at: position, relation, key, envelope: sink.envelope}, context);
    throw notYet('PARTITION BY in sinks is', position);
  }
  return {
    type: 'kafka',
    topic,
    compression,
    transactionalIdPrefix: options['TRANSACTIONAL ID PREFIX'] ?? '',
    progressGroupIdPrefix: options['PROGRESS GROUP ID PREFIX'] ?? '',
    legacyIds: options['LEGACY IDS'] ?? false,
    partitionCount: options['TOPIC PARTITION COUNT'],
    replicationFactor: options['TOPIC REPLICATION FACTOR'],
    topicConfig: options['TOPIC CONFIG'] ?? {},
    metadataRefreshMs,
  };
}

/** What every broker refuses (org.apache.kafka.common.internals.Topic): better said now than as a stalled sink. */
function checkTopicName(topic: string, position: number | undefined): void {
  if (/^[A-Za-z0-9._-]{1,249}$/.test(topic) && topic !== '.' && topic !== '..') return;
  throw new SqlError('22023', `invalid topic name "${topic}"`, {
    detail: 'The name of a Kafka topic has 1 to 249 letters, digits, dots, underscores and hyphens.',
    position,
  });
}

function checkCompression(given: string | undefined, position: number | undefined): CompressionType {
  const compression = COMPRESSIONS.find(type => type === (given ?? 'lz4').toLowerCase());
  if (compression !== undefined) return compression;
  throw new SqlError('22023', `unknown compression type "${given}"`, {
    hint: 'Compression types are none, gzip, snappy, lz4 and zstd.',
    position,
  });
}

async function milliseconds(interval: string, context: StatementContext): Promise<number> {
  const {rows} = await context.query('SELECT pg_catalog.round(extract(epoch FROM $1::interval) * 1000)', [interval]);
  return Number(rows[0][0]);
}
