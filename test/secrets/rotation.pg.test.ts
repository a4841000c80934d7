import fs from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import pg from 'pg';
import {afterEach, beforeEach, expect, test, vi} from 'vitest';
import {poll} from '../../scripts/process/poll.ts';
import {AesSecretBox, keyIdOf} from '../../src/catalog/aes-secret-box.ts';
import {readSecretKeys, secretKeysOfFile} from '../../src/catalog/secret-key-file.ts';
import {createTestDatabase} from '../setup/postgres.ts';
import type {TestDatabase} from '../setup/postgres.ts';
import {SluiceCommand} from './sluice-command.ts';

// Processes are started on a machine that has other things to do.
vi.setConfig({testTimeout: 300_000, hookTimeout: 300_000});

let root: string;
let database: TestDatabase;
/** A superuser, straight to PostgreSQL. */
let admin: pg.Client;
let running: SluiceCommand[];

beforeEach(async () => {
  root = fs.mkdtempSync(join(tmpdir(), 'sluice-rotation-'));
  database = await createTestDatabase();
  admin = await connected(database.url);
  running = [];
});
afterEach(async () => {
  for (const command of running) await command[Symbol.asyncDispose]();
  await admin.end();
  await database.drop();
  fs.rmSync(root, {recursive: true});
});

const keyFile = () => join(root, 'data', 'secret.key');

async function connected(url: string): Promise<pg.Client> {
  const client = new pg.Client({connectionString: url});
  client.on('error', () => undefined);
  await client.connect();
  return client;
}

let commands = 0;
async function sluice(
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): Promise<SluiceCommand> {
  const command = await SluiceCommand.run(args, {logFile: join(root, `${++commands}.log`), environment});
  running.push(command);
  return command;
}

/** A Sluice on the test's database, and a client of the address where superusers may connect. */
async function start(environment: Readonly<Record<string, string>> = {}, dataDir = 'data'): Promise<pg.Client> {
  const command = await sluice(
    [
      ...['start', '--postgres', database.url, '--data-dir', join(root, dataDir)],
      ...['--listen', '127.0.0.1:0', '--internal-listen', '127.0.0.1:0', '--log-format', 'json'],
    ],
    environment,
  );
  await command.ready();
  const url = new URL(database.url);
  url.port = /"port":(\d+).*administrators can connect/.exec(command.output)![1];
  return await connected(url.href);
}

const runCluster = () => [
  ...['cluster', 'quickstart', '--postgres', database.url],
  ...['--data-dir', join(root, 'c'), '--log-format', 'json'],
];

const onDatabase = () => ['--postgres', database.url, '--data-dir', join(root, 'data')];

async function finished(command: SluiceCommand): Promise<string> {
  return `${await command.ended()}\n${command.output}`;
}

/** Which key each secret is sealed with, in order of their creation. */
async function keysInUse(): Promise<string[]> {
  const {rows} = await admin.query<{sealed: Buffer}>('SELECT sealed FROM mz_sluice.secret_value ORDER BY secret');
  return rows.map(({sealed}) => keyIdOf(sealed));
}

async function values(): Promise<string[]> {
  const box = new AesSecretBox(secretKeysOfFile(keyFile()));
  const {rows} = await admin.query<{secret: string; sealed: Buffer}>(
    'SELECT * FROM mz_sluice.secret_value ORDER BY secret',
  );
  return rows.map(({secret, sealed}) => box.open(secret, sealed).toString());
}

async function waitsForLock(application: string): Promise<void> {
  await poll('a rotation that waits', 60_000, async () => {
    const {rowCount} = await admin.query(
      "SELECT FROM pg_stat_activity WHERE application_name = $1 AND wait_event_type = 'Lock' AND datname = current_database()",
      [application],
    );
    return rowCount === 1;
  });
}

