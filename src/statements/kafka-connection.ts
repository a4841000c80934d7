import {SqlError} from '../base/sql-error.ts';
import type {CreateConnection} from '../sql/ast.ts';
import {KAFKA_CONNECTION_OPTIONS} from '../sql/options/connection.ts';
import {type OptionsOf, readOptions} from '../sql/options/describe.ts';

export type KafkaOptions = OptionsOf<typeof KAFKA_CONNECTION_OPTIONS>;
export type SecurityProtocol = 'PLAINTEXT' | 'SSL' | 'SASL_PLAINTEXT' | 'SASL_SSL';

/** What the options of CREATE CONNECTION … TO KAFKA say, once they are known to fit together. */
export interface CheckedKafkaConnection {
  readonly options: KafkaOptions;
  readonly securityProtocol: SecurityProtocol;
  readonly brokers: readonly string[];
}

const PROTOCOLS: readonly SecurityProtocol[] = ['PLAINTEXT', 'SSL', 'SASL_PLAINTEXT', 'SASL_SSL'];
const MECHANISMS = ['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512'];
const SASL_OPTIONS = ['SASL MECHANISMS', 'SASL USERNAME', 'SASL PASSWORD'] as const;
const TLS_OPTIONS = ['SSL CERTIFICATE AUTHORITY', 'SSL CERTIFICATE', 'SSL KEY'] as const;

/** Every check that needs no other object, in the order of the table in docs/sql/create-connection.md. */
export function checkKafkaConnection(statement: CreateConnection): CheckedKafkaConnection {
  const options = readOptions(KAFKA_CONNECTION_OPTIONS, statement.options);
  const at = (name: string) => statement.options.find(option => option.name === name)?.at;
  const brokers = checkBrokers(options, at);
  const securityProtocol = checkSecurity(options, at);
  const factor = options['PROGRESS TOPIC REPLICATION FACTOR'];
  if (factor !== undefined && factor <= 0) {
    throw new SqlError('22023', 'invalid CONNECTION: PROGRESS TOPIC REPLICATION FACTOR must be greater than 0', {
      position: at('PROGRESS TOPIC REPLICATION FACTOR'),
    });
  }
  return {options, securityProtocol, brokers};
}

type At = (option: string) => number | undefined;

function checkBrokers(options: KafkaOptions, at: At): string[] {
  const ways = (['BROKER', 'BROKERS', 'AWS PRIVATELINK'] as const).filter(name => options[name] !== undefined);
  if (ways.length === 0) {
    throw new SqlError('42601', 'invalid CONNECTION: must set one of BROKER, BROKERS, or AWS PRIVATELINK');
  }
  if (ways.length > 1) {
    throw new SqlError('42601', 'invalid CONNECTION: can only set one of BROKER, BROKERS, or AWS PRIVATELINK', {
      position: at(ways[1]),
    });
  }
  const brokers = options.BROKER ?? options.BROKERS ?? [];
  if (options.BROKERS?.length === 0) {
    throw new SqlError('42601', 'invalid CONNECTION: must set one of BROKER, BROKERS, or AWS PRIVATELINK', {
      position: at('BROKERS'),
    });
  }
  for (const {address} of brokers) {
    if (address.includes(',')) {
      throw new SqlError(
        '22023',
        'invalid CONNECTION: cannot specify multiple Kafka broker addresses in one string.\n\n' +
          "Instead, specify BROKERS using multiple strings, e.g. BROKERS ('kafka:9092', 'kafka:9093')",
        {position: at(ways[0])},
      );
    }
    if (!/^(\[[0-9A-Fa-f:.%]+\]|[^\s:[\]/@]+)(:[0-9]{1,5})?$/.test(address) || portOf(address) > 65_535) {
      throw new SqlError('22023', `invalid CONNECTION: "${address}" is not the address of a Kafka broker`, {
        hint: "Write it as 'host:port', without a scheme.",
        position: at(ways[0]),
      });
    }
  }
  return brokers.map(({address}) => address);
}

const portOf = (address: string): number => Number(/:([0-9]+)$/.exec(address)?.[1] ?? 9092);

/** A protocol that is not given is never plaintext: nobody sends a password in clear by forgetting an option. */
function checkSecurity(options: KafkaOptions, at: At): SecurityProtocol {
  const given = options['SECURITY PROTOCOL']?.toUpperCase();
  const usesSasl = options['AWS CONNECTION'] !== undefined || SASL_OPTIONS.some(name => options[name] !== undefined);
  const protocol = given === undefined ? (usesSasl ? 'SASL_SSL' : 'SSL') : PROTOCOLS.find(name => name === given);
  if (protocol === undefined) {
    throw new SqlError('22023', `unknown security protocol: ${given}`, {
      hint: 'Protocols are PLAINTEXT, SSL, SASL_PLAINTEXT and SASL_SSL.',
      position: at('SECURITY PROTOCOL'),
    });
  }
  const tls = protocol === 'SSL' || protocol === 'SASL_SSL';
  const sasl = protocol === 'SASL_PLAINTEXT' || protocol === 'SASL_SSL';
  if (tls && options['SSL CERTIFICATE'] !== undefined && options['SSL KEY'] === undefined) {
    throw new SqlError('42601', 'SSL KEY must be specified with SSL CERTIFICATE', {position: at('SSL CERTIFICATE')});
  }
  const byAws = sasl && options['AWS CONNECTION'] !== undefined;
  if (sasl && !byAws) checkSasl(options, at);
  const allowed = new Set<string>([
    ...(tls ? ['SSL CERTIFICATE AUTHORITY', 'SSL CERTIFICATE'] : []),
    ...(tls && options['SSL CERTIFICATE'] !== undefined ? ['SSL KEY'] : []),
    ...(byAws ? ['AWS CONNECTION'] : sasl ? SASL_OPTIONS : []),
  ]);
  const leftover = [...TLS_OPTIONS, ...SASL_OPTIONS, 'AWS CONNECTION' as const].find(
    name => options[name] !== undefined && !allowed.has(name),
  );
  if (leftover !== undefined) {
    throw new SqlError('42601', `option ${leftover} not supported with this configuration`, {
      detail: `The security protocol is ${protocol}.`,
      position: at(leftover),
    });
  }
  return protocol;
}

function checkSasl(options: KafkaOptions, at: At): void {
  for (const name of SASL_OPTIONS) {
    if (options[name] === undefined) throw new SqlError('42601', `${name} must be specified`);
  }
  const mechanism = options['SASL MECHANISMS']!.toUpperCase();
  if (!MECHANISMS.includes(mechanism)) {
    throw new SqlError('22023', `unknown SASL mechanism: ${mechanism}`, {
      hint: 'Mechanisms are PLAIN, SCRAM-SHA-256 and SCRAM-SHA-512.',
      position: at('SASL MECHANISMS'),
    });
  }
}
