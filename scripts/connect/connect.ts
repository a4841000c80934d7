import {execFile} from 'node:child_process';
import {existsSync} from 'node:fs';
import {mkdtemp, readFile, rm, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join, resolve} from 'node:path';
import {promisify} from 'node:util';
import {Child} from '../process/child.ts';
import {fetchedDirectory} from '../process/fetched.ts';
import {freePort} from '../process/free-port.ts';

export type Properties = Readonly<Record<string, string>>;

const ROOT = resolve(import.meta.dirname, '../..');

/** Kafka Connect, standalone, with one connector. Disposing kills it and removes its files. */
export class Connect {
  readonly #child: Child;
  readonly #directory: string;

  private constructor(child: Child, directory: string) {
    this.#child = child;
    this.#directory = directory;
  }

  /** Resolves as soon as the process runs. `java`: options of Java; `worker` is added to what a worker must be told. */
  static async start(options: {
    readonly broker: string;
    readonly java: readonly string[];
    readonly worker: Properties;
    readonly connector: Properties;
  }): Promise<Connect> {
    const home = await provideConnect();
    const directory = await mkdtemp(join(tmpdir(), 'sluice-connect-'));
    const worker = join(directory, 'worker.properties');
    const connector = join(directory, 'connector.properties');
    const settings: Properties = {
      'bootstrap.servers': options.broker,
      'plugin.path': join(home, 'plugins'),
      'plugin.discovery': 'service_load',
      'offset.storage.file.filename': join(directory, 'offsets'),
      listeners: `http://127.0.0.1:${await freePort()}`,
      ...options.worker,
    };
    await writeFile(worker, text(settings));
    await writeFile(connector, text(options.connector), {mode: 0o600});
    const child = await Child.spawn({
      command: 'java',
      args: [
        ...options.java,
        `-Dlog4j2.configurationFile=${join(import.meta.dirname, 'log4j2.properties')}`,
        ...['-cp', join(home, 'lib', '*'), 'org.apache.kafka.connect.cli.ConnectStandalone', worker, connector],
      ],
      logFile: join(directory, 'connect.log'),
    });
    return new Connect(child, directory);
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** Throws, with the end of the log, if the process is gone. */
  async mustRun(): Promise<void> {
    if (this.#child.running) return;
    const log = await readFile(join(this.#directory, 'connect.log'), 'utf8');
    throw new Error(`Kafka Connect ended with ${this.#child.ending}:\n${log.slice(-4000)}`);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child.end('SIGKILL');
    await rm(this.#directory, {recursive: true, force: true});
  }
}

/** Fetched when it is needed for the first time: no test does. */
async function provideConnect(): Promise<string> {
  const home = fetchedDirectory('kafka-connect', join(import.meta.dirname, 'pom.xml'));
  if (!existsSync(home)) await promisify(execFile)(join(ROOT, 'scripts/setup'), ['--for', 'peers']);
  return home;
}

function text(properties: Properties): string {
  return Object.entries(properties)
    .map(([key, value]) => `${key}=${value}\n`)
    .join('');
}
