import type {KafkaClient} from '../../../src/targets/kafka/client.ts';
import {DEFAULT_TIMEOUTS, type KafkaTimeouts} from '../../../src/targets/kafka/client-config.ts';
import {LibrdkafkaClient} from '../../../src/targets/kafka/librdkafka-client.ts';
import {createTopic, freshTopicName, kafkaAddress} from '../../setup/kafka.ts';
import {registerConformanceCases, type ConformanceWorld} from '../../simulation/conformance.ts';
import {API, BrokerProxy} from './broker-proxy.ts';
import {KafkaWorld, log} from './world.ts';

/** The real broker, by way of a proxy that loses things. */
class RealWorld implements ConformanceWorld {
  readonly #proxy: BrokerProxy;
  readonly #prefix = freshTopicName('writer');

  private constructor(proxy: BrokerProxy) {
    this.#proxy = proxy;
  }

  static async open(): Promise<RealWorld> {
    return new RealWorld(await BrokerProxy.start(kafkaAddress()));
  }

  client(writer: string, timeouts: Partial<KafkaTimeouts> = {}): KafkaClient {
    const {connection} = new KafkaWorld({address: this.#proxy.address}).definition.target;
    const id = `${this.#prefix}-${writer}`;
    return new LibrdkafkaClient({
      connection,
      ids: {clientId: id, transactionalId: id, progressGroupId: id},
      compression: 'none',
      timeouts: {...DEFAULT_TIMEOUTS, ...timeouts},
      log,
    });
  }

  topic(partitions = 1): Promise<string> {
    return createTopic({partitions});
  }

  loseEnds(what: 'request' | 'answer'): () => void {
    const lost = what === 'request' ? this.#proxy.loseRequests : this.#proxy.loseAnswers;
    lost.add(API.endTxn);
    return () => lost.clear();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#proxy[Symbol.asyncDispose]();
  }
}

registerConformanceCases('a real broker', () => RealWorld.open());
