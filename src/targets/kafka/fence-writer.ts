import type {Logger} from 'pino';
import type {SinkDefinition} from '../../catalog/definitions.ts';
import {DEFAULT_TIMEOUTS, kafkaIds, MAX_BATCH_BYTES} from './client-config.ts';
import {LibrdkafkaClient} from './librdkafka-client.ts';

/** Of brokers that are there. */
const TIMEOUTS = {...DEFAULT_TIMEOUTS, connect: 5_000, init: 10_000};

export interface GoneSink extends Pick<SinkDefinition, 'id' | 'target'> {
  readonly environmentId: string;
}

/**
 * Ends what a dead writer of a sink that is gone may have open: until the broker times it out, readers of committed data wait for it,
 * those of other sinks' progress among them. Nothing is made at the broker. Rejects with `KafkaError`.
 */
export async function fenceWriter(sink: GoneSink, log: Logger): Promise<void> {
  const {connection, compression} = sink.target;
  const ids = kafkaIds(sink, sink.environmentId);
  const client = new LibrdkafkaClient({connection, ids, compression, timeouts: TIMEOUTS, log});
  const producer = await client.connectProducer(MAX_BATCH_BYTES, TIMEOUTS.transaction);
  try {
    await producer.initTransactions();
  } finally {
    await producer.close();
  }
}
