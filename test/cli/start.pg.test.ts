import {spawn} from 'node:child_process';
import type {ChildProcess} from 'node:child_process';
import fs from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import pg from 'pg';
import {afterEach, beforeEach, expect, test} from 'vitest';
import {isAlive, readPostmasterFile} from '../../src/engine/postmaster.ts';
import {connect} from '../../src/engine/connect.ts';
import {selfSignedCertificate} from '../setup/certificate.ts';
import {createTestDatabase} from '../setup/postgres.ts';
import {SLUICE} from '../setup/program.ts';

let root: string;
let running: Sluice[];

beforeEach(() => {
  root = fs.mkdtempSync(join(tmpdir(), 'sluice-cli-'));
  fs.chmodSync(root, 0o711);
  running = [];
});
afterEach(async () => {
  for (const sluice of running) await sluice.end('SIGTERM');
  fs.rmSync(root, {recursive: true});
});

/** A process of the command line, as users start it. */
class Sluice {
  readonly process: ChildProcess;
  readonly ended: Promise<number | NodeJS.Signals>;
  stdout = '';
  stderr = '';

  constructor(args: readonly string[], environment: Readonly<Record<string, string>> = {}) {
    this.process = spawn(process.execPath, [SLUICE, ...args], {
      env: {...process.env, ...environment},
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.process.stdout!.on('data', data => (this.stdout += String(data)));
    this.process.stderr!.on('data', data => (this.stderr += String(data)));
    this.ended = new Promise(resolve => {
      this.process.once('close', (code, signal) => resolve(signal ?? code!));
    });
    running.push(this);
  }

  /** The URL of the one line that is promised on standard output. */
  async ready(): Promise<URL> {
    const over = () => this.process.exitCode !== null;
    await expect.poll(() => this.stdout.endsWith('\n') || over(), {timeout: 50_000, interval: 50}).toBe(true);
    const [, url] = /^sluice is ready: (postgres:\/\/\S+)\n$/.exec(this.stdout) ?? [];
    if (url === undefined) throw new Error(`not ready:\n${this.stdout}\n${this.stderr}`);
    return new URL(url);
  }

  async end(signal: NodeJS.Signals): Promise<number | NodeJS.Signals> {
    this.process.kill(signal);
    return await this.ended;
  }
}

const dataDir = () => join(root, 'data');
const start = (args: readonly string[] = [], environment: Readonly<Record<string, string>> = {}) =>
  new Sluice(['start', '--data-dir', dataDir(), '--listen', '127.0.0.1:0', ...args], environment);
const postmaster = () => readPostmasterFile(join(dataDir(), 'postgres', 'data'));

async function ask(url: URL, text: string): Promise<unknown[]> {
  const client = new pg.Client({connectionString: url.href});
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(text)).rows;
  } finally {
    await client.end();
  }
}

test('starts, says where, answers SQL of PostgreSQL and of ours, and ends with status 0 and without a trace', async () => {
  const sluice = start();
  const url = await sluice.ready();
  expect(url.href).toMatch(/^postgres:\/\/materialize@127\.0\.0\.1:\d+\/materialize$/);
  expect(await ask(url, 'SELECT current_user::text AS me')).toEqual([{me: 'materialize'}]);
  expect(await ask(url, 'SHOW CLUSTERS')).toMatchObject([{name: 'quickstart'}]);
  const {pid} = postmaster()!;
  expect(await sluice.end('SIGTERM')).toBe(0);
  expect(sluice.stdout).toMatch(/^sluice is ready: .*\n$/);
  expect(isAlive(pid)).toBe(false);
});

test('roles and databases keep settings of ours', async () => {
  const sluice = start();
  const url = await sluice.ready();
  const begins = async () => {
    const client = new pg.Client({connectionString: url.href});
    const notices: (string | undefined)[] = [];
    client.on('notice', ({code}) => notices.push(code));
    await client.connect();
    await client.end();
    return notices;
  };
  expect(await begins()).toEqual(['00000']);
  await ask(url, 'ALTER ROLE materialize SET welcome_message = off');
  await ask(url, 'ALTER DATABASE materialize SET cluster TO later');
  expect(await begins()).toEqual(['MZ005']);
  expect(await ask(url, 'SHOW cluster')).toEqual([{cluster: 'later'}]);
  expect(await ask(url, 'SELECT parameter_name, parameter_value FROM mz_role_parameters')).toEqual([
    {parameter_name: 'welcome_message', parameter_value: 'off'},
  ]);
  await ask(url, 'ALTER ROLE materialize RESET welcome_message; ALTER DATABASE materialize RESET cluster');
  expect(await begins()).toEqual(['00000']);
  expect(await sluice.end('SIGTERM')).toBe(0);
});

