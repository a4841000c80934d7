import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {mkdtemp, rm, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {javaArguments} from '../scripts/kafka/java.ts';
import type {House} from './house.ts';
import {JAVA} from './java.ts';
import {countMessages} from './read-back.ts';
import {toFigures, type Figures} from './result.ts';
import type {BenchTable} from './table.ts';
import {Topics} from './topics.ts';
import {Watch} from './watch.ts';

/** As ours while it is behind. */
const TRANSACTION_MS = 1000;
/** Of which it takes one after the other by chance. */
const PAYLOADS = 20_000;

/**
 * What the broker can take: Kafka's own tool sends as many messages, with values of rows of the table and the settings of the client that
 * Debezium gets too, in transactions. The rate is the tool's own, from its first message on; its CPU time includes the start of Java.
 */
export async function produceFromJava(options: {
  readonly house: House;
  readonly table: BenchTable;
  readonly number: number;
  readonly messages: number;
}): Promise<Figures> {
  const {house, table, number, messages} = options;
  const broker = house.kafka.address;
  const topic = `producer-performance-${table.name}-${number}`;
  await using topics = await Topics.open(broker);
  await topics.create(topic);
  const directory = await mkdtemp(join(tmpdir(), 'sluice-bench-'));
  try {
    const payloads = join(directory, 'payloads');
    await writeFile(payloads, await valuesOf(house, table));
    const args = [
      ...JAVA,
      ...javaArguments('full'),
      'org.apache.kafka.tools.ProducerPerformance',
      ...['--topic', topic, '--num-records', String(messages), '--throughput', '-1', '--payload-file', payloads],
      ...['--transactional-id', topic, '--transaction-duration-ms', String(TRANSACTION_MS)],
      ...['--producer-props', `bootstrap.servers=${broker}`, ...Object.entries(PRODUCER).map(([k, v]) => `${k}=${v}`)],
    ];
    const from = Date.now();
    const java = spawn('java', args, {stdio: ['ignore', 'pipe', 'inherit']});
    await once(java, 'spawn');
    const watch = new Watch([java.pid!], await house.servers());
    const [output, [code]] = await Promise.all([
      (java.stdout as AsyncIterable<Buffer> & {toArray(): Promise<Buffer[]>}).toArray(),
      once(java, 'exit') as Promise<[number | null]>,
    ]);
    watch.stop();
    const said = Buffer.concat(output).toString();
    const last = said.trimEnd().split('\n').at(-1);
    const [, sent, perSecond] = /^(\d+) records sent, ([\d.]+) records\/sec/.exec(last ?? '') ?? [];
    if (code !== 0 || Number(sent) !== messages) throw new Error(`ProducerPerformance ended with ${code}: ${said}`);
    const seen = await countMessages(broker, topic);
    if (seen !== messages) throw new Error(`topic ${topic} has ${seen} messages instead of ${messages}`);
    return toFigures({rows: messages, seconds: messages / Number(perSecond), ...watch.used(from, Date.now())});
  } finally {
    await rm(directory, {recursive: true});
  }
}

/** Settings of Java's producer for throughput. */
export const PRODUCER: Readonly<Record<string, string>> = {
  acks: 'all',
  'linger.ms': '5',
  'batch.size': '262144',
  'compression.type': 'lz4',
};

/** A line each. */
async function valuesOf(house: House, {name, fields}: BenchTable): Promise<string> {
  const {rows} = await house.engine.query<{value: string}>(
    `SELECT row_to_json(v)::text AS value FROM (SELECT ${fields} FROM ${name} ORDER BY id DESC LIMIT ${PAYLOADS}) AS v`,
  );
  return rows.map(({value}) => `${value}\n`).join('');
}
