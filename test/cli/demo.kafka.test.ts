import {execFile, spawn} from 'node:child_process';
import type {ChildProcess} from 'node:child_process';
import fs from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {promisify} from 'node:util';
import pg from 'pg';
import {afterEach, beforeEach, expect, test} from 'vitest';
import {freePorts} from '../../scripts/process/free-port.ts';
import {poll} from '../../scripts/process/poll.ts';
import {kafkaAddress, readTopicUntil} from '../setup/kafka.ts';
import {createTestDatabase} from '../setup/postgres.ts';
import {SLUICE} from '../setup/program.ts';

const RUN_MS = 180_000;

let root: string;
let demos: Demo[];

beforeEach(() => {
  // The temporary directory of the demo, and in the environment of everything that it starts.
  root = fs.mkdtempSync(join(tmpdir(), 'demo-test-'));
  fs.chmodSync(root, 0o711);
  demos = [];
});
afterEach(async () => {
  for (const demo of demos) await demo.end();
  fs.rmSync(root, {recursive: true, force: true});
});

/** `sluice demo` as a process of its own. */
class Demo {
  readonly process: ChildProcess;
  readonly ended: Promise<number | NodeJS.Signals>;
  stdout = '';
  stderr = '';

  constructor(...args: readonly string[]) {
    const environment: NodeJS.ProcessEnv = {...process.env, TMPDIR: root};
    delete environment['SLUICE_KAFKA'];
    this.process = spawn(process.execPath, [SLUICE, 'demo', ...args], {
      env: environment,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.process.stdout!.on('data', data => (this.stdout += String(data)));
    this.process.stderr!.on('data', data => (this.stderr += String(data)));
    this.ended = new Promise(resolve => {
      this.process.once('close', (code, signal) => resolve(signal ?? code!));
    });
    demos.push(this);
  }

  /** The first group of the first match in what it has printed, as soon as that is there. */
  async printed(pattern: RegExp): Promise<string> {
    return await poll(`${pattern} in the output`, RUN_MS, () => {
      const match = pattern.exec(this.stdout);
      if (match === null && this.process.exitCode !== null)
        throw new Error(`it ended:\n${this.stdout}\n${this.stderr}`);
      return match?.[1];
    });
  }

  /** Whatever it is doing. */
  async end(): Promise<void> {
    while (this.process.exitCode === null && this.process.signalCode === null) {
      this.process.kill('SIGINT');
      await Promise.race([this.ended, new Promise(resolve => setTimeout(resolve, 5_000))]);
    }
  }
}

async function topicNames(): Promise<string[]> {
  const {stdout} = await promisify(execFile)('kcat', ['-L', '-J', '-b', kafkaAddress()], {maxBuffer: 2 ** 26});
  return (JSON.parse(stdout) as {topics: {topic: string}[]}).topics.map(({topic}) => topic);
}

/** Processes that have our directory in their environment. */
function descendants(): string[] {
  return fs
    .readdirSync('/proc')
    .filter(name => /^\d+$/.test(name))
    .filter(pid => {
      try {
        return fs.readFileSync(`/proc/${pid}/environ`, 'latin1').includes(root);
      } catch {
        return false;
      }
    });
}

const leftBehind = () => fs.readdirSync(root);

test(
  'an unattended run agrees, ends with status 0, and leaves nothing behind',
  async () => {
    const demo = new Demo('--kafka', kafkaAddress(), '--seconds', '8');
    const name = await demo.printed(/CREATE SCHEMA (\w+);/);
    expect(await demo.ended, demo.stderr).toBe(0);
    const [, keys] = /\nsource and topic agree: (\d+) keys\n$/.exec(demo.stdout) ?? [];
    expect(Number(keys)).toBeGreaterThan(2000);
    expect(demo.stdout).toMatch(/\n0:0\d, [\d ]+ rows\/s, [\d ]+ messages\/s, lag \d+\.\d\d s, .* keys\n/);
    for (const statement of ['CREATE TABLE orders', 'CREATE CONNECTION kafka', 'CREATE SINK orders_sink']) {
      expect(demo.stdout).toContain(statement);
    }
    expect(demo.stderr).toBe('');
    expect(leftBehind()).toEqual([]);
    expect(descendants()).toEqual([]);
    await poll('the end of the topics', 10_000, async () => (await topicNames()).every(topic => !topic.includes(name)));
  },
  RUN_MS,
);

test(
  'one wrong message in the topic, and it ends with status 1 and says where',
  async () => {
    const demo = new Demo('--kafka', kafkaAddress());
    const topic = await demo.printed(/TOPIC '(\S+-customers)'/);
    // The workload does not touch customers who are not active, so nothing puts this right again.
    const asleep = '"active":false';
    await demo.printed(/([\d ]+) messages read, [1-9]/);
    const records = await readTopicUntil(topic, found => found.some(({value}) => value?.includes(asleep)));
    const {partition, key, value} = records.find(record => record.value?.includes(asleep))!;
    const kcat = spawn('kcat', ['-P', '-b', kafkaAddress(), '-t', topic, '-p', String(partition), '-k', String(key)]);
    const produced = new Promise(resolve => kcat.once('close', resolve));
    kcat.stdin.end(String(value).replace(asleep, '"active":true'));
    expect(await produced).toBe(0);
    demo.process.kill('SIGINT');
    expect(await demo.ended).toBe(1);
    expect(demo.stdout).not.toContain('agree');
    expect(demo.stderr).toMatch(/^sluice: source and topic differ in 1 of \d+ keys\n/);
    expect(demo.stderr).toContain(`customers ${key} differs in active: source false, topic true`);
    expect(leftBehind()).toEqual([]);
    expect(descendants()).toEqual([]);
    expect(await topicNames()).toContain(topic);
  },
  RUN_MS,
);

test(
  'in a database of your own it keeps to a schema and drops it, and holds back no log',
  async () => {
    await using database = await createTestDatabase();
    const demo = new Demo('--kafka', kafkaAddress(), '--postgres', database.url, '--seconds', '3');
    const name = await demo.printed(/CREATE SCHEMA (\w+);/);
    expect(await demo.ended, demo.stderr).toBe(0);
    const client = new pg.Client({connectionString: database.url});
    await client.connect();
    const left = await client.query(
      `SELECT nspname AS name FROM pg_namespace WHERE nspname = $1
       UNION ALL SELECT name FROM mz_catalog.mz_objects WHERE type IN ('sink', 'connection')
       UNION ALL SELECT slot_name FROM pg_replication_slots WHERE database = current_database()`,
      [name],
    );
    await client.end();
    expect(left.rows).toEqual([]);
    expect(leftBehind()).toEqual([]);
  },
  RUN_MS,
);

test(
  'stopped twice it does not compare, and still leaves nothing behind',
  async () => {
    const demo = new Demo('--kafka', kafkaAddress());
    await demo.printed(/CREATE (SINK)/);
    demo.process.kill('SIGINT');
    demo.process.kill('SIGTERM');
    expect(await demo.ended).toBe(1);
    expect(demo.stderr).toContain('the demo was stopped before source and topic were compared');
    expect(leftBehind()).toEqual([]);
    expect(descendants()).toEqual([]);
  },
  RUN_MS,
);

test('without a broker it says how to get one', async () => {
  const demo = new Demo('--seconds', '1');
  expect(await demo.ended).toBe(1);
  expect(demo.stderr).toBe(
    'sluice: --kafka is missing\nHINT:  Give host:port of a broker, or run npm run demo, which starts one.\n',
  );
});

test(
  'a broker that cannot be reached is named, and nothing is left behind',
  async () => {
    const demo = new Demo('--kafka', `127.0.0.1:${(await freePorts(1))[0]}`, '--seconds', '1');
    expect(await demo.ended).toBe(1);
    expect(demo.stderr).toMatch(/^sluice: admin client errored\nDETAIL: {2}.*127\.0\.0\.1:\d+/);
    expect(leftBehind()).toEqual([]);
    expect(descendants()).toEqual([]);
  },
  RUN_MS,
);
