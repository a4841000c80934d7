import kafka from '@confluentinc/kafka-javascript';
import type {EofEvent, KafkaConsumer, Message, Metadata, WatermarkOffsets} from '@confluentinc/kafka-javascript';
import {exactJson} from './exact-json.ts';
import {until} from './until.ts';

/** One call into the client waits this long for a message, and holds a thread of the pool meanwhile. */
const CONSUME_MS = 100;
const BATCH = 2000;
const REQUEST_MS = 10_000;

export interface OpenReader {
  /** host:port */
  readonly broker: string;
  readonly topics: readonly string[];
  readonly limitMs: number;
  readonly signal: AbortSignal;
}

/**
 * An ordinary consumer with `read_committed`, for the demo's topics from their beginning on. It keeps what a table on the other
 * side would: the last value of each key. It shares nothing with what writes the topics, not even helpers.
 */
export class TopicReader {
  readonly #consumer: KafkaConsumer;
  /** By topic, then by `exactJson` of the key. */
  readonly #contents = new Map<string, Map<string, string>>();
  /** By topic and partition: the next offset. Ends of transactions take offsets too, which no message shows. */
  readonly #positions = new Map<string, number>();
  readonly #closing = new AbortController();
  readonly #reading: Promise<void>;
  #messages = 0;

  private constructor(consumer: KafkaConsumer, partitions: ReadonlyMap<string, readonly number[]>) {
    this.#consumer = consumer;
    consumer.setDefaultConsumeTimeout(CONSUME_MS);
    consumer.on('partition.eof', ({topic, partition, offset}: EofEvent) => this.#advance(topic, partition, offset));
    for (const topic of partitions.keys()) this.#contents.set(topic, new Map());
    consumer.assign([...partitions].flatMap(([topic, ids]) => ids.map(partition => ({topic, partition, offset: 0}))));
    this.#reading = this.#read();
    // Whoever waits for the reader hears of its failure; until then it must not end the process.
    this.#reading.catch(() => undefined);
  }

  /**
   * Waits until the topics exist, which is when their sinks have created them; undefined: they do not after `limitMs`. Throws the
   * reason of `signal` when that is aborted.
   */
  static async open({broker, topics, limitMs, signal}: OpenReader): Promise<TopicReader | undefined> {
    const consumer = new kafka.KafkaConsumer({
      'bootstrap.servers': broker,
      // The client demands a name; no group is joined and no offset committed.
      'group.id': 'sluice-demo',
      'enable.auto.commit': false,
      'isolation.level': 'read_committed',
      'enable.partition.eof': true,
      'allow.auto.create.topics': false,
      'fetch.wait.max.ms': 100,
      'client.id': 'sluice-demo',
    });
    await called<Metadata>(done => consumer.connect({topic: topics[0], timeout: REQUEST_MS}, done));
    try {
      const partitions = new Map<string, readonly number[]>();
      for (const topic of topics) partitions.set(topic, await partitionsOf(consumer, topic, limitMs, signal));
      if ([...partitions.values()].every(ids => ids.length > 0)) return new TopicReader(consumer, partitions);
      await disconnect(consumer);
      return undefined;
    } catch (error) {
      await disconnect(consumer);
      throw error;
    }
  }

  /** Read so far, deletions included. */
  get messages(): number {
    return this.#messages;
  }

  /** That are there now. */
  get keys(): number {
    return [...this.#contents.values()].reduce((sum, {size}) => sum + size, 0);
  }

  contents(topic: string): ReadonlyMap<string, string> {
    return this.#contents.get(topic) ?? new Map<string, string>();
  }

  /** Rejects when the client fails. */
  get ended(): Promise<void> {
    return this.#reading;
  }

  /** Whether everything that is committed at this moment has been read. */
  async isAtEnd(): Promise<boolean> {
    for (const {topic, partition} of this.#consumer.assignments()) {
      const {highOffset} = await called<WatermarkOffsets>(done =>
        // With read_committed: the end of what is decided.
        this.#consumer.queryWatermarkOffsets(topic, partition, REQUEST_MS, done),
      );
      if ((this.#positions.get(`${topic}/${partition}`) ?? 0) < highOffset) return false;
    }
    return true;
  }

  async close(): Promise<void> {
    this.#closing.abort();
    await this.#reading.catch(() => undefined);
    await disconnect(this.#consumer);
  }

  async #read(): Promise<void> {
    while (!this.#closing.signal.aborted) {
      const messages = await called<Message[]>(done => this.#consumer.consume(BATCH, done));
      for (const message of messages) this.#take(message);
    }
  }

  #take({topic, partition, offset, key, value}: Message): void {
    const contents = this.#contents.get(topic)!;
    const name = keyName(key);
    if (value === null) contents.delete(name);
    else contents.set(name, value.toString());
    this.#messages++;
    this.#advance(topic, partition, offset + 1);
  }

  #advance(topic: string, partition: number, position: number): void {
    const name = `${topic}/${partition}`;
    this.#positions.set(name, Math.max(position, this.#positions.get(name) ?? 0));
  }
}

/** What is no JSON is a key like any other, and will not be found in the source. */
function keyName(key: Message['key']): string {
  if (key === null || key === undefined) return 'without a key';
  const text = key.toString();
  try {
    return exactJson(text);
  } catch {
    return text;
  }
}

/** None: the topic is not there after all that time. */
async function partitionsOf(
  consumer: KafkaConsumer,
  topic: string,
  limitMs: number,
  signal: AbortSignal,
): Promise<number[]> {
  let found: number[] = [];
  await until(
    limitMs,
    async () => {
      const {topics} = await called<Metadata>(done => consumer.getMetadata({topic, timeout: REQUEST_MS}, done));
      found = (topics.find(({name}) => name === topic)?.partitions ?? []).map(({id}) => id);
      return found.length > 0;
    },
    signal,
  );
  return found;
}

async function disconnect(consumer: KafkaConsumer): Promise<void> {
  await new Promise<void>(resolve => {
    consumer.disconnect(() => resolve());
  });
}

function called<T>(call: (done: (error: unknown, result: T) => void) => unknown): Promise<T> {
  return new Promise((resolve, reject) => {
    call((error, result) => {
      if (error === null || error === undefined) resolve(result);
      else reject(error instanceof Error ? error : new Error('the Kafka client failed', {cause: error}));
    });
  });
}

export async function deleteTopics(broker: string, topics: readonly string[]): Promise<void> {
  const admin = kafka.AdminClient.create({'bootstrap.servers': broker, 'client.id': 'sluice-demo'});
  try {
    for (const topic of topics) {
      await called(done => {
        admin.deleteTopic(topic, REQUEST_MS, error => done(error, undefined));
      });
    }
  } finally {
    admin.disconnect();
  }
}
