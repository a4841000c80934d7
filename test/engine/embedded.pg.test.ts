import {execFileSync, fork, spawn} from 'node:child_process';
import type {ChildProcess} from 'node:child_process';
import {once} from 'node:events';
import fs from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {fileURLToPath} from 'node:url';
import type pg from 'pg';
import {afterAll, afterEach, beforeAll, beforeEach, describe, expect, test} from 'vitest';
import {createLogger} from '../../src/base/log.ts';
import {connect} from '../../src/engine/connect.ts';
import {EngineSupervisor} from '../../src/engine/embedded.ts';
import {FileLock, isSuspended} from '../../src/engine/file-lock.ts';
import {findPostmaster, isAlive, readPostmasterFile, stopPostmaster} from '../../src/engine/postmaster.ts';
import {chooseServerUser} from '../../src/engine/server-user.ts';

const isRoot = process.getuid?.() === 0;
const log = createLogger({level: 'silent', name: 'test'});

/** Of one test: folders that are removed, processes that are ended. */
let root: string;
let dataDir: string;
let cleanUp: (() => Promise<void> | void)[];

/** Of the whole file: a data directory that has been started once. */
let template: string;
beforeAll(async () => {
  template = fs.mkdtempSync(join(tmpdir(), 'sluice-engine-'));
  fs.chmodSync(template, 0o711);
  const engine = await EngineSupervisor.start({dataDir: join(template, 'data'), log});
  await engine.stop();
});
afterAll(() => {
  fs.rmSync(template, {recursive: true});
});

/** Not the first start: what is moved with its owners and modes is as good as new. */
function useTemplate(): void {
  execFileSync('cp', ['-a', join(template, 'data'), dataDir]);
}

beforeEach(() => {
  root = fs.mkdtempSync(join(tmpdir(), 'sluice-engine-'));
  fs.chmodSync(root, 0o711);
  dataDir = join(root, 'data');
  cleanUp = [];
});
afterEach(async () => {
  for (const work of cleanUp.reverse()) await work();
  const postmaster = fs.existsSync(home()) ? findPostmaster(pgData()) : undefined;
  if (postmaster !== undefined) await stopPostmaster(postmaster.pid);
  if (home().startsWith('/var/lib/sluice/')) fs.rmSync(home(), {recursive: true});
  fs.rmSync(root, {recursive: true});
});

function home(): string {
  const file = join(dataDir, 'sluice.json');
  if (!fs.existsSync(file)) return join(dataDir, 'postgres');
  const record = JSON.parse(fs.readFileSync(file, 'utf8')) as {home: string};
  return record.home.startsWith('/') ? record.home : join(dataDir, record.home);
}
const pgData = () => join(home(), 'data');

async function start(password?: string): Promise<EngineSupervisor> {
  const engine = await EngineSupervisor.start({dataDir, password, log});
  let stopped = false;
  const stop = engine.stop.bind(engine);
  engine.stop = async () => {
    if (!stopped) await stop();
    stopped = true;
  };
  cleanUp.push(() => engine.stop());
  return engine;
}

async function ask<R extends pg.QueryResultRow>(engine: EngineSupervisor, text: string): Promise<R[]> {
  const client = await connect(engine.address, {applicationName: 'test'});
  try {
    return (await client.query<R>(text)).rows;
  } finally {
    await client.end();
  }
}

/** The engine in a process of its own. */
class Holder {
  readonly process: ChildProcess;
  readonly #heard: string[] = [];

