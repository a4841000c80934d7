import {SqlError} from '../base/sql-error.ts';
import {createConnection, type KafkaConnectionOptions, type SqlPart} from '../catalog/commands.ts';
import type {CreateConnection, Name} from '../sql/ast.ts';
import {CONNECTION_TYPES, CONNECTION_WITH_OPTIONS} from '../sql/options/connection.ts';
import {readOptions} from '../sql/options/describe.ts';
import {probeBrokers} from '../targets/kafka/probe.ts';
import {ask, notYet, objectName} from './ask.ts';
import {namedConnections, resolveReferences} from './connection-references.ts';
import {createSqlParts} from './create-sql.ts';
import {type CheckedKafkaConnection, checkKafkaConnection} from './kafka-connection.ts';
import {checkOtherConnection} from './other-connections.ts';
import {reportTaken} from './report-taken.ts';
import type {Plan, StatementContext} from './statement.ts';

/** How long a statement waits for the metadata of a Kafka cluster. */
export const PROBE_TIMEOUT_MS = 10_000;

export function planCreateConnection(statement: CreateConnection): Plan {
  return {kind: 'run', tag: 'CREATE CONNECTION', run: context => run(statement, context)};
}

async function run(statement: CreateConnection, context: StatementContext): Promise<void> {
  checkOptionsFit(statement);
  const connection = await checkConnection(statement, context);
  if (await reportTaken(context, statement.name, statement.ifNotExists)) return;
  await validateBrokers(statement, connection, context);
  await storeConnection(statement, connection, (options, createSql) =>
    ask(
      context,
      createConnection({name: objectName(statement.name), ifNotExists: statement.ifNotExists, options, createSql}),
    ),
  );
}

/** A connection that may be stored, and what the names in its statement stand for. */
export interface UsableConnection {
  readonly kafka: CheckedKafkaConnection;
  readonly references: ReadonlyMap<Name, SqlPart>;
}

/**
 * What is wrong is called wrong; what is right and nothing can use yet is refused with 0A000, so that no connection is ever stored that
 * nothing has run with.
 */
export async function checkConnection(
  statement: CreateConnection,
  context: StatementContext,
): Promise<UsableConnection> {
  if (statement.type !== 'kafka') {
    checkOtherConnection(statement);
    await resolveReferences(statement.options, context);
    throw notYet(`${CONNECTION_TYPES[statement.type].title} connections are`);
  }
  const kafka = checkKafkaConnection(statement);
  const references = await resolveReferences(statement.options, context);
  refuseWhatDoesNotRunYet(statement, kafka);
  return {kafka, references};
}

/** Unless WITH (VALIDATE = false): asks the brokers, 58000 if none answers. */
export async function validateBrokers(
  statement: {readonly with: CreateConnection['with']},
  {kafka: {brokers}}: UsableConnection,
  context: StatementContext,
): Promise<void> {
  const {VALIDATE: validate = true} = readOptions(CONNECTION_WITH_OPTIONS, statement.with);
  if (validate) await context.outside(signal => probeBrokers(brokers, {signal, timeoutMs: PROBE_TIMEOUT_MS}));
}

export async function storeConnection(
  statement: CreateConnection,
  {kafka, references}: UsableConnection,
  store: (options: KafkaConnectionOptions, createSql: readonly SqlPart[]) => Promise<unknown>,
): Promise<void> {
  const {options} = kafka;
  const shown: CreateConnection = {...statement, ifNotExists: false, with: []};
  await store(
    {
      type: 'kafka',
      brokers: kafka.brokers,
      securityProtocol: kafka.securityProtocol,
      progressTopic: options['PROGRESS TOPIC'],
      progressTopicReplicationFactor: options['PROGRESS TOPIC REPLICATION FACTOR'],
    },
    createSqlParts(shown, new Map<Name, SqlPart>([...references, [statement.name, {ref: 'self'}]])),
  );
}

/** 42601 for options of another type of connection. */
export function checkOptionsFit({type, options}: CreateConnection): void {
  const {title, options: own} = CONNECTION_TYPES[type];
  const foreign = options.filter(({name}) => !Object.hasOwn(own, name));
  if (foreign.length === 0) return;
  const names = foreign.map(({name}) => name).join(', ');
  throw new SqlError('42601', `${title} connections do not support ${names} values`, {position: foreign[0].at});
}

function refuseWhatDoesNotRunYet({options}: CreateConnection, {securityProtocol}: CheckedKafkaConnection): void {
  const [connection] = namedConnections(options);
  if (connection !== undefined)
    throw notYet('tunnels and AWS connections of Kafka connections are', connection.name.at);
  if (securityProtocol !== 'PLAINTEXT') {
    throw notYet(
      `security protocol ${securityProtocol} of Kafka connections is`,
      undefined,
      "For brokers without TLS and passwords write SECURITY PROTOCOL = 'PLAINTEXT'.",
    );
  }
}
