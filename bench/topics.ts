import {Kafka, logLevel, type Admin} from 'kafkajs';

const PARTITIONS = 3;

/** For topics that are not a sink's. */
export class Topics {
  readonly #admin: Admin;

  private constructor(admin: Admin) {
    this.#admin = admin;
  }

  static async open(broker: string): Promise<Topics> {
    const admin = new Kafka({brokers: [broker], logLevel: logLevel.ERROR}).admin();
    await admin.connect();
    return new Topics(admin);
  }

  /** With as many partitions as our sinks' topics unless told otherwise. */
  async create(topic: string, partitions = PARTITIONS): Promise<void> {
    await this.#admin.createTopics({topics: [{topic, numPartitions: partitions, replicationFactor: 1}]});
  }

  /** Messages that were written to it, if none of them was in a transaction. */
  async messages(topic: string): Promise<number> {
    const partitions = await this.#admin.fetchTopicOffsets(topic);
    return partitions.reduce((sum, {high}) => sum + Number(high), 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#admin.disconnect();
  }
}
