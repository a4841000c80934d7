import {execFileSync} from 'node:child_process';
import pg from 'pg';
import {beforeAll, expect, test} from 'vitest';
import {expectedOf, readBack} from '../../bench/read-back.ts';
import {ORDERS, wideTable} from '../../bench/table.ts';
import {createTable} from '../../bench/workload.ts';
import {createTopic, kafkaAddress} from '../setup/kafka.ts';
import {createTestDatabase} from '../setup/postgres.ts';

interface Message {
  readonly key: string;
  readonly value: string | null;
}

const ROWS = 20;
let url = '';
let messages: readonly Message[] = [];

/** What a sink would write of the table, by PostgreSQL's own functions; one row has an older message, one deleted row a tombstone. */
beforeAll(async () => {
  const database = await createTestDatabase();
  ({url} = database);
  const client = new pg.Client({connectionString: url});
  await client.connect();
  try {
    await createTable(client, ORDERS, ROWS);
    const {rows} = await client.query<{id: string; value: string}>(
      `SELECT id, row_to_json(v)::text AS value FROM (SELECT ${ORDERS.fields} FROM orders) AS v ORDER BY id`,
    );
    await client.query('DELETE FROM orders WHERE id = 5');
    const all = rows.map(({id, value}) => ({key: `{"id":${id}}`, value}));
    messages = [{key: '{"id":3}', value: '{"id":3}'}, ...all, {key: '{"id":5}', value: null}];
  } finally {
    await client.end();
  }
  return () => database.drop();
});

async function readBackOf(written: readonly Message[]): Promise<void> {
  const topic = await createTopic({partitions: 3});
  const lines = written.map(({key, value}) => `${key}\t${value ?? ''}\n`).join('');
  // -Z: an empty value is a tombstone. Without idempotence a retry could write a message twice.
  const options = ['-P', '-b', kafkaAddress(), '-t', topic, '-K', '\t', '-Z', '-X', 'enable.idempotence=true'];
  execFileSync('kcat', options, {input: lines});
  const expected = await expectedOf(url, ORDERS);
  await readBack({broker: kafkaAddress(), topic, messages: messages.length, expected});
}

const changed = (at: number, by: (message: Message) => Message): Message[] =>
  messages.map((message, index) => (index === at ? by(message) : message));

test('a topic that is level with its table passes', async () => {
  await readBackOf(messages);
});

test.each([
  ['a message is missing', () => messages.slice(0, -1), 'has 21 messages instead of 22'],
  ['one is there twice', () => [...messages, messages[7]], 'has 23 messages instead of 22'],
  [
    'one character differs',
    () => changed(9, m => ({...m, value: m.value!.replace('door', 'roof')})),
    '1 keys are wrong in .*: 8 differs',
  ],
  [
    'the last message of a key is an older one',
    () => [...messages.slice(1), messages[0]],
    '1 keys are wrong in .*: 3 differs',
  ],
  [
    'a row is deleted that is there',
    () => changed(9, m => ({...m, value: null})),
    '1 keys are wrong in .*: 8 is missing',
  ],
  [
    'a deleted row is there',
    () => changed(21, m => ({...m, value: '{"id":5}'})),
    '1 keys are wrong in .*: 5 should have been deleted',
  ],
  ['a key is unknown', () => changed(9, m => ({...m, key: '{"id":20}'})), 'has a key 20, which the table never had'],
  ['a key is of another form', () => changed(9, m => ({...m, key: '{"no":8}'})), 'a message has the key {"no":8}'],
])('it is noticed when %s', async (_, written, says) => {
  await expect(readBackOf(written())).rejects.toThrow(new RegExp(says));
});

test.each([
  [100, 10],
  [100, 100],
  [1000, 10],
  [1000, 100],
  [16_000, 10],
  [16_000, 100],
])('a table of %d bytes in %d columns is about that', async (bytes, columns) => {
  const client = new pg.Client({connectionString: url});
  await client.connect();
  try {
    const table = wideTable(`wide_${columns}_${bytes}`, bytes, columns);
    await createTable(client, table, 3);
    const {rows} = await client.query<{bytes: number; columns: string}>(
      `SELECT (SELECT min(pg_column_size(w.*))::int FROM (SELECT * FROM ${table.name}) AS w) AS bytes,
         (SELECT count(*) FROM pg_attribute WHERE attrelid = '${table.name}'::regclass AND attnum > 0) AS columns`,
    );
    expect(Number(rows[0].columns)).toBe(columns);
    expect(rows[0].bytes).toBeGreaterThan(bytes * 0.9);
    // The head of a row and the lengths of its texts.
    expect(rows[0].bytes).toBeLessThan(bytes + 30 + 4 * columns);
    const {rows: hashes} = await client.query<{differing: string}>(
      `SELECT count(DISTINCT md5(row_to_json(v)::text)) AS differing FROM (SELECT ${table.fields} FROM ${table.name}) AS v`,
    );
    expect(Number(hashes[0].differing)).toBe(3);
  } finally {
    await client.end();
  }
});
