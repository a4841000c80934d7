import type {Logger} from 'pino';
import type {KafkaConnectionDefinition, CompressionType} from '../../catalog/definitions.ts';
import {producerConfig, readerConfig, type KafkaIds, type KafkaTimeouts} from './client-config.ts';
import type {CommittedReader, KafkaClient, TransactionalProducer} from './client.ts';
import {LibrdkafkaProducer} from './producer.ts';
import {LibrdkafkaReader} from './reader.ts';

export interface LibrdkafkaClientOptions {
  readonly connection: KafkaConnectionDefinition;
  readonly ids: KafkaIds;
  readonly compression: CompressionType;
  readonly timeouts: KafkaTimeouts;
  readonly log: Logger;
}

/** The client that is used outside of simulations. */
export class LibrdkafkaClient implements KafkaClient {
  readonly #options: LibrdkafkaClientOptions;

  constructor(options: LibrdkafkaClientOptions) {
    this.#options = options;
  }

  connectProducer(batchBytes: number, transactionMs: number): Promise<TransactionalProducer> {
    const {connection, timeouts, log} = this.#options;
    const config = producerConfig({...this.#options, batchBytes, transactionMs});
    return LibrdkafkaProducer.connect(config, connection.progressTopic, timeouts, log);
  }

  connectReader(): Promise<CommittedReader> {
    const {connection, ids, timeouts, log} = this.#options;
    return LibrdkafkaReader.connect(readerConfig(connection, ids), connection.progressTopic, timeouts.connect, log);
  }
}
