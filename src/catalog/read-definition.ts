import type {KafkaConnectionDefinition, KafkaSinkDefinition} from './definitions.ts';

/**
 * Definitions come out of the catalog as JSON. They are written by statements that have checked every option, but the server
 * functions may also be called directly, so nothing is believed here: what does not fit throws and stalls its one sink.
 */
export function readKafkaConnection(
  connection: {readonly id: string; readonly name: string; readonly definition: unknown},
  environmentId: string,
): KafkaConnectionDefinition {
  const options = new Fields(connection.definition, `connection ${connection.name}`);
  options.oneOf('type', ['kafka']);
  const brokers = options.strings('brokers');
  if (brokers.length === 0) throw options.error('brokers');
  return {
    type: 'kafka',
    id: connection.id,
    name: connection.name,
    brokers,
    securityProtocol: options.oneOf('securityProtocol', ['PLAINTEXT', 'SSL', 'SASL_PLAINTEXT', 'SASL_SSL']),
    progressTopic: options.optionalString('progressTopic') ?? `_materialize-progress-${environmentId}-${connection.id}`,
    progressTopicReplicationFactor: options.optionalInteger('progressTopicReplicationFactor'),
  };
}

export function readKafkaSink(
  sink: {readonly name: string; readonly target: unknown},
  connection: KafkaConnectionDefinition,
): KafkaSinkDefinition {
  const options = new Fields(sink.target, `sink ${sink.name}`);
  return {
    type: options.oneOf('type', ['kafka']),
    topic: options.string('topic'),
    compression: options.oneOf('compression', ['none', 'gzip', 'snappy', 'lz4', 'zstd']),
    transactionalIdPrefix: options.string('transactionalIdPrefix'),
    progressGroupIdPrefix: options.string('progressGroupIdPrefix'),
    legacyIds: options.boolean('legacyIds'),
    partitionCount: options.optionalInteger('partitionCount'),
    replicationFactor: options.optionalInteger('replicationFactor'),
    topicConfig: options.pairs('topicConfig'),
    metadataRefreshMs: options.integer('metadataRefreshMs'),
    keyFormat:
      options.optionalString('keyFormat') === undefined ? undefined : options.oneOf('keyFormat', ['json'] as const),
    valueFormat: options.oneOf('valueFormat', ['json']),
    connection,
  };
}

/** The members of a JSON object, each with the kind that it must have. Every method throws if it has not. */
export class Fields {
  readonly #of: string;
  readonly #fields: Readonly<Record<string, unknown>>;

  constructor(json: unknown, of: string) {
    if (typeof json !== 'object' || json === null || Array.isArray(json))
      throw new Error(`definition of ${of} is not an object`);
    this.#of = of;
    this.#fields = json as Record<string, unknown>;
  }

  error(name: string): Error {
    return new Error(`definition of ${this.#of} has no usable "${name}"`);
  }

  get(name: string): unknown {
    return this.#fields[name];
  }

  string(name: string): string {
    const value = this.#fields[name];
    if (typeof value !== 'string') throw this.error(name);
    return value;
  }

  optionalString(name: string): string | undefined {
    return this.#isAbsent(name) ? undefined : this.string(name);
  }

  boolean(name: string): boolean {
    const value = this.#fields[name];
    if (typeof value !== 'boolean') throw this.error(name);
    return value;
  }

  integer(name: string): number {
    const value = this.#fields[name];
    if (!Number.isSafeInteger(value)) throw this.error(name);
    return value as number;
  }

  optionalInteger(name: string): number | undefined {
    return this.#isAbsent(name) ? undefined : this.integer(name);
  }

  oneOf<T extends string>(name: string, values: readonly T[]): T {
    const value = values.find(candidate => candidate === this.#fields[name]);
    if (value === undefined) throw this.error(name);
    return value;
  }

  strings(name: string): readonly string[] {
    const value = this.#fields[name];
    if (!Array.isArray(value) || !value.every(element => typeof element === 'string')) throw this.error(name);
    return value;
  }

  /** `[[name, value], …]`, see `createSink` in commands.ts. */
  pairs(name: string): Readonly<Record<string, string>> {
    const value = this.#fields[name];
    const isPair = (pair: unknown): pair is [string, string] =>
      Array.isArray(pair) && pair.length === 2 && pair.every(part => typeof part === 'string');
    if (!Array.isArray(value) || !value.every(isPair)) throw this.error(name);
    return Object.fromEntries(value);
  }

  #isAbsent(name: string): boolean {
    return this.#fields[name] === undefined || this.#fields[name] === null;
  }
}
