import {SqlError} from '../base/sql-error.ts';
import type {AlterSinkOptions, AlterSinkSetFrom, CreateSink, ExplainSchema, Format, Name, Unsupported} from './ast.ts';
import {AVRO_OPTIONS, KAFKA_SINK_OPTIONS, SINK_WITH_OPTIONS} from './options/sink.ts';
import {parseOptions, parseWith} from './parse-options.ts';
import type {TokenStream} from './token-stream.ts';

const CLAUSE_ORDER =
  'The clauses of CREATE SINK stand in this order: IN CLUSTER, FROM, INTO, KEY, HEADERS, FORMAT, ENVELOPE, WITH.';

/** Behind CREATE SINK. */
export function parseCreateSink(tokens: TokenStream, nameIsOptional = false): CreateSink | Unsupported {
  const ifNotExists = tokens.take('IF NOT EXISTS');
  const name = parseSinkName(tokens, nameIsOptional);
  const cluster = tokens.take('IN CLUSTER') ? tokens.name('cluster name') : undefined;
  tokens.expect('FROM');
  const from = tokens.name('relation name');
  tokens.expect('INTO');
  if (tokens.sees('ICEBERG')) return {kind: 'unsupported', what: 'sinks into Iceberg are', at: tokens.position};
  if (!tokens.take('KAFKA')) throw tokens.unexpected('KAFKA');
  tokens.expect('CONNECTION');
  const connection = tokens.name('connection name');
  const options = tokens.seesSymbol('(') ? parseOptions(tokens, {table: KAFKA_SINK_OPTIONS, owner: 'Kafka sinks'}) : [];
  const key = parseKey(tokens);
  const headers = tokens.take('HEADERS') ? tokens.name('column name') : undefined;
  const format = parseFormats(tokens);
  const envelope = parseEnvelope(tokens);
  const withOptions = parseWith(tokens, SINK_WITH_OPTIONS, 'sinks');
  tokens.expectEnd(CLAUSE_ORDER);
  return {
    kind: 'createSink',
    ifNotExists,
    name,
    cluster,
    from,
    connection,
    options,
    key,
    headers,
    format,
    envelope,
    with: withOptions,
  };
}

function parseSinkName(tokens: TokenStream, optional: boolean): Name | undefined {
  if (tokens.sees('FROM') || tokens.sees('IN CLUSTER')) {
    if (optional) return undefined;
    throw new SqlError('42601', 'unspecified name for sink', {position: tokens.position});
  }
  return tokens.name('sink name');
}

function parseKey(tokens: TokenStream): CreateSink['key'] {
  // KEY FORMAT begins the next clause.
  if (!tokens.sees('KEY') || tokens.sees('KEY FORMAT')) return undefined;
  tokens.skip();
  tokens.expectSymbol('(');
  const columns = tokens.list(() => tokens.name('column name'));
  tokens.expectSymbol(')');
  return {columns, notEnforced: tokens.take('NOT ENFORCED')};
}

function parseFormats(tokens: TokenStream): CreateSink['format'] {
  if (tokens.take('FORMAT')) return {kind: 'one', format: parseFormat(tokens)};
  if (!tokens.take('KEY FORMAT')) return undefined;
  const key = parseFormat(tokens);
  tokens.expect('VALUE FORMAT');
  return {kind: 'keyValue', key, value: parseFormat(tokens)};
}

function parseFormat(tokens: TokenStream): Format {
  const at = tokens.position;
  if (tokens.take('JSON')) return {kind: 'json', array: tokens.take('ARRAY')};
  if (tokens.take('TEXT')) return {kind: 'text'};
  if (tokens.take('BYTES')) return {kind: 'bytes'};
  for (const other of ['CSV', 'PROTOBUF', 'REGEX']) {
    if (tokens.take(other)) throw new SqlError('0A000', `sink format ${other} not yet supported`, {position: at});
  }
  if (!tokens.take('AVRO')) throw tokens.unexpected('one of AVRO or BYTES or JSON or TEXT');
  tokens.expect('USING CONFLUENT SCHEMA REGISTRY CONNECTION');
  const registry = tokens.name('connection name');
  const options = tokens.seesSymbol('(')
    ? parseOptions(tokens, {table: AVRO_OPTIONS, owner: 'the Avro format of sinks'})
    : [];
  for (const option of ['SEED', 'KEY STRATEGY', 'VALUE STRATEGY']) {
    if (tokens.sees(option)) {
      throw new SqlError('42601', `${option} option does not make sense with sinks`, {position: tokens.position});
    }
  }
  return {kind: 'avro', registry, options};
}

function parseEnvelope(tokens: TokenStream): CreateSink['envelope'] {
  if (!tokens.take('ENVELOPE')) return undefined;
  if (tokens.take('UPSERT')) return 'upsert';
  if (tokens.take('DEBEZIUM')) return 'debezium';
  throw tokens.unexpected('one of DEBEZIUM or UPSERT');
}

/** Behind `ALTER SINK [IF EXISTS] name SET` or `RESET`. */
export function parseAlterSink(
  tokens: TokenStream,
  ifExists: boolean,
  name: Name,
  action: 'set' | 'reset',
): AlterSinkSetFrom | AlterSinkOptions {
  if (action === 'set' && tokens.take('FROM')) {
    return {kind: 'alterSinkSetFrom', ifExists, name, from: tokens.name('relation name')};
  }
  const options = parseOptions(tokens, {
    table: {...SINK_WITH_OPTIONS, ...KAFKA_SINK_OPTIONS},
    owner: 'sinks',
    withoutValues: action === 'reset',
  });
  return {kind: 'alterSinkOptions', ifExists, name, action, options};
}

/** Behind EXPLAIN. */
export function parseExplainSchema(tokens: TokenStream): ExplainSchema | Unsupported {
  const part = tokens.take('KEY') ? 'key' : tokens.take('VALUE') ? 'value' : 'value';
  tokens.expect('SCHEMA');
  const json = tokens.take('AS JSON');
  tokens.expect('FOR CREATE SINK');
  const sink = parseCreateSink(tokens, true);
  return sink.kind === 'unsupported' ? sink : {kind: 'explainSchema', part, json, sink};
}