  constructor(password?: string) {
    const script = fileURLToPath(new URL('./hold-engine.ts', import.meta.url));
    this.process = fork(script, [dataDir], {
      execArgv: ['--import', 'tsx'],
      env: {...process.env, ...(password === undefined ? {} : {HOLD_PASSWORD: password})},
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
    });
    this.process.on('message', event => this.#heard.push(event as string));
    cleanUp.push(() => this.kill());
  }

  /** The next thing that it says. */
  async hears(): Promise<string> {
    await expect.poll(() => this.#heard.length, {timeout: 30_000}).toBeGreaterThan(0);
    return this.#heard.shift()!;
  }

  async kill(): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const ended = once(this.process, 'exit');
    this.process.kill('SIGKILL');
    await ended;
  }
}

describe('first start', () => {
  test('makes the user, the database and the settings that are promised', async () => {
    const engine = await start();
    expect(
      await ask(
        engine,
        `SELECT rolname, rolsuper, rolcreaterole, rolcanlogin, rolpassword LIKE 'SCRAM-SHA-256$%' AS scram
        FROM pg_authid WHERE rolcanlogin ORDER BY 1`,
      ),
    ).toEqual([
      {rolname: 'materialize', rolsuper: false, rolcreaterole: true, rolcanlogin: true, scram: null},
      {rolname: 'mz_system', rolsuper: true, rolcreaterole: true, rolcanlogin: true, scram: true},
    ]);
    expect(
      await ask(
        engine,
        `SELECT pg_get_userbyid(datdba) AS owner, pg_encoding_to_char(encoding) AS encoding, datlocale
        FROM pg_database WHERE datname = current_database()`,
      ),
    ).toEqual([{owner: 'materialize', encoding: 'UTF8', datlocale: 'C.UTF-8'}]);
    const names = ['wal_level', 'fsync', 'synchronous_commit', 'listen_addresses', 'TimeZone', 'log_statement'];
    const settings = await ask<{name: string; setting: string}>(
      engine,
      `SELECT name, reset_val AS setting FROM pg_settings WHERE name IN ('${names.join("','")}')`,
    );
    expect(Object.fromEntries(settings.map(row => [row.name, row.setting]))).toEqual({
      wal_level: 'logical',
      fsync: 'on',
      synchronous_commit: 'on',
      listen_addresses: '',
      TimeZone: 'UTC',
      log_statement: 'none',
    });
  });

  test('the socket lets materialize in without a password, the administrator only with his', async () => {
    const engine = await start();
    const attempt = async (user: string, password: string | undefined) => {
      const client = await connect({...engine.address, user, password}, {applicationName: 'test'});
      await client.end();
    };
    await attempt('materialize', undefined);
    await expect(attempt('mz_system', 'wrong')).rejects.toMatchObject({code: '28P01'});
    expect(fs.statSync(engine.address.host).mode & 0o777).toBe(0o700);
    expect(Buffer.byteLength(join(engine.address.host, '.s.PGSQL.5432'))).toBeLessThanOrEqual(100);
  });

  test('the password of the administrator is in one file of ours and nowhere else', async () => {
    const engine = await start();
    const file = join(dataDir, 'superuser-password');
    const password = fs.readFileSync(file, 'utf8');
    expect(password).toMatch(/^[\w-]{32}$/);
    expect(fs.statSync(file)).toMatchObject({mode: 0o100600, uid: process.getuid?.()});
    const others = execFileSync('grep', ['-rlF', password, dataDir], {encoding: 'utf8'});
    expect(others.trim()).toBe(file);
    const {pid} = findPostmaster(pgData())!;
    for (const what of ['cmdline', 'environ']) {
      expect(fs.readFileSync(`/proc/${pid}/${what}`, 'latin1')).not.toContain(password);
    }
    expect(engine.address.password).toBe(password);
  });

  test('the log holds neither statements nor values of failing ones', async () => {
    const engine = await start();
    await expect(ask(engine, `SELECT 'canary-one'::int`)).rejects.toMatchObject({code: '22P02'});
    await expect(ask(engine, `CREATE ROLE x PASSWORD 'canary-two' NONSENSE`)).rejects.toMatchObject({code: '42601'});
    await ask(engine, `DO $$ BEGIN RAISE WARNING 'canary-three'; END $$`);
    await engine.stop();
    const written = fs.readdirSync(join(home(), 'log')).map(name => fs.readFileSync(join(home(), 'log', name), 'utf8'));
    expect(written.join('')).toContain('database system is shut down');
    expect(written.join('')).not.toContain('canary');
  });

  test('what an unfinished initdb left is no obstacle', async () => {
    await (await start()).stop();
    const file = join(dataDir, 'sluice.json');
    fs.writeFileSync(file, fs.readFileSync(file, 'utf8').replace('"initialised": true', '"initialised": false'));
    fs.rmSync(join(pgData(), 'base'), {recursive: true});
    const engine = await start();
    expect(await ask(engine, 'SELECT 1 AS one')).toEqual([{one: 1}]);
  });
});

describe('later starts', () => {
  beforeEach(useTemplate);

  test('a stopped engine leaves no process, and its data is there again', async () => {
    const engine = await start();
    await ask(engine, 'CREATE TABLE public.kept AS SELECT 42 AS answer');
    const {pid} = findPostmaster(pgData())!;
    await engine.stop();
    expect(isAlive(pid)).toBe(false);
    expect(await ask(await start(), 'SELECT answer FROM public.kept')).toEqual([{answer: 42}]);
  });

  test('with --password everybody needs one, also in a server that was left running without', async () => {
    const holder = new Holder();
    expect(await holder.hears()).toBe('up');
    await holder.kill();
    const before = findPostmaster(pgData())!.pid;
    const engine = await start('s3cret');
    expect(findPostmaster(pgData())!.pid).not.toBe(before);
    const attempt = async (password: string | undefined) => {
      const client = await connect({...engine.address, user: 'materialize', password}, {applicationName: 'test'});
      await client.end();
    };
    await expect(attempt(undefined)).rejects.toMatchObject({code: '28P01'});
    await expect(attempt('wrong')).rejects.toMatchObject({code: '28P01'});
    await attempt('s3cret');
  });

  test('files of another major version or of a newer Sluice are refused', async () => {
    await (await start()).stop();
    fs.writeFileSync(join(pgData(), 'PG_VERSION'), '17\n');
    await expect(start()).rejects.toMatchObject({code: '55000', message: expect.stringContaining('PostgreSQL 17')});
    fs.writeFileSync(join(dataDir, 'sluice.json'), JSON.stringify({layout: 99, home: 'postgres', initialised: true}));
    await expect(start()).rejects.toMatchObject({code: '55000', message: expect.stringContaining('newer version')});
  });

  test("somebody else's directory is not touched", async () => {
    fs.rmSync(dataDir, {recursive: true});
    fs.mkdirSync(dataDir);
    fs.writeFileSync(join(dataDir, 'thesis.txt'), 'mine');
    await expect(start()).rejects.toMatchObject({code: '55000', detail: 'It contains "thesis.txt".'});
    expect(fs.readdirSync(dataDir)).toEqual(['thesis.txt']);
  });
});

describe('crashes', () => {
  beforeEach(useTemplate);

  const socketLock = () => join(dataDir, 'postgres', 'socket', '.s.PGSQL.5432.lock');

  /** Sluice and its server, which leaves its files. */
  async function killBoth(): Promise<void> {
    const holder = new Holder();
    expect(await holder.hears()).toBe('up');
    process.kill(findPostmaster(pgData())!.pid, 'SIGKILL');
    await holder.kill();
  }

  /** Another process of the server's user. */
  function startStranger(): ChildProcess {
    const stranger = spawn('sleep', ['600'], {stdio: 'ignore', ...chooseServerUser()});
    cleanUp.push(() => void stranger.kill());
    return stranger;
  }

  /** As if the kernel had given the number of the dead server to that process. */
  function renumber(file: string, {pid}: ChildProcess): void {
    fs.writeFileSync(file, fs.readFileSync(file, 'utf8').replace(/^\d+/, String(pid)));
  }

  test('Sluice alone is killed: the next one takes the running server over', async () => {
    const holder = new Holder();
    expect(await holder.hears()).toBe('up');
    const {pid} = findPostmaster(pgData())!;
    await holder.kill();
    expect(isAlive(pid)).toBe(true);
    const engine = await start();
    expect(findPostmaster(pgData())!.pid).toBe(pid);
    expect(await ask(engine, 'SELECT 1 AS one')).toEqual([{one: 1}]);
    await engine.stop();
    expect(isAlive(pid)).toBe(false);
  });

  test('the server alone is killed: it comes back, with all that was committed', async () => {
    const engine = await start();
    const events: string[] = [];
    for (const event of ['down', 'up'] as const) engine.on(event, () => events.push(event));
    await ask(engine, 'CREATE TABLE public.kept AS SELECT 42 AS answer');
    for (const round of [1, 2]) {
      process.kill(findPostmaster(pgData())!.pid, 'SIGKILL');
      await expect.poll(() => events.length, {timeout: 20_000}).toBe(2 * round);
    }
    expect(events).toEqual(['down', 'up', 'down', 'up']);
    expect(await ask(engine, 'SELECT answer FROM public.kept')).toEqual([{answer: 42}]);
  });

  test('a backend is killed: the server recovers by itself and keeps its process', async () => {
    const engine = await start();
    const up = new Promise<void>(resolve => engine.once('up', resolve));
    const {pid} = findPostmaster(pgData())!;
    const client = await connect(engine.address, {applicationName: 'test'});
    const {rows} = await client.query<{pid: number}>('SELECT pg_backend_pid() AS pid');
    process.kill(rows[0].pid, 'SIGKILL');
    await up;
    expect(findPostmaster(pgData())!.pid).toBe(pid);
    expect(await ask(engine, 'SELECT 1 AS one')).toEqual([{one: 1}]);
  });

  test('Sluice and the server are killed at once', async () => {
    const holder = new Holder();
    expect(await holder.hears()).toBe('up');
    const {pid} = findPostmaster(pgData())!;
    process.kill(pid, 'SIGKILL');
    await holder.kill();
    expect(await ask(await start(), 'SELECT 1 AS one')).toEqual([{one: 1}]);
    expect(findPostmaster(pgData())!.pid).not.toBe(pid);
  });

  test('the number of the dead server belongs to another process of its user', async () => {
    await killBoth();
    const stranger = startStranger();
    renumber(join(pgData(), 'postmaster.pid'), stranger);
    expect(await ask(await start(), 'SELECT 1 AS one')).toEqual([{one: 1}]);
    expect(stranger.exitCode).toBeNull();
    expect(readPostmasterFile(pgData())!.pid).not.toBe(stranger.pid);
  });

  test('its number is that of a process in the lock file of the socket too, and postmaster.pid is gone', async () => {
    await killBoth();
    const stranger = startStranger();
    renumber(socketLock(), stranger);
    fs.rmSync(join(pgData(), 'postmaster.pid'));
    expect(await ask(await start(), 'SELECT 1 AS one')).toEqual([{one: 1}]);
    expect(stranger.exitCode).toBeNull();
  });

  test.each(['postmaster.pid', 'socket lock'])('the server is killed before it wrote its number: %s', async name => {
    await killBoth();
    fs.writeFileSync(name === 'socket lock' ? socketLock() : join(pgData(), 'postmaster.pid'), '');
    expect(await ask(await start(), 'SELECT 1 AS one')).toEqual([{one: 1}]);
  });

  test('a server that does not start: what it says is told', async () => {
    const override = join(pgData(), 'postgresql.auto.conf');
    fs.writeFileSync(override, "shared_preload_libraries = 'nowhere'\n");
    await expect(start()).rejects.toMatchObject({code: '58000', detail: expect.stringContaining('"nowhere"')});
    // Found out only when its own log has begun.
    fs.writeFileSync(override, "ssl = 'on'\nssl_cert_file = 'no.crt'\n");
    await expect(start()).rejects.toMatchObject({code: '58000', detail: expect.stringContaining('no.crt')});
  });

  test('a server that is stuck is restarted', async () => {
    const holder = new Holder();
    expect(await holder.hears()).toBe('up');
    const {pid} = findPostmaster(pgData())!;
    await holder.kill();
    // Nobody can reach it any more, as after a clean-up of the folder for sockets.
    fs.rmSync(join(dataDir, 'postgres', 'socket', '.s.PGSQL.5432'));
    expect(await ask(await start(), 'SELECT 1 AS one')).toEqual([{one: 1}]);
    expect(isAlive(pid)).toBe(false);
  });
});

describe('one Sluice at a time', () => {
  test('a second one is refused, also while the first is suspended, and let in when that is dead', async () => {
    useTemplate();
    const holder = new Holder();
    expect(await holder.hears()).toBe('up');
    const {pid} = holder.process;
    await expect(start()).rejects.toMatchObject({
      code: '55006',
      detail: expect.stringContaining(`Process ${pid} on `),
      hint: expect.stringContaining(`kill ${pid}`),
    });
    holder.process.kill('SIGSTOP');
    await expect.poll(() => isSuspended(pid!)).toBe(true);
    await expect(start()).rejects.toMatchObject({code: '55006', hint: expect.stringContaining(`kill -CONT ${pid}`)});
    await holder.kill();
    expect(await ask(await start(), 'SELECT 1 AS one')).toEqual([{one: 1}]);
  });

  test('of several that start at once one wins', async () => {
    const holders = Array.from({length: 3}, () => new Holder());
    const answers = await Promise.all(holders.map(holder => holder.hears()));
    expect(answers.sort()).toEqual(['55006', '55006', 'up']);
  });

  test('a graceful end gives the lock back', async () => {
    useTemplate();
    const holder = new Holder();
    expect(await holder.hears()).toBe('up');
    holder.process.kill('SIGTERM');
    expect(await holder.hears()).toBe('stopped');
    const lock = await FileLock.acquire(join(dataDir, 'lock'));
    expect(lock).toBeInstanceOf(FileLock);
    (lock as FileLock).release();
  });
});

describe('places', () => {
  test('a path that is too long for a socket', async () => {
    dataDir = join(root, 'd'.repeat(100));
    const engine = await start();
    expect(engine.address.host.length).toBeLessThan(60);
    expect(fs.statSync(engine.address.host).mode & 0o777).toBe(0o700);
    const {host} = engine.address;
    await engine.stop();
    // It is found again, and made anew when it was swept away.
    const again = await start();
    expect(again.address.host).toBe(host);
    await again.stop();
    fs.rmSync(host, {recursive: true});
    const third = await start();
    expect(await ask(third, 'SELECT 1 AS one')).toEqual([{one: 1}]);
    await third.stop();
    fs.rmSync(third.address.host, {recursive: true});
  });

  test('blanks, quotes and commas in the path', async () => {
    dataDir = join(root, `it's a "good", path`);
    expect(await ask(await start(), 'SELECT 1 AS one')).toEqual([{one: 1}]);
  });

  // Only root runs the server as somebody else.
  if (isRoot) {
    test('below a home that the server cannot enter', async () => {
      fs.chmodSync(root, 0o700);
      const engine = await start();
      expect(home()).toMatch(/^\/var\/lib\/sluice\/[0-9a-f]{12}$/);
      await ask(engine, 'CREATE TABLE public.kept AS SELECT 42 AS answer');
      await engine.stop();
      expect(await ask(await start(), 'SELECT answer FROM public.kept')).toEqual([{answer: 42}]);
    });

    test('copies of such a directory cannot run side by side', async () => {
      fs.chmodSync(root, 0o700);
      await start();
      const copy = join(root, 'copy');
      fs.cpSync(dataDir, copy, {recursive: true});
      await expect(EngineSupervisor.start({dataDir: copy, log})).rejects.toMatchObject({code: '55006'});
    });

    test('the server runs as an ordinary user, who cannot read what is ours', async () => {
      await start();
      const {pid} = findPostmaster(pgData())!;
      expect(fs.statSync(`/proc/${pid}`).uid).toBe(chooseServerUser()!.uid);
      const user = chooseServerUser()!;
      for (const path of [join(dataDir, 'superuser-password'), join(dataDir, 'sluice.json')]) {
        expect(() => execFileSync('cat', [path], {...user, stdio: 'ignore'})).toThrow();
      }
    });
  }
});
