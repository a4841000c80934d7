import {execFile} from 'node:child_process';
import {createHash} from 'node:crypto';
import {existsSync, readFileSync} from 'node:fs';
import {join} from 'node:path';
import {promisify} from 'node:util';
import {Kafka, logLevel} from 'kafkajs';
import {javaArguments} from '../../scripts/kafka/java.ts';
import {cacheDirectory} from '../../scripts/process/cache-directory.ts';
import {freshTopicName, kafkaAddress, readTopic} from '../setup/kafka.ts';

export type Isolation = 'read_committed' | 'read_uncommitted';

/** A message as every reader can show it. */
export interface SeenMessage {
  readonly partition: number;
  readonly offset: number;
  /** Text; null = the message has none. */
  readonly key: string | null;
  readonly value: string | null;
  readonly headers: readonly (readonly [name: string, value: string | null])[];
}

/** From the beginning to the present end, sorted by partition and offset. */
export type Reader = (topic: string, isolation: Isolation) => Promise<SeenMessage[]>;

const run = promisify(execFile);
const PYTHON_REQUIREMENTS = join(import.meta.dirname, '../../scripts/clients/kafka-requirements.txt');

/** A line for each message: partition, offset, key, value, then name=value of each header, in base64 between tabs; `-` is null. */
function parse({stdout}: {readonly stdout: string}): SeenMessage[] {
  const text = (base64: string) => (base64 === '-' ? null : Buffer.from(base64, 'base64').toString());
  const messages = stdout
    .split('\n')
    .filter(Boolean)
    .map((line): SeenMessage => {
      const [partition, offset, key, value, ...headers] = line.split('\t');
      return {
        partition: Number(partition),
        offset: Number(offset),
        key: text(key),
        value: text(value),
        headers: headers.map(header => {
          // Base64 itself may end in =.
          const [, name, content] = /^([^=]*=*?)=([^=]*=*)$/.exec(header)!;
          return [text(name)!, text(content)];
        }),
      };
    });
  return sorted(messages);
}

function sorted(messages: readonly SeenMessage[]): SeenMessage[] {
  return [...messages].sort((a, b) => a.partition - b.partition || a.offset - b.offset);
}

const kcat: Reader = async (topic, isolation) => {
  const records = await readTopic(topic, {isolation});
  return records.map(({partition, offset, key, value, headers}) => ({
    partition,
    offset,
    key: key === null ? null : key.toString(),
    value: value === null ? null : value.toString(),
    headers: headers.map(({name, value: content}) => [name, content === null ? null : content.toString()]),
  }));
};

const java: Reader = async (topic, isolation) => {
  const program = join(import.meta.dirname, 'ReadTopic.java');
  return parse(await run('java', [...javaArguments('quick'), program, kafkaAddress(), topic, isolation]));
};

const confluentPython: Reader = async (topic, isolation) => {
  const content = readFileSync(PYTHON_REQUIREMENTS);
  const name = `confluent-kafka-${createHash('sha256').update(content).digest('hex').slice(0, 12)}`;
  const python = join(cacheDirectory(), name, 'bin/python');
  if (!existsSync(python)) throw new Error(`there is no ${python}: run scripts/setup`);
  const program = join(import.meta.dirname, 'read_topic.py');
  return parse(await run(python, [program, kafkaAddress(), topic, isolation]));
};

/** It tells nobody where a partition ends, so it reads until it has passed the offset before the end, or stands there. */
const kafkajs: Reader = async (topic, isolation) => {
  const client = new Kafka({brokers: [kafkaAddress()], logLevel: logLevel.NOTHING});
  const admin = client.admin();
  await admin.connect();
  const ends = await admin.fetchTopicOffsets(topic);
  await admin.disconnect();
  const messages: SeenMessage[] = [];
  const left = new Map(ends.filter(({high}) => Number(high) > 0).map(({partition, high}) => [partition, Number(high)]));
  const consumer = client.consumer({
    groupId: freshTopicName('group'),
    readUncommitted: isolation === 'read_uncommitted',
    maxWaitTimeInMs: 100,
  });
  const text = (bytes: Buffer | null) => (bytes === null ? null : bytes.toString());
  try {
    await consumer.connect();
    await consumer.subscribe({topic, fromBeginning: true});
    await new Promise<void>((resolve, reject) => {
      consumer.on('consumer.crash', ({payload}) => reject(payload.error));
      // Batches of nothing but markers and aborted messages end here too.
      consumer.on('consumer.end_batch_process', ({payload}) => {
        if (Number(payload.lastOffset) + 1 >= (left.get(payload.partition) ?? 0)) left.delete(payload.partition);
        if (left.size === 0) resolve();
      });
      consumer
        .run({
          autoCommit: false,
          eachMessage: ({partition, message}) => {
            messages.push({
              partition,
              offset: Number(message.offset),
              key: text(message.key),
              value: text(message.value),
              headers: Object.entries(message.headers ?? {}).map(([name, value]) => [name, String(value)]),
            });
            return Promise.resolve();
          },
        })
        .catch(reject);
    });
  } finally {
    await consumer.disconnect();
  }
  return sorted(messages);
};

export const READERS: Readonly<Record<string, Reader>> = {
  kcat,
  "Kafka's Java client": java,
  'confluent-kafka of Python': confluentPython,
  kafkajs,
};