test('secrets get another key while Sluice runs, and what is typed then gets it too', async () => {
  const client = await start();
  await client.query("CREATE SECRET a AS 'one'; CREATE SECRET b AS 'two'");
  const [old] = readSecretKeys(keyFile())!;
  expect(await keysInUse()).toEqual([old.id, old.id]);
  // A session that has typed a secret and is not done yet.
  await client.query("BEGIN; CREATE SECRET c AS 'three'");
  const rotation = await sluice(['secrets', 'rotate', ...onDatabase()]);
  await waitsForLock('sluice secrets');
  await client.query('COMMIT');
  const [fresh, ...rest] = await poll('another key', 30_000, () => {
    const keys = readSecretKeys(keyFile())!;
    return keys.length === 2 && keys;
  });
  expect(rest).toEqual([old]);
  expect(await finished(rotation)).toBe(
    `code 0\nkey ${fresh.id} encrypts from now on; 3 secrets were encrypted again\n` +
      `${fresh.id}  encrypts  3 secrets\n${old.id}  decrypts  0 secrets\n`,
  );
  await client.query("ALTER SECRET b AS 'two again'; CREATE SECRET d AS 'four'");
  expect(await keysInUse()).toEqual([fresh.id, fresh.id, fresh.id, fresh.id]);
  expect(await values()).toEqual(['one', 'two again', 'three', 'four']);
  await client.end();
});

test('a rotation that is killed between two secrets changes nothing, and the next one finishes it', async () => {
  const client = await start();
  await client.query("CREATE SECRET a AS 'one'; CREATE SECRET b AS 'two'; CREATE SECRET c AS 'three'");
  const [old] = readSecretKeys(keyFile())!;
  // The last one, so that the others are sealed again already.
  await admin.query('BEGIN');
  await admin.query(
    'SELECT FROM mz_sluice.secret_value WHERE secret = (SELECT max(secret) FROM mz_sluice.secret_value) FOR UPDATE',
  );
  const killed = await sluice(['secrets', 'rotate', ...onDatabase()]);
  const watcher = await connected(database.url);
  await poll('a rotation that waits for the last secret', 60_000, async () => {
    const {rowCount} = await watcher.query(
      `SELECT FROM pg_stat_activity WHERE application_name = 'sluice secrets' AND wait_event_type = 'Lock'
       AND query LIKE 'UPDATE%' AND datname = current_database()`,
    );
    return rowCount === 1;
  });
  killed.signal('SIGKILL');
  expect(await killed.ended()).toBe('signal SIGKILL');
  await admin.query('ROLLBACK');
  await poll('the end of its session', 60_000, async () => {
    const {rowCount} = await watcher.query(
      "SELECT FROM pg_stat_activity WHERE application_name = 'sluice secrets' AND datname = current_database()",
    );
    return rowCount === 0;
  });
  await watcher.end();

  const [fresh] = readSecretKeys(keyFile())!;
  expect(fresh.id).not.toBe(old.id);
  expect(await keysInUse()).toEqual([old.id, old.id, old.id]);
  expect(await values()).toEqual(['one', 'two', 'three']);
  await client.query("ALTER SECRET a AS 'changed meanwhile'");
  expect(await finished(await sluice(['secrets', 'rotate', ...onDatabase()]))).toContain(
    '2 secrets were encrypted again',
  );
  expect(readSecretKeys(keyFile())!.map(({id}) => id)).toEqual([fresh.id, old.id]);
  expect(await keysInUse()).toEqual([fresh.id, fresh.id, fresh.id]);
  expect(await values()).toEqual(['changed meanwhile', 'two', 'three']);
  await client.end();
});

test('who has another key, or none, is told which one is missing, and changes nothing', async () => {
  const client = await start();
  await client.query("CREATE SECRET a AS 'canary-one'");
  await client.end();
  const [{id}] = readSecretKeys(keyFile())!;
  const other = {SLUICE_SECRET_KEY: 'ab'.repeat(32)};

  const refused = await finished(await sluice(['secrets', 'rotate', '--postgres', database.url], other));
  expect(refused).toMatch(/^code 1\nsluice: secrets are encrypted with a key that is not here/);
  expect(refused).toContain(id);
  expect(await finished(await sluice(['secrets', 'keys', '--postgres', database.url], other))).toContain(
    `${id}  missing   1 secrets`,
  );
  expect(await keysInUse()).toEqual([id]);

  const [main] = running;
  main.signal('SIGTERM');
  await main.ended();
  const elsewhere = await start(other, 'elsewhere');
  const starting = running.at(-1)!.output;
  expect(starting).toContain(`"key":"${id}","secrets":1`);
  await elsewhere.end();
  for (const [environment, here] of [
    [other, /DETAIL: {2}The keys here are [0-9a-f]{16}\./],
    [{}, /DETAIL: {2}There are no keys here\./],
  ] as const) {
    const cluster = await finished(await sluice(runCluster(), environment));
    expect(cluster).toMatch(/^code 1\nsluice: secrets are encrypted with a key that is not here/);
    expect(cluster).toContain(id);
    expect(cluster).toMatch(here);
  }
  for (const {output} of running) expect(output).not.toContain('canary-one');
});