test('Ctrl-C ends it in order too, also with a session in the middle of a query', async () => {
  const sluice = start();
  const client = new pg.Client({connectionString: (await sluice.ready()).href});
  client.on('error', () => undefined);
  await client.connect();
  const sleeping = client.query('SELECT pg_sleep(600)').catch((error: unknown) => error);
  expect(await sluice.end('SIGINT')).toBe(0);
  expect(await sleeping).toBeInstanceOf(Error);
});

test('killed, the next start goes on with what was committed', async () => {
  const first = start();
  await ask(await first.ready(), 'CREATE TABLE kept AS SELECT 42 AS answer');
  const {pid} = postmaster()!;
  // Its end is that of its output, which the workers share: they have to end with it.
  expect(await first.end('SIGKILL')).toBe('SIGKILL');
  const second = start();
  expect(await ask(await second.ready(), 'SELECT answer FROM kept')).toEqual([{answer: 42}]);
  expect(postmaster()!.pid).toBe(pid);
});

test('a second one on the same directory is refused in words', async () => {
  const sluice = start();
  await sluice.ready();
  const second = start();
  expect(await second.ended).toBe(1);
  expect(second.stdout).toBe('');
  expect(second.stderr).toContain('is in use by another sluice');
  expect(second.stderr).toContain(`HINT:  Stop it first (kill ${sluice.process.pid})`);
});

test('with a password nobody gets in without, and it is in no environment and no list of processes', async () => {
  const sluice = start([], {SLUICE_PASSWORD: 'canary-password'});
  const url = await sluice.ready();
  await expect(ask(url, 'SELECT 1')).rejects.toThrow(/password/);
  url.password = 'wrong';
  await expect(ask(url, 'SELECT 1')).rejects.toMatchObject({code: '28P01'});
  url.password = 'canary-password';
  expect(await ask(url, 'SELECT 1 AS one')).toEqual([{one: 1}]);
  for (const pid of fs.readdirSync('/proc').filter(name => /^\d+$/.test(name))) {
    if (Number(pid) === sluice.process.pid || !isDescendant(Number(pid), sluice.process.pid!)) continue;
    expect(fs.readFileSync(`/proc/${pid}/environ`, 'latin1'), pid).not.toContain('canary-password');
  }
  expect(sluice.stderr).not.toContain('canary-password');
});

test('a password among the arguments does not stay visible', async () => {
  const sluice = start(['--password', 'canary-password']);
  const url = await sluice.ready();
  expect(fs.readFileSync(`/proc/${sluice.process.pid}/cmdline`, 'latin1')).not.toContain('canary-password');
  url.password = 'canary-password';
  expect(await ask(url, 'SELECT 1 AS one')).toEqual([{one: 1}]);
});

function isDescendant(pid: number, ancestor: number): boolean {
  for (let at = pid; at > 1;) {
    if (at === ancestor) return true;
    try {
      const stat = fs.readFileSync(`/proc/${at}/stat`, 'latin1');
      at = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
    } catch {
      return false;
    }
  }
  return false;
}

test('administrators come in by the internal address, with the password of the file, and only there', async () => {
  const sluice = start(['--internal-listen', '127.0.0.1:0']);
  const url = await sluice.ready();
  const port = /"host":"127\.0\.0\.1","port":(\d+)/.exec(sluice.stderr)![1];
  url.username = 'mz_system';
  url.password = fs.readFileSync(join(dataDir(), 'superuser-password'), 'utf8');
  await expect(ask(url, 'SELECT 1')).rejects.toMatchObject({code: '28000'});
  url.port = port;
  expect(await ask(url, 'SELECT current_user::text AS me')).toEqual([{me: 'mz_system'}]);
  url.password = '';
  await expect(ask(url, 'SELECT 1')).rejects.toThrow(/password/);
});

test('an address that other machines reach is refused, before anything is made', async () => {
  for (const args of [
    ['--listen', '0.0.0.0:0', '--password', 'x'],
    ['--internal-listen', '[::]:0'],
  ]) {
    const sluice = start(args);
    expect(await sluice.ended).toBe(1);
    expect(sluice.stderr).toContain('can be reached by other machines');
  }
  expect(fs.existsSync(dataDir())).toBe(false);
});

test('a port that is taken is an error of one line, and the engine does not stay behind', async () => {
  const sluice = start();
  const {port} = await sluice.ready();
  const other = new Sluice(['start', '--data-dir', join(root, 'other'), '--listen', `127.0.0.1:${port}`]);
  expect(await other.ended).toBe(1);
  expect(other.stderr).toContain('EADDRINUSE');
  expect(readPostmasterFile(join(root, 'other', 'postgres', 'data'))).toBeUndefined();
});

