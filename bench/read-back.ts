import {spawn} from 'node:child_process';
import {once} from 'node:events';
import type {BenchTable} from './table.ts';

const TAB = 0x09;
const NEWLINE = 0x0a;
const MINUS = 0x2d;
const ZERO = 0x30;
const KEY = Buffer.from('{"id":');

/** What must be in a topic: for each id the hash of its row as a message has it, 0 where there is no row. Ids are dense. */
export interface Expected {
  readonly hashes: Float64Array;
}

/** Asks PostgreSQL for the messages that the table's rows must have. `url` is the engine's. */
export async function expectedOf(url: string, {name, fields}: BenchTable): Promise<Expected> {
  const [size] = await numbers(url, `SELECT coalesce(max(id), -1) + 1 FROM ${name}`);
  const hashes = new Float64Array(size);
  const query = `SELECT id, row_to_json(v) FROM (SELECT ${fields} FROM ${name}) AS v`;
  const copy = `COPY (${query}) TO STDOUT (FORMAT csv, QUOTE E'\\x01', DELIMITER E'\\t')`;
  await lines('psql', ['--quiet', '--no-psqlrc', url, '--command', copy], (bytes, from, to) => {
    const tab = bytes.indexOf(TAB, from);
    hashes[decimal(bytes, from, tab)] = hashOf(bytes, tab + 1, to);
  });
  return {hashes};
}

export interface ReadBackOptions {
  readonly broker: string;
  readonly topic: string;
  readonly messages: number;
  readonly expected: Expected;
}

/**
 * Reads the whole topic with kcat, `read_committed`, and compares: as many messages as expected, and of every key the last one
 * equal to the row of the table, byte by byte, or a tombstone where there is no row. Throws what is wrong.
 */
export async function readBack({broker, topic, messages, expected: {hashes}}: ReadBackOptions): Promise<void> {
  const last = new Float64Array(hashes.length);
  let seen = 0;
  // %S is -1 for a tombstone. A key is always in the same partition, so within a key the order is that of the topic.
  await lines('kcat', [...readWhole(broker, topic), '-f', '%S\t%k\t%s\n'], (bytes, from, to) => {
    seen++;
    const keyAt = bytes.indexOf(TAB, from) + 1;
    const valueAt = bytes.indexOf(TAB, keyAt) + 1;
    const id = idOf(bytes, keyAt, valueAt - 1);
    if (id >= last.length) throw new Error(`${topic} has a key ${id}, which the table never had`);
    last[id] = bytes[from] === MINUS ? 0 : hashOf(bytes, valueAt, to);
  });
  if (seen !== messages) throw new Error(`topic ${topic} has ${seen} messages instead of ${messages}`);
  const wrong: string[] = [];
  for (let id = 0; id < hashes.length; id++) {
    if (last[id] === hashes[id]) continue;
    wrong.push(`${id} ${last[id] === 0 ? 'is missing' : hashes[id] === 0 ? 'should have been deleted' : 'differs'}`);
  }
  if (wrong.length > 0) throw new Error(`${wrong.length} keys are wrong in ${topic}: ${wrong.slice(0, 5).join('; ')}`);
}

/** How many committed messages there are in a topic. */
export async function countMessages(broker: string, topic: string): Promise<number> {
  let seen = 0;
  await lines('kcat', [...readWhole(broker, topic), '-f', '\n'], () => {
    seen++;
  });
  return seen;
}

function readWhole(broker: string, topic: string): string[] {
  return ['-C', '-b', broker, '-t', topic, '-o', 'beginning', '-e', '-q', '-X', 'isolation.level=read_committed'];
}

async function numbers(url: string, query: string): Promise<number[]> {
  const found: number[] = [];
  const psql = ['--quiet', '--no-psqlrc', '--tuples-only', '--no-align', url, '--command', query];
  await lines('psql', psql, (bytes, from, to) => {
    found.push(decimal(bytes, from, to));
  });
  return found;
}

function idOf(bytes: Buffer, from: number, to: number): number {
  if (bytes.compare(KEY, 0, KEY.length, from, from + KEY.length) !== 0) {
    throw new Error(`a message has the key ${bytes.toString('utf8', from, to)}`);
  }
  return decimal(bytes, from + KEY.length, to - 1);
}

function decimal(bytes: Buffer, from: number, to: number): number {
  let value = 0;
  for (let at = from; at < to; at++) {
    const digit = bytes[at] - ZERO;
    if (digit < 0 || digit > 9) throw new Error(`"${bytes.toString('utf8', from, to)}" is no number`);
    value = value * 10 + digit;
  }
  return value;
}

/** Fifty-two bits, never 0: ten million rows of any width fit into memory, and a difference is overlooked once in 10^15 times. */
function hashOf(bytes: Buffer, from: number, to: number): number {
  let a = 0x811c9dc5;
  let b = 0x2545f491;
  for (let at = from; at < to; at++) {
    a = Math.imul(a ^ bytes[at], 0x01000193);
    b = Math.imul((b << 5) ^ (b >>> 27) ^ bytes[at], 0x9e3779b1);
  }
  return 1 + (a >>> 0) * 2 ** 20 + (b >>> 12);
}

/** Calls back with each line of a command's output, without its end: the bytes from `from` to `to`, good until the call returns. */
async function lines(
  command: string,
  args: readonly string[],
  each: (bytes: Buffer, from: number, to: number) => void,
): Promise<void> {
  const child = spawn(command, args, {stdio: ['ignore', 'pipe', 'inherit']});
  const ended = once(child, 'exit') as Promise<[number | null]>;
  let rest: Buffer = Buffer.alloc(0);
  for await (const chunk of child.stdout as AsyncIterable<Buffer>) {
    const bytes = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    let from = 0;
    for (let to = bytes.indexOf(NEWLINE); to >= 0; to = bytes.indexOf(NEWLINE, from)) {
      each(bytes, from, to);
      from = to + 1;
    }
    rest = bytes.subarray(from);
  }
  const [code] = await ended;
  if (code !== 0) throw new Error(`${command} ended with ${code}`);
}