test('a cluster elsewhere whose key is rotated away says so and goes on, and again when it has the new one', async () => {
  const client = await start();
  await client.query("CREATE SECRET a AS 'canary-one'");
  const copy = join(root, 'copied.key');
  fs.copyFileSync(keyFile(), copy);
  // With users it looks four times a minute.
  const cluster = await sluice([...runCluster(), '--secret-key-file', copy], {
    SLUICE_TUNING: JSON.stringify({keysLookMs: 1_000}),
  });
  // Either of the two is first.
  await poll('the worker', 120_000, () => cluster.output.includes('worker owns the cluster'));
  const rotated = await finished(await sluice(['secrets', 'rotate', ...onDatabase()]));
  const [fresh] = readSecretKeys(keyFile())!;
  expect(rotated).toContain(`key ${fresh.id} encrypts from now on; 1 secrets were encrypted again`);
  const said = () => cluster.output.split('secrets cannot be read here any more').length - 1;
  await poll('the message', 120_000, () => said() === 1);
  expect(cluster.output).toContain(`secrets are encrypted with a key that is not here: ${fresh.id}`);

  fs.copyFileSync(keyFile(), copy);
  fs.chmodSync(copy, 0o644);
  await poll('the message that others can read the file', 120_000, () => said() === 2);
  expect(cluster.output).toContain('can be read by others');
  fs.chmodSync(copy, 0o600);
  cluster.signal('SIGTERM');
  expect(await cluster.ended()).toBe('code 0');
  expect(said()).toBe(2);
  expect(cluster.output).not.toContain('canary-one');
  await client.end();
});

test('keys of the environment: put in front by hand, then the secrets follow', async () => {
  const [first, second] = ['1a'.repeat(32), '2b'.repeat(32)];
  const client = await start({SLUICE_SECRET_KEY: `${first}, ${second}`});
  await client.query("CREATE SECRET a AS 'one'");
  await client.end();
  const [before] = await keysInUse();
  expect(
    await finished(await sluice(['secrets', 'rotate', '--postgres', database.url], {SLUICE_SECRET_KEY: first})),
  ).toContain('Put a new key in front of SLUICE_SECRET_KEY');
  expect(
    await finished(
      await sluice(['secrets', 'rotate', '--postgres', database.url], {SLUICE_SECRET_KEY: `${second},${first}`}),
    ),
  ).toContain('1 secrets were encrypted again');
  expect(await keysInUse()).not.toEqual([before]);
  expect(fs.existsSync(keyFile())).toBe(false);
});

test('beside an embedded engine, and what is said when none runs', async () => {
  fs.chmodSync(root, 0o711);
  const directory = join(root, 'embedded');
  const rotate = ['secrets', 'rotate', '--data-dir', directory];
  expect(await finished(await sluice(rotate))).toMatch(/^code 1\nsluice: ".*" is no data directory/);
  const command = await sluice(['start', '--data-dir', directory, '--listen', '127.0.0.1:0']);
  const client = await connected((await command.ready()).href);
  await client.query("CREATE SECRET a AS 'one'");
  await client.end();
  expect(await finished(await sluice(rotate))).toContain('1 secrets were encrypted again');
  command.signal('SIGTERM');
  await command.ended();
  expect(await finished(await sluice(rotate))).toMatch(/^code 1\nsluice: no Sluice runs on/);
});
