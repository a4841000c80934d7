import {pino} from 'pino';
import type {SinkDefinition} from '../../src/catalog/definitions.ts';
import type {KafkaClient} from '../../src/targets/kafka/client.ts';
import {kafkaIds, type KafkaTimeouts} from '../../src/targets/kafka/client-config.ts';
import {KafkaTarget} from '../../src/targets/kafka/kafka-target.ts';
import {ITEMS} from '../targets/batches.ts';
import type {TargetWorld} from '../targets/target-tests.ts';
import {ModelBroker} from './broker.ts';
import type {ConformanceWorld} from './conformance.ts';
import {ModelClient} from './kafka-client.ts';
import {Life} from './life.ts';
import {CALM, type RequestFault, type RequestKind} from './network.ts';
import {RealTime} from './time.ts';
import {definitionOf} from './worker.ts';

/** The model broker in real time, where ordinary tests expect a broker. */
export class ModelWorld implements ConformanceWorld, TargetWorld {
  readonly #time = new RealTime();
  readonly #broker: ModelBroker;
  readonly #definition: SinkDefinition;
  #lost: RequestFault | undefined;
  #topics = 0;

  /** `markerDelayMs`: how long partitions take to hear of a commit. */
  constructor(markerDelayMs: number) {
    this.#broker = new ModelBroker({time: this.#time, markerDelay: () => markerDelayMs});
    const columns = ITEMS.columns.map((column, at) => ({...column, attnum: at + 1, notNull: at === 0}));
    const sink = {id: 'u1', relation: ITEMS.relation, createdAt: 0, envelope: 'upsert', partitions: 3} as const;
    this.#definition = {...definitionOf({...sink, withSnapshot: true, spooled: false}, false), columns};
  }

  client(writer: string, timeouts: Partial<KafkaTimeouts> = {}): KafkaClient {
    return new ModelClient({
      // Another process each.
      life: new Life('test', this.#time),
      broker: this.#broker,
      weather: {...CALM, fault: kind => this.#fault(kind)},
      transactionalId: writer,
      timeouts,
    });
  }

  #fault(kind: RequestKind): RequestFault | undefined {
    return kind === 'endTransaction' ? this.#lost : undefined;
  }

  topic(partitions = 1): Promise<string> {
    const name = `topic-${++this.#topics}`;
    this.#broker.createTopic(name, partitions);
    return Promise.resolve(name);
  }

  loseEnds(what: 'request' | 'answer'): () => void {
    this.#lost = {kind: what === 'request' ? 'loseRequest' : 'loseAnswer', cut: false};
    return () => {
      this.#lost = undefined;
    };
  }

  /** `disturb` may put itself between the target and its client. */
  target(
    changes: Partial<SinkDefinition> = {},
    disturb: (client: KafkaClient) => KafkaClient = client => client,
  ): KafkaTarget {
    const sink = {...this.#definition, ...changes};
    return new KafkaTarget({
      sink,
      environmentId: 'test',
      log: pino({level: 'silent'}),
      client: disturb(this.client(kafkaIds(sink, 'test').transactionalId)),
    });
  }

  rows(): Promise<ReadonlyMap<number, unknown>> {
    const {topic} = this.#definition.target;
    const rows = new Map<number, unknown>();
    for (const [partition] of (this.#broker.describe(topic)?.partitions ?? []).entries()) {
      for (const {message} of this.#broker.fetch(topic, partition, 0, Infinity).records) {
        const {id} = JSON.parse(String(message.key)) as {id: number};
        if (message.value === null) rows.delete(id);
        else rows.set(id, JSON.parse(String(message.value)));
      }
    }
    return Promise.resolve(rows);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }
}
