import {SqlError} from '../base/sql-error.ts';
import {
  type ConnectionDescription,
  createSink,
  describeCluster,
  describeConnection,
  type RelationDescription,
  type SqlPart,
} from '../catalog/commands.ts';
import type {ClusterDefinition} from '../catalog/definitions.ts';
import type {CreateSink, Name} from '../sql/ast.ts';
import {readOptions} from '../sql/options/describe.ts';
import {SINK_WITH_OPTIONS} from '../sql/options/sink.ts';
import {probeBrokers, type ProbeResult} from '../targets/kafka/probe.ts';
import {ask, describe, objectName, singleName} from './ask.ts';
import {checkSink} from './check-sink.ts';
import {PROBE_TIMEOUT_MS} from './create-connection.ts';
import {createSqlParts} from './create-sql.ts';
import {reportTaken} from './report-taken.ts';
import {noticeReplicaIdentity} from './sink-relation.ts';
import type {Plan, StatementContext} from './statement.ts';

export function planCreateSink(statement: CreateSink): Plan {
  return {kind: 'run', tag: 'CREATE SINK', run: context => run(statement, context)};
}

/**
 * The checks stand in the order in which users of Materialize know their errors. Only the contact with Kafka comes last instead of
 * first: what needs no network shall not wait for it.
 */
async function run(sink: CreateSink, context: StatementContext): Promise<void> {
  const name = sink.name!;
  const connection = await kafkaConnection(sink.connection, context);
  if (await reportTaken(context, name, sink.ifNotExists)) return;
  const clusterName = sink.cluster && singleName(sink.cluster, 'cluster');
  const cluster = await describe<ClusterDefinition>(context, describeCluster(clusterName), sink.cluster?.at);
  const {relation, key, envelope, kafka, formats} = await checkSink(sink, context);

  const {brokers} = connection.definition;
  const probed = await context.outside(signal =>
    probeBrokers(brokers, {signal, timeoutMs: PROBE_TIMEOUT_MS, topic: kafka.topic}),
  );
  const id = await ask(
    context,
    createSink({
      name: objectName(name),
      ifNotExists: sink.ifNotExists,
      cluster: cluster.id,
      relation: relation.oid,
      connection: connection.id,
      key,
      keyEnforced: sink.key?.notEnforced !== true,
      envelope,
      snapshot: readOptions(SINK_WITH_OPTIONS, sink.with).SNAPSHOT ?? true,
      target: {...kafka, keyFormat: formats.key, valueFormat: formats.value},
      createSql: createSql(sink, connection, cluster, relation),
    }),
  );
  if (id === null) return;
  await noticeReplicaIdentity(relation, context);
  if (envelope === 'upsert') noticeCompaction(kafka.topic, kafka.topicConfig, probed, context);
}

async function kafkaConnection(name: Name, context: StatementContext): Promise<ConnectionDescription> {
  const connection = await describe<ConnectionDescription>(context, describeConnection(objectName(name)), name.at);
  if ((connection.definition.type as string) === 'kafka') return connection;
  throw new SqlError('42809', `${connection.name} is not a KAFKA CONNECTION`, {position: name.at});
}

function createSql(
  sink: CreateSink,
  connection: ConnectionDescription,
  cluster: ClusterDefinition,
  relation: RelationDescription,
): SqlPart[] {
  const clusterName: Name = sink.cluster ?? {parts: [cluster.name], at: 0};
  const references = new Map<Name, SqlPart>([
    [sink.name!, {ref: 'self'}],
    [clusterName, {ref: 'cluster', id: cluster.id}],
    [sink.from, {ref: 'relation', oid: relation.oid}],
    [sink.connection, {ref: 'item', id: connection.id}],
  ]);
  for (const column of sink.key?.columns ?? []) {
    const {attnum} = relation.columns.find(({name}) => name === column.parts.join('.'))!;
    references.set(column, {ref: 'column', oid: relation.oid, attnum});
  }
  return createSqlParts({...sink, ifNotExists: false, cluster: clusterName}, references);
}

/** A topic that is there is used as it is; what we would create is worth a word, because retention would remove live rows. */
function noticeCompaction(
  topic: string,
  config: Readonly<Record<string, string>>,
  probed: ProbeResult,
  context: StatementContext,
): void {
  if (probed.topicPartitions !== undefined || (config['cleanup.policy'] ?? '').includes('compact')) return;
  context.notice({
    severity: 'NOTICE',
    code: '00000',
    message: `topic "${topic}" will be created without cleanup.policy=compact`,
    detail:
      'Unless the broker compacts by default, the last value of a key disappears when it is older than the retention.',
    hint: "Add TOPIC CONFIG = MAP['cleanup.policy' => 'compact'] to the options of the sink.",
  });
}
