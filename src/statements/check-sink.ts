import {SqlError} from '../base/sql-error.ts';
import {
  type ConnectionDescription,
  describeConnection,
  describeRelation,
  type KafkaSinkOptions,
  type RelationDescription,
} from '../catalog/commands.ts';
import type {SinkDefinition} from '../catalog/definitions.ts';
import type {CreateSink, Name} from '../sql/ast.ts';
import {describe, objectName} from './ask.ts';
import {checkDocNames} from './doc-names.ts';
import {checkKafkaSink} from './kafka-sink.ts';
import {checkFormats, registriesOf, type SinkFormats} from './sink-format.ts';
import {isProvedUnique, keyColumns, keyNotEnforced, keyNotProved, UPSERT_KEY_HINT} from './sink-key.ts';
import {refuseTypes} from './sink-relation.ts';
import type {StatementContext} from './statement.ts';

export interface CheckedSink {
  readonly relation: RelationDescription;
  /** Column names. */
  readonly key: readonly string[] | undefined;
  readonly envelope: SinkDefinition['envelope'];
  readonly kafka: Omit<KafkaSinkOptions, 'keyFormat' | 'valueFormat'>;
  readonly formats: SinkFormats;
}

/** What CREATE SINK says of its relation, its key and its target, checked in the order of the table in docs/sql/create-sink.md. */
export async function checkSink(sink: CreateSink, context: StatementContext): Promise<CheckedSink> {
  const {envelope} = sink;
  if (envelope === undefined) {
    throw new SqlError('42601', 'ENVELOPE clause is required', {hint: 'Add ENVELOPE UPSERT or ENVELOPE DEBEZIUM.'});
  }
  const relation = await describe<RelationDescription>(context, describeRelation(objectName(sink.from)), sink.from.at);
  const key = checkKey(sink, relation, context);
  checkHeaders(sink, relation);
  if (envelope === 'upsert' && key === undefined) {
    throw new SqlError('42601', 'upsert sinks must specify a key', {hint: UPSERT_KEY_HINT});
  }
  const kafka = await checkKafkaSink(sink, relation, key, context);
  for (const registry of registriesOf(sink)) await requireRegistry(registry, context);
  await checkDocNames(sink, context);
  const formats = checkFormats(sink, relation.columns.length);
  await refuseTypes(relation, context);
  return {relation, key, envelope, kafka, formats};
}

async function requireRegistry(name: Name, context: StatementContext): Promise<void> {
  const connection = await describe<ConnectionDescription>(context, describeConnection(objectName(name)), name.at);
  if ((connection.definition.type as string) === 'confluent-schema-registry') return;
  throw new SqlError('42809', `"${connection.name}" is not a schema registry connection`, {position: name.at});
}

/** Undefined: the sink has none. Says in a NOTICE what NOT ENFORCED lets through. */
function checkKey(
  {key, envelope}: CreateSink,
  {columns, keys}: RelationDescription,
  context: StatementContext,
): readonly string[] | undefined {
  if (key === undefined) return undefined;
  const names = keyColumns(key, columns);
  if (envelope === 'upsert' && !isProvedUnique(names, keys)) {
    if (!key.notEnforced) throw keyNotProved(names, keys, key.columns[0].at);
    context.notice(keyNotEnforced(names, keys));
  }
  return names;
}

function checkHeaders({headers, envelope}: CreateSink, {columns}: RelationDescription): void {
  if (headers === undefined) return;
  const position = headers.at;
  if (envelope === 'debezium') {
    throw new SqlError('0A000', 'HEADERS option is not supported with ENVELOPE DEBEZIUM', {position});
  }
  const name = headers.parts.join('.');
  if (!columns.some(column => column.name === name)) {
    throw new SqlError('42703', `HEADERS column (${name}) is unknown`, {position});
  }
  // There is no map type here yet, so no column can have it.
  throw new SqlError('42804', 'HEADERS column must have type map[text => text] or map[text => bytea]', {position});
}
