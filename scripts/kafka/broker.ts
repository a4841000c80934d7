import {execFile} from 'node:child_process';
import {randomBytes} from 'node:crypto';
import {existsSync} from 'node:fs';
import {mkdir, mkdtemp, readFile, rm, stat, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {promisify} from 'node:util';
import {Child} from '../process/child.ts';
import {freePorts} from '../process/free-port.ts';
import {poll} from '../process/poll.ts';
import {javaArguments, type Speed} from './java.ts';
import {serverProperties, type KafkaNode} from './server-properties.ts';

export interface BrokerOptions {
  /** Settings of server.properties that are added to ours or replace them. */
  readonly properties?: Readonly<Record<string, string>> | undefined;
  /** Largest Java heap of each node; 512 unless told otherwise. */
  readonly heapMb?: number | undefined;
  /** `quick` unless told otherwise. */
  readonly speed?: Speed | undefined;
  /** More options of Java. */
  readonly java?: readonly string[] | undefined;
}

/** One real Apache Kafka broker (KRaft, broker and controller in one). Port and data stay the same over stop, kill and start. */
export class Broker {
  readonly id: number;
  /** host:port for clients. */
  readonly address: string;
  readonly #node: KafkaNode;
  readonly #java: readonly string[];
  #child: Child | undefined;

  constructor(node: KafkaNode, options: BrokerOptions) {
    this.id = node.id;
    this.address = `127.0.0.1:${node.port}`;
    this.#node = node;
    const heap = ['-Xms256m', `-Xmx${options.heapMb ?? 512}m`];
    this.#java = [...heap, ...(options.java ?? []), ...javaArguments(options.speed ?? 'quick')];
  }

  get running(): boolean {
    return this.#child?.running === true;
  }

  /** Of a broker that has been started. */
  get pid(): number {
    return this.#child!.pid;
  }

  get logFile(): string {
    return join(this.#node.directory, 'server.log');
  }

  /** Resolves when the broker says that it has started. */
  async start(): Promise<void> {
    if (this.running) return;
    const logStart = existsSync(this.logFile) ? (await stat(this.logFile)).size : 0;
    const child = await Child.spawn({
      command: 'java',
      args: [...this.#java, 'kafka.Kafka', join(this.#node.directory, 'server.properties')],
      logFile: this.logFile,
    });
    this.#child = child;
    await poll(`the start of Kafka broker ${this.id} (${this.logFile})`, 60_000, async () => {
      const log = (await readFile(this.logFile)).subarray(logStart).toString();
      if (!child.running) throw new Error(`Kafka broker ${this.id} ended with ${child.ending}:\n${log.slice(-4000)}`);
      return log.includes('Kafka Server started');
    });
  }

  /** An orderly shutdown. */
  async stop(): Promise<void> {
    this.resume();
    await this.#child?.end('SIGTERM');
  }

  /** As `kill -9`: no word to anybody, files as they are. */
  async kill(): Promise<void> {
    await this.#child?.end('SIGKILL');
  }

  /** SIGSTOP: connections stay open, nothing answers. */
  pause(): void {
    this.#child?.signal('SIGSTOP');
  }

  resume(): void {
    this.#child?.signal('SIGCONT');
  }

  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }
}

/** Brokers that know each other. Disposing kills them and removes their data. */
export class KafkaCluster {
  readonly brokers: readonly Broker[];
  readonly #directory: string;

  private constructor(brokers: readonly Broker[], directory: string) {
    this.brokers = brokers;
    this.#directory = directory;
  }

  /** Formats the storage and starts `size` nodes (1 or 3). */
  static async start(size: 1 | 3 = 1, options: BrokerOptions = {}): Promise<KafkaCluster> {
    const directory = await mkdtemp(join(tmpdir(), 'sluice-kafka-'));
    const ports = await freePorts(2 * size);
    const nodes = Array.from({length: size}, (_, at) => ({
      id: at + 1,
      port: ports[2 * at],
      controllerPort: ports[2 * at + 1],
      directory: join(directory, String(at + 1)),
    }));
    const clusterId = randomClusterId();
    const cluster = new KafkaCluster(
      nodes.map(node => new Broker(node, options)),
      directory,
    );
    try {
      await Promise.all(
        nodes.map(async node => {
          await mkdir(node.directory);
          const file = join(node.directory, 'server.properties');
          const properties = {...serverProperties(node, nodes), ...options.properties};
          await writeFile(
            file,
            Object.entries(properties)
              .map(([key, value]) => `${key}=${value}\n`)
              .join(''),
          );
          await format(clusterId, file);
        }),
      );
      await Promise.all(cluster.brokers.map(broker => broker.start()));
    } catch (error) {
      await cluster[Symbol.asyncDispose]();
      if ((error as NodeJS.ErrnoException).syscall !== 'spawn java') throw error;
      const message =
        'a Kafka broker needs Java 17 or newer; on Debian and Ubuntu: apt-get install openjdk-17-jre-headless';
      throw new Error(message, {cause: error});
    }
    return cluster;
  }

  /** All brokers' addresses, as `bootstrap.servers` takes them. */
  get address(): string {
    return this.brokers.map(broker => broker.address).join(',');
  }

  /** The only broker, or the first of three. */
  get broker(): Broker {
    return this.brokers[0];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.brokers.map(broker => broker.kill()));
    await rm(this.#directory, {recursive: true, force: true});
  }
}

/** Twenty-two characters of base64url; Kafka takes no leading dash. */
function randomClusterId(): string {
  const id = randomBytes(16).toString('base64url');
  return id.startsWith('-') ? randomClusterId() : id;
}

async function format(clusterId: string, file: string): Promise<void> {
  const storageTool = [...javaArguments('quick'), 'kafka.tools.StorageTool'];
  await promisify(execFile)('java', [...storageTool, 'format', '-t', clusterId, '-c', file]);
}
