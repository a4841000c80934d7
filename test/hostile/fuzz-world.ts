import {randomBytes} from 'node:crypto';
import fs from 'node:fs';
import {tmpdir} from 'node:os';
import {join, resolve} from 'node:path';
import pg from 'pg';
import {poll} from '../../scripts/process/poll.ts';
import {removeDataDirectory} from '../../src/engine/data-directory.ts';
import {selfSignedCertificate} from '../setup/certificate.ts';
import {SluiceCommand, processTree, readProc} from '../secrets/sluice-command.ts';
import type {Users} from './recordings.ts';

/** What a gateway that nobody uses holds. */
export interface Usage {
  readonly descriptors: number;
  readonly backends: number;
  readonly residentBytes: number;
}

/**
 * A `sluice start` with its embedded engine, whose main address is what gets fuzzed. Two users without any rights but a schema of their
 * own; a third one, `keeper`, whose session shall not notice.
 */
export class FuzzWorld implements AsyncDisposable {
  readonly users: Users;
  readonly #root: string;
  readonly #sluice: SluiceCommand;
  readonly #admin: pg.Client;
  readonly #processes: readonly number[];

  private constructor(root: string, sluice: SluiceCommand, admin: pg.Client, users: Users) {
    this.#root = root;
    this.#sluice = sluice;
    this.#admin = admin;
    this.users = users;
    this.#processes = processTree(sluice.pid);
  }

  static async open(): Promise<FuzzWorld> {
    const root = fs.mkdtempSync(join(tmpdir(), 'sluice-fuzz-'));
    fs.chmodSync(root, 0o711);
    const dataDir = join(root, 'data');
    const {certificate, key} = selfSignedCertificate(root);
    const sluice = await SluiceCommand.run(
      [
        ...['start', '--data-dir', dataDir, '--listen', '127.0.0.1:0', '--log-level', 'debug'],
        ...['--tls-cert', certificate, '--tls-key', key],
      ],
      {logFile: join(root, 'sluice.log')},
    );
    const {port} = await sluice.ready();
    const {home, socketDirectory} = JSON.parse(fs.readFileSync(join(dataDir, 'sluice.json'), 'utf8')) as {
      home: string;
      socketDirectory: string;
    };
    const admin = new pg.Client({
      host: resolve(dataDir, socketDirectory),
      port: 5432,
      user: 'mz_system',
      password: fs.readFileSync(join(dataDir, 'superuser-password'), 'utf8').trim(),
      database: 'materialize',
    });
    await admin.connect();
    const users: Users = {
      port: Number(port),
      trusted: 'fuzz',
      withPassword: 'fuzz_with_password',
      password: randomBytes(9).toString('hex'),
      secret: `canary${randomBytes(12).toString('hex')}`,
    };
    await admin.query(
      `CREATE ROLE fuzz LOGIN; CREATE ROLE fuzz_with_password LOGIN PASSWORD '${users.password}';
       CREATE ROLE keeper LOGIN; CREATE SCHEMA fuzz AUTHORIZATION fuzz; CREATE TABLE public.kept AS SELECT 42 AS answer;
       GRANT SELECT ON public.kept TO keeper`,
    );
    const hba = join(resolve(dataDir, home), 'config', 'pg_hba.conf');
    fs.writeFileSync(hba, `local all fuzz_with_password scram-sha-256\n${fs.readFileSync(hba, 'utf8')}`);
    await admin.query('SELECT pg_reload_conf()');
    return new FuzzWorld(root, sluice, admin, users);
  }

  /** Through the gateway, as somebody whom mutations do not reach. */
  async connectKeeper(): Promise<pg.Client> {
    const client = new pg.Client(`postgres://keeper@127.0.0.1:${this.users.port}/materialize`);
    client.on('error', () => undefined);
    await client.connect();
    return client;
  }

  async usage(): Promise<Usage> {
    const {rows} = await this.#admin.query<{count: string}>(
      "SELECT count(*) FROM pg_stat_activity WHERE usename IN ('fuzz', 'fuzz_with_password') OR backend_type = 'client backend' AND usename IS NULL",
    );
    const resident = /^VmRSS:\s*(\d+) kB$/m.exec(readProc(`${this.#sluice.pid}/status`))?.[1];
    return {
      descriptors: fs.readdirSync(`/proc/${this.#sluice.pid}/fd`).length,
      backends: Number(rows[0].count),
      residentBytes: Number(resident) * 1024,
    };
  }

  /** Waits until it holds no more than `baseline`, with so much more memory. */
  async expectUsage(baseline: Usage, memoryBytes: number): Promise<Usage> {
    let now = baseline;
    const settled = async () => {
      now = await this.usage();
      return (
        now.descriptors <= baseline.descriptors &&
        now.backends <= baseline.backends &&
        now.residentBytes <= baseline.residentBytes + memoryBytes
      );
    };
    try {
      await poll('the gateway to let go', 90_000, settled, 200);
    } catch (cause) {
      throw new Error(`the gateway holds ${JSON.stringify(now)}, before it was ${JSON.stringify(baseline)}`, {cause});
    }
    return now;
  }

  /** What went wrong by the logs and the list of processes; empty if nothing did. */
  async complaints(): Promise<string[]> {
    const found: string[] = [];
    for (const pid of this.#processes) if (readProc(`${pid}/stat`) === '') found.push(`process ${pid} has ended`);
    const home = this.#sluice.output;
    for (const line of home.split('\n')) {
      if (/"level":"(error|fatal)"|Unhandled|uncaught/i.test(line)) found.push(line.slice(0, 1000));
    }
    if (home.includes(this.users.secret)) found.push('the log of Sluice shows a secret');
    const {rows} = await this.#admin.query<{path: string}>('SELECT pg_current_logfile() AS path');
    const {rows: directories} = await this.#admin.query<{path: string}>(
      "SELECT current_setting('data_directory') AS path",
    );
    const log = fs.readFileSync(resolve(directories[0].path, rows[0].path), 'utf8');
    if (log.includes(this.users.secret)) found.push('the log of PostgreSQL shows a secret');
    for (const line of log.split('\n')) {
      if (/PANIC|terminated by signal|was terminated|server process .* exited/.test(line)) found.push(line);
    }
    return found;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#admin.end();
    await this.#sluice[Symbol.asyncDispose]();
    await removeDataDirectory(join(this.#root, 'data'));
    fs.rmSync(this.#root, {recursive: true, force: true});
  }
}