test('on a PostgreSQL of the user', async () => {
  const database = await createTestDatabase({version: 15});
  const role = `r${Math.random().toString(36).slice(2)}`;
  const admin = await connect(database.address, {applicationName: 'test'});
  try {
    await admin.query(`CREATE ROLE ${role} LOGIN PASSWORD 'pw'`);
    const withoutPassword = new URL(database.url);
    withoutPassword.password = '';
    const sluice = start(['--postgres', withoutPassword.href], {PGPASSWORD: database.address.password!});
    const url = await sluice.ready();
    expect(url.pathname).toBe(`/${database.address.database}`);
    url.username = role;
    url.password = 'pw';
    expect(await ask(url, `SELECT current_setting('server_version_num')::int / 10000 AS major`)).toEqual([{major: 15}]);
    expect(await ask(url, 'SHOW CLUSTERS')).toMatchObject([{name: 'quickstart'}]);
    const second = start(['--postgres', database.url]);
    expect(await second.ended).toBe(1);
    expect(second.stderr).toContain('is in use by another sluice');
    expect(await sluice.end('SIGTERM')).toBe(0);
    expect(fs.existsSync(join(dataDir(), 'postgres'))).toBe(false);
  } finally {
    await admin.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
    await admin.end();
    await database.drop();
  }
});

test('an unreachable PostgreSQL of the user, without his password in the message', async () => {
  const sluice = start(['--postgres', 'postgres://u:canary-password@127.0.0.1:1/d']);
  expect(await sluice.ended).toBe(1);
  expect(sluice.stderr).toContain('could not connect to PostgreSQL at 127.0.0.1:1');
  expect(sluice.stderr).not.toContain('canary-password');
});

test('help, version and wrong words', async () => {
  const help = new Sluice(['start', '--help']);
  expect(await help.ended).toBe(0);
  for (const option of ['--data-dir <path>', '--listen <host:port>', 'SLUICE_LOG_LEVEL', '127.0.0.1:6875']) {
    expect(help.stdout).toContain(option);
  }
  const version = new Sluice(['--version']);
  expect(await version.ended).toBe(0);
  expect(version.stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
  for (const args of [['start', '--no-such'], ['sing'], ['start', '--listen', '6875'], ['cluster', 'c']]) {
    const wrong = new Sluice(args);
    expect(await wrong.ended, args.join(' ')).toBe(1);
    expect(wrong.stderr, args.join(' ')).toMatch(/error: |sluice: /);
  }
});

test('one cluster elsewhere, against the same PostgreSQL', async () => {
  const database = await createTestDatabase();
  try {
    // The main process makes the state, and pauses its own worker by ending.
    const main = start(['--postgres', database.url]);
    await main.ready();
    expect(await main.end('SIGTERM')).toBe(0);
    const cluster = new Sluice([
      'cluster',
      'quickstart',
      '--postgres',
      database.url,
      '--data-dir',
      join(root, 'spill'),
    ]);
    await expect.poll(() => cluster.stderr, {timeout: 30_000}).toContain('worker owns the cluster');
    expect(await cluster.end('SIGTERM')).toBe(0);
  } finally {
    await database.drop();
  }
});

test('TLS for clients: the files are checked before anything is made, and read again at SIGHUP', async () => {
  const {certificate, key} = selfSignedCertificate(root);
  const alone = start(['--tls-cert', certificate]);
  expect(await alone.ended).toBe(1);
  expect(alone.stderr).toContain('--tls-cert and --tls-key belong together');
  const swapped = start(['--tls-cert', key, '--tls-key', certificate]);
  expect(await swapped.ended).toBe(1);
  expect(swapped.stderr).toContain('holds no certificate');
  const withoutPassword = start(['--listen', '0.0.0.0:0', '--tls-cert', certificate, '--tls-key', key]);
  expect(await withoutPassword.ended).toBe(1);
  expect(withoutPassword.stderr).toContain('Not given: --password.');
  expect(fs.existsSync(dataDir())).toBe(false);

  const sluice = start(['--tls-cert', certificate, '--tls-key', key], {SLUICE_PASSWORD: 'canary-password'});
  const url = await sluice.ready();
  url.password = 'canary-password';
  url.searchParams.set('sslmode', 'no-verify');
  expect(await ask(url, 'SELECT 1 AS one')).toEqual([{one: 1}]);
  selfSignedCertificate(root);
  sluice.process.kill('SIGHUP');
  await expect.poll(() => sluice.stderr, {timeout: 30_000}).toContain('certificate and key read again');
  expect(await ask(url, 'SELECT 1 AS one')).toEqual([{one: 1}]);
  expect(await sluice.end('SIGTERM')).toBe(0);
});
