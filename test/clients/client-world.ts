import {mkdtemp, rm} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {SluiceProcess} from '../crash/sluice-process.ts';
import {selfSignedCertificate} from '../setup/certificate.ts';
import {kafkaAddress} from '../setup/kafka.ts';

export const PASSWORD = 'a password: 100% "hers"';

/** Two of `sluice start`, as strangers meet it: one that asks for a password and speaks TLS, one that takes everybody. */
export class ClientWorld implements AsyncDisposable {
  /** For what a test has to write. */
  readonly directory: string;
  /** Of the first one's certificate, which names localhost. */
  readonly authority: string;
  readonly #guarded: SluiceProcess;
  readonly #open: SluiceProcess;

  private constructor(directory: string, authority: string, guarded: SluiceProcess, open: SluiceProcess) {
    this.directory = directory;
    this.authority = authority;
    this.#guarded = guarded;
    this.#open = open;
  }

  static async start(): Promise<ClientWorld> {
    const directory = await mkdtemp(join(tmpdir(), 'sluice-clients-'));
    const {certificate, key} = selfSignedCertificate(directory);
    const guarded = await SluiceProcess.create();
    const open = await SluiceProcess.create();
    const world = new ClientWorld(directory, certificate, guarded, open);
    try {
      const settings = {SLUICE_PASSWORD: PASSWORD, SLUICE_TLS_CERT: certificate, SLUICE_TLS_KEY: key};
      await Promise.all([guarded.start(settings), open.start()]);
    } catch (error) {
      await world[Symbol.asyncDispose]();
      throw error;
    }
    return world;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.#guarded[Symbol.asyncDispose](), this.#open[Symbol.asyncDispose]()]);
    await rm(this.directory, {recursive: true, force: true});
  }

  /** With a password. */
  get url(): string {
    const url = new URL(this.#guarded.url);
    url.password = encodeURIComponent(PASSWORD);
    return url.href;
  }

  /** Without. */
  get openUrl(): string {
    return this.#open.url;
  }

  /** What libpq and the programs of this folder read. */
  get environment(): NodeJS.ProcessEnv {
    const {port, username, pathname} = new URL(this.url);
    return {
      PATH: process.env['PATH'],
      HOME: this.directory,
      LANG: 'C.UTF-8',
      // The certificate's name, which stands for 127.0.0.1.
      PGHOST: 'localhost',
      PGPORT: port,
      PGUSER: username,
      PGPASSWORD: PASSWORD,
      PGDATABASE: pathname.slice(1),
      PGSSLMODE: 'disable',
      OPEN_PORT: new URL(this.openUrl).port,
      TLS_ROOT: this.authority,
      KAFKA: kafkaAddress(),
    };
  }
}
