import type {EofEvent, KafkaConsumer as RdConsumer, Message, Metadata} from '@confluentinc/kafka-javascript';
import type {Logger} from 'pino';
import type {CommittedReader, CommittedRecord, Stretch} from './client.ts';
import {ClientEvents, KafkaConsumer, promised} from './librdkafka.ts';

/** How long one call into the client waits for a record; it holds a thread of the pool meanwhile. */
const POLL_MS = 50;

/** librdkafka's consumer, used for nothing but a stretch of one partition under `read_committed`. */
export class LibrdkafkaReader implements CommittedReader {
  readonly #handle: RdConsumer;

  private constructor(handle: RdConsumer) {
    this.#handle = handle;
  }

  /** `topic`: one whose metadata is asked for, because asking for none means all of the cluster's. */
  static async connect(
    config: Readonly<Record<string, string | number | boolean>>,
    topic: string,
    timeoutMs: number,
    log: Logger,
  ): Promise<LibrdkafkaReader> {
    const handle = new KafkaConsumer({...config});
    const events = new ClientEvents(handle, log);
    try {
      await promised<Metadata>(done => handle.connect({topic, timeout: timeoutMs}, done));
    } catch (error) {
      throw events.explain(error);
    }
    handle.setDefaultConsumeTimeout(POLL_MS);
    return new LibrdkafkaReader(handle);
  }

  async read(
    {topic, from, to, limitMs}: Stretch,
    onRecord: (record: CommittedRecord) => void,
    signal: AbortSignal,
  ): Promise<boolean> {
    // Control records and aborted data take offsets that no message shows, so only the client's own position tells. The
    // first end that it reports is that of the decided part; it comes again each time this part has grown.
    let position = from;
    const onEnd = ({offset}: EofEvent): void => {
      position = Math.max(position, offset);
    };
    this.#handle.on('partition.eof', onEnd);
    this.#handle.assign([{topic, partition: 0, offset: from}]);
    const deadline = performance.now() + limitMs;
    try {
      while (position < to) {
        signal.throwIfAborted();
        if (performance.now() > deadline) return false;
        const messages = await promised<Message[]>(done => this.#handle.consume(1000, done));
        for (const {offset, key, value} of messages) {
          if (offset < to) onRecord({offset, key: asBuffer(key), value});
          position = Math.max(position, offset + 1);
        }
      }
      return true;
    } finally {
      this.#handle.off('partition.eof', onEnd);
      this.#handle.unassign();
    }
  }

  async close(): Promise<void> {
    await new Promise<void>(resolve => {
      this.#handle.disconnect(() => resolve());
    });
  }
}

function asBuffer(key: Message['key']): Buffer | null {
  if (key === undefined || key === null) return null;
  return typeof key === 'string' ? Buffer.from(key) : key;
}
