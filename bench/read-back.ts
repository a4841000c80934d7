import {spawn} from 'node:child_process';
import {once} from 'node:events';
import {createInterface} from 'node:readline';
import {isDeepStrictEqual} from 'node:util';
import {EXPECTED_VALUE} from './workload.ts';

export interface ReadBackOptions {
  readonly broker: string;
  readonly topic: string;
  readonly messages: number;
  /** Of the engine, for psql. */
  readonly url: string;
}

/**
 * Reads the whole topic with kcat, `read_committed`, and compares: as many messages as expected, and of every key the last one
 * equal to the row of the table, every column by value, or a tombstone where there is no row. Throws what is wrong.
 */
export async function readBack({broker, topic, messages, url}: ReadBackOptions): Promise<void> {
  const last = new Map<number, string>();
  let seen = 0;
  const kcat = ['-C', '-b', broker, '-t', topic, '-o', 'beginning', '-e', '-q', '-X', 'isolation.level=read_committed'];
  // %S is -1 for a tombstone. A key is always in the same partition, so within a key the order is that of the topic.
  await lines('kcat', [...kcat, '-f', '%S\t%k\t%s\n'], line => {
    seen++;
    const [size, key, value] = line.split('\t');
    const {id} = JSON.parse(key) as {id: number};
    if (size === '-1') last.delete(id);
    // A string of its own: a part of a larger one would keep all of it in memory.
    else last.set(id, Buffer.from(value).toString('latin1'));
  });
  if (seen !== messages) throw new Error(`topic ${topic} has ${seen} messages instead of ${messages}`);
  const wrong: string[] = [];
  let rows = 0;
  const query = `COPY (SELECT ${EXPECTED_VALUE} FROM orders) TO STDOUT (FORMAT csv, QUOTE E'\\x01', DELIMITER E'\\x02')`;
  await lines('psql', ['--quiet', '--no-psqlrc', url, '--command', query], line => {
    rows++;
    const row = JSON.parse(line) as {id: number};
    const value = last.get(row.id);
    last.delete(row.id);
    if (value === undefined || !isDeepStrictEqual(JSON.parse(value), row))
      wrong.push(`${line} is ${value ?? 'missing'}`);
  });
  for (const value of last.values()) wrong.push(`${value} should have been deleted`);
  if (wrong.length > 0)
    throw new Error(`${wrong.length} of ${rows} keys are wrong in ${topic}: ${wrong.slice(0, 3).join('; ')}`);
}

async function lines(command: string, args: readonly string[], each: (line: string) => void): Promise<void> {
  const child = spawn(command, args, {stdio: ['ignore', 'pipe', 'inherit']});
  const ended = once(child, 'exit') as Promise<[number | null]>;
  for await (const line of createInterface({input: child.stdout, crlfDelay: Infinity})) each(line);
  const [code] = await ended;
  if (code !== 0) throw new Error(`${command} ended with ${code}`);
}
