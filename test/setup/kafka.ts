import {execFile} from 'node:child_process';
import {randomBytes} from 'node:crypto';
import {promisify} from 'node:util';
import kafka from '@confluentinc/kafka-javascript';
import {poll} from '../../scripts/process/poll.ts';

export interface TopicRecord {
  readonly partition: number;
  readonly offset: number;
  /** Milliseconds since 1970. */
  readonly timestamp: number;
  readonly key: Buffer | null;
  readonly value: Buffer | null;
  readonly headers: readonly {readonly name: string; readonly value: Buffer | null}[];
}

export interface ReadOptions {
  /** host:port; the run's broker unless told otherwise. */
  readonly address?: string | undefined;
  /** All partitions unless told otherwise. */
  readonly partition?: number | undefined;
  readonly isolation?: 'read_committed' | 'read_uncommitted' | undefined;
}

/** host:port of the run's broker. A test that stops or kills brokers starts its own: scripts/kafka/broker.ts. */
export function kafkaAddress(): string {
  const address = process.env['SLUICE_TEST_KAFKA'];
  if (!address) throw new Error('SLUICE_TEST_KAFKA is not set: is this test file named *.kafka.test.ts?');
  return address;
}

/** The statement that makes a connection to a broker, the run's one unless told otherwise. */
export function connectionSql(name = 'kafka', address = kafkaAddress()): string {
  return `CREATE CONNECTION ${name} TO KAFKA (BROKER '${address}', SECURITY PROTOCOL 'PLAINTEXT')`;
}

/** The statement that makes an upsert sink `s` of a table `t` with key `id`, into a topic of one partition. */
export function upsertSinkSql(topic: string): string {
  return `CREATE SINK s FROM t INTO KAFKA CONNECTION kafka (TOPIC '${topic}', TOPIC PARTITION COUNT 1)
    KEY (id) FORMAT JSON ENVELOPE UPSERT`;
}

/** A topic name that nobody has used. */
export function freshTopicName(prefix = 'topic'): string {
  return `${prefix}-${randomBytes(6).toString('hex')}`;
}

/** Makes a topic and returns its name. */
export async function createTopic(
  options: {
    name?: string;
    partitions?: number;
    replicas?: number;
    config?: Record<string, string>;
    address?: string;
  } = {},
): Promise<string> {
  const topic = options.name ?? freshTopicName();
  const admin = kafka.AdminClient.create({'bootstrap.servers': options.address ?? kafkaAddress()});
  try {
    await new Promise<void>((resolve, reject) => {
      const description = {
        topic,
        num_partitions: options.partitions ?? 1,
        replication_factor: options.replicas ?? 1,
        config: options.config ?? {},
      };
      admin.createTopic(description, 20_000, error => {
        if (error) reject(new Error(`could not create topic ${topic}`, {cause: error}));
        else resolve();
      });
    });
  } finally {
    admin.disconnect();
  }
  return topic;
}

/**
 * What a stranger sees: reads the topic from its beginning to its end (the last stable offset with read_committed, the
 * default) with kcat, a client that shares no JavaScript with ours. Sorted by partition, then offset.
 */
export async function readTopic(topic: string, options: ReadOptions = {}): Promise<TopicRecord[]> {
  const args = ['-C', '-b', options.address ?? kafkaAddress(), '-t', topic, '-o', 'beginning', '-e', '-q', '-J'];
  args.push('-X', `isolation.level=${options.isolation ?? 'read_committed'}`, '-X', 'fetch.wait.max.ms=10');
  if (options.partition !== undefined) args.push('-p', String(options.partition));
  // kcat escapes quotes and control characters and passes all other bytes through, whether they are UTF-8 or not: read
  // as Latin-1 this is JSON of strings whose characters are the bytes.
  const {stdout} = await promisify(execFile)('kcat', args, {encoding: 'latin1', maxBuffer: 2 ** 29});
  const records = stdout.split('\n').filter(Boolean).map(parseRecord);
  return records.sort((a, b) => a.partition - b.partition || a.offset - b.offset);
}

/** Reads again and again until `done` is content with what is there. */
export async function readTopicUntil(
  topic: string,
  done: (records: readonly TopicRecord[]) => boolean,
  options: ReadOptions & {limitMs?: number | undefined} = {},
): Promise<TopicRecord[]> {
  let records: TopicRecord[] = [];
  const ask = async () => {
    records = await readTopic(topic, options);
    return done(records) && records;
  };
  try {
    return await poll(`the expected records in topic ${topic}`, options.limitMs ?? 30_000, ask);
  } catch (error) {
    throw new Error(`${records.length} records in topic ${topic} are not what was expected`, {cause: error});
  }
}

interface KcatRecord {
  readonly partition: number;
  readonly offset: number;
  readonly ts: number;
  readonly key: string | null;
  readonly payload: string | null;
  /** Name, value, name, value, … */
  readonly headers?: readonly (string | null)[];
}

function parseRecord(line: string): TopicRecord {
  const record = JSON.parse(line) as KcatRecord;
  const bytes = (text: string | null) => (text === null ? null : Buffer.from(text, 'latin1'));
  const flat = record.headers ?? [];
  const headers = Array.from({length: flat.length / 2}, (_, at) => ({
    name: bytes(flat[2 * at])!.toString(),
    value: bytes(flat[2 * at + 1]),
  }));
  const {partition, offset, ts: timestamp} = record;
  return {partition, offset, timestamp, key: bytes(record.key), value: bytes(record.payload), headers};
}
