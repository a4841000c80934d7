import {readFile, writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {setTimeout as sleep} from 'node:timers/promises';
import pg from 'pg';
import {KafkaCluster} from '../../scripts/kafka/broker.ts';
import {Child} from '../../scripts/process/child.ts';
import {poll} from '../../scripts/process/poll.ts';
import {CRASH_POINTS, type CrashPoint} from '../../src/base/crash-point.ts';
import {connectionSql, readTopic} from '../setup/kafka.ts';
import {SLUICE} from '../setup/program.ts';
import {API, BrokerProxy} from '../targets/kafka/broker-proxy.ts';
import {compare, readReference, type Expectation} from './reference.ts';
import {SluiceProcess} from './sluice-process.ts';
import {Dice, runWriter, SCHEMA} from './workload.ts';

const WRITERS = 3;
const KEYS = 300;
/** Workers that die as soon as they live are not the matter here, and would be waited for most of the time; so would be what sinks have proved. */
const TUNING = {restartMs: 100, beatMs: 200};

export interface CrashRunOptions {
  readonly seed: number;
  /** Random kills, after each named crash point has had one. */
  readonly randomKills: number;
  readonly say: (line: string) => void;
}

export interface CrashRunResult {
  readonly kills: ReadonlyMap<string, number>;
  /** Of all kinds. */
  readonly total: number;
  /** How often each named point was passed, over the whole run. */
  readonly hits: ReadonlyMap<string, number>;
  readonly transactions: number;
  readonly ledgerRows: number;
  readonly messages: number;
  /** Empty = every topic is equal to the reference. */
  readonly problems: readonly string[];
}

/** Points that only a new sink passes; the others are passed again and again. */
const NEW_SINK: ReadonlySet<string> = new Set<CrashPoint>([
  'sink-begun',
  'sink-first-commit-recorded',
  'sink-published',
  'snapshot-taken',
  'snapshot-rows-written',
  'snapshot-committed',
  'snapshot-spooled',
  'snapshot-part-committed',
]);
/** Points that a sink passes when it goes over to another relation. */
const CUT_OVER: ReadonlySet<string> = new Set<CrashPoint>([
  'cut-over-published',
  'cut-over-committed',
  'cut-over-recorded',
]);
const SPOOLED: ReadonlySet<string> = new Set<CrashPoint>(['snapshot-spooled', 'snapshot-part-committed']);
/** Passed once in each life of a worker. */
const ONCE: ReadonlySet<string> = new Set<CrashPoint>([
  'kafka-after-fence',
  'kafka-after-read-progress',
  'sink-opened',
]);

/** Those that make another sink last: every worker opens all sinks again, which takes most of the time. */
const POINTS = Object.keys(CRASH_POINTS).sort((a, b) => Number(NEW_SINK.has(a)) - Number(NEW_SINK.has(b)));

const KINDS = [
  'worker',
  'sluice',
  'postgres',
  'whole tree',
  'broker',
  'broker before its answer',
  'paused worker',
] as const;

interface Sink extends Expectation {
  readonly topic: string;
  relation: 'orders' | 'orders_again';
}

interface SinkState {
  readonly name: string;
  readonly frontier: string | null;
  readonly status: string | null;
  readonly error: string | null;
  readonly details: unknown;
}

/** The whole house under load, killed in every way that we know; afterwards every topic must be what the ledger says. */
export class CrashRun {
  readonly #options: CrashRunOptions;
  readonly #dice: Dice;
  readonly #kills = new Map<string, number>();
  readonly #sinks: Sink[] = [];
  #kafka!: KafkaCluster;
  #proxy!: BrokerProxy;
  #sluice!: SluiceProcess;

  private constructor(options: CrashRunOptions) {
    this.#options = options;
    this.#dice = new Dice(options.seed);
  }

  static async run(options: CrashRunOptions): Promise<CrashRunResult> {
    const run = new CrashRun(options);
    options.say(`seed ${options.seed}`);
    await using kafka = await KafkaCluster.start();
    run.#kafka = kafka;
    await using proxy = await BrokerProxy.start(kafka.address);
    run.#proxy = proxy;
    await using sluice = await SluiceProcess.create();
    run.#sluice = sluice;
    return await run.#run();
  }

  async #run(): Promise<CrashRunResult> {
    await this.#prepare();
    const stopping = new AbortController();
    const writers = Array.from({length: WRITERS}, (_, number) =>
      runWriter({
        seed: this.#options.seed,
        number,
        writers: WRITERS,
        keys: KEYS,
        connect: () => this.#sluice.connect(),
        signal: stopping.signal,
        pauseMs: 4,
      }),
    );
    try {
      await this.#createSink({envelope: 'upsert', withSnapshot: true});
      await this.#createSink({envelope: 'debezium', withSnapshot: true});
      for (const point of POINTS) await this.#killAt(point);
      for (let kill = 0; kill < this.#options.randomKills; kill++) await this.#killAtRandom(kill);
    } finally {
      stopping.abort();
    }
    const transactions = (await Promise.all(writers)).reduce((a, b) => a + b, 0);
    return await this.#judge(transactions);
  }

  async #prepare(): Promise<void> {
    await this.#sluice.start();
    const engine = await this.#sluice.connectEngine();
    // The reference tells transactions of one millisecond apart by it; the other makes ordinary transactions arrive in pieces.
    await engine.query('ALTER SYSTEM SET track_commit_timestamp = on');
    await engine.query("ALTER SYSTEM SET logical_decoding_work_mem = '64kB'");
    await engine.end();
    await this.#sluice.stop();
    await this.#start();
    const client = await this.#sluice.connect();
    await client.query(SCHEMA);
    await client.query(connectionSql('kafka', this.#proxy.address));
    await client.end();
  }

  async #start(tuning: Readonly<Record<string, number>> = {}): Promise<void> {
    await this.#sluice.start({
      SLUICE_CRASH_LOG: join(this.#sluice.directory, 'points'),
      SLUICE_CRASH_AT: `@${this.#armedFile}`,
      SLUICE_TUNING: JSON.stringify({...TUNING, ...tuning}),
    });
  }

  async #createSink(expected: Expectation): Promise<void> {
    const number = this.#sinks.length + 1;
    const topic = `orders-${number}`;
    await this.#withClient(client =>
      client.query(
        `CREATE SINK sink_${number} FROM orders INTO KAFKA CONNECTION kafka (TOPIC '${topic}', TOPIC PARTITION COUNT 3)
         KEY (id) FORMAT JSON ENVELOPE ${expected.envelope.toUpperCase()}`,
      ),
    );
    this.#sinks.push({topic, relation: 'orders', ...expected});
  }

  /** A sink goes over to the table with the same rows, sooner or later. */
  async #changeRelation(): Promise<void> {
    const number = this.#dice.below(2);
    const sink = this.#sinks[number];
    sink.relation = sink.relation === 'orders' ? 'orders_again' : 'orders';
    await this.#withClient(client => client.query(`ALTER SINK sink_${number + 1} SET FROM ${sink.relation}`));
  }

  /** Arms the crash point in the next worker, brings it about, and waits for the death. */
  async #killAt(point: string): Promise<void> {
    const once = ONCE.has(point) || NEW_SINK.has(point) || CUT_OVER.has(point);
    const hit = once ? 1 : 1 + this.#dice.below(point.startsWith('worker') ? 3 : 15);
    const armed = `${point}:${hit}`;
    await writeFile(this.#armedFile, armed);
    if (SPOOLED.has(point)) {
      await this.#sluice.killTree();
      this.#count('whole tree');
      await this.#start({spoolBytes: 0, blocksPerCommit: 2});
    } else {
      await this.#sluice.killWorkers();
      this.#count('worker');
    }
    if (NEW_SINK.has(point)) await this.#createSink({envelope: 'upsert', withSnapshot: true});
    if (CUT_OVER.has(point)) await this.#changeRelation();
    const died = async () => (await this.#points()).includes(`killed at ${armed}\n`);
    await poll(`a death at ${armed}`, 120_000, died, 50).catch((error: unknown) => this.#explain(error));
    this.#count(`worker at ${point}`);
    await this.#recovered();
    if (CUT_OVER.has(point)) await this.#goneOver();
  }

  /** What has not begun yet would be taken back if the same sink shall go over again, and then there is no death at the next point. */
  async #goneOver(): Promise<void> {
    const engine = await this.#sluice.connectEngine();
    await poll('a sink to go over', 90_000, async () => {
      const {rowCount} = await engine.query('SELECT FROM mz_sluice.sink_change');
      return rowCount === 0;
    });
    await engine.end();
  }

  get #armedFile(): string {
    return join(this.#sluice.directory, 'armed');
  }

  /** Every kind once, then any; a paused worker takes as long as a lease, so that comes up seldom. */
  async #killAtRandom(nth: number): Promise<void> {
    await sleep(this.#dice.below(700));
    if (this.#dice.chance(30)) await this.#changeRelation();
    const often = KINDS.length - 1;
    const kind = nth < KINDS.length ? KINDS[nth] : KINDS[this.#dice.chance(4) ? often : this.#dice.below(often)];
    this.#options.say(`kill: ${kind}`);
    switch (kind) {
      case 'worker':
        await this.#sluice.killWorkers();
        break;
      case 'sluice':
        await this.#sluice.killMain();
        await this.#start();
        break;
      case 'postgres':
        await this.#sluice.killPostgres();
        break;
      case 'whole tree':
        await this.#sluice.killTree();
        await this.#start();
        break;
      case 'broker':
        await this.#kafka.broker.kill();
        await this.#kafka.broker.start();
        break;
      case 'broker before its answer':
        await this.#killBrokerBeforeItsAnswer();
        break;
      case 'paused worker':
        await this.#pauseWorker();
        break;
    }
    this.#count(kind);
    if (this.#dice.chance(50)) await this.#recovered();
  }

  /** The request to commit has been carried out, or not; nobody hears which. */
  async #killBrokerBeforeItsAnswer(): Promise<void> {
    const lost = this.#proxy.nextLoss();
    this.#proxy.loseAnswers.add(API.endTxn);
    // Without a worker that commits there is no answer to lose.
    await Promise.race([lost, sleep(20_000)]);
    await this.#kafka.broker.kill();
    this.#proxy.loseAnswers.clear();
    await this.#kafka.broker.start();
  }

  /** A worker that stands still until its successor, on another machine as it were, has committed; then it wakes up. */
  async #pauseWorker(): Promise<void> {
    await this.#recovered();
    const standby = await Child.spawn({
      command: process.execPath,
      args: [
        SLUICE,
        'cluster',
        'quickstart',
        '--postgres',
        await this.#sluice.engineUrl(),
        '--data-dir',
        join(this.#sluice.directory, 'standby'),
      ],
      logFile: join(this.#sluice.directory, 'standby.log'),
      env: process.env,
    });
    await this.#sluice.killWorkers('SIGSTOP');
    await this.#recovered();
    await this.#sluice.killWorkers('SIGCONT');
    await this.#recovered();
    await standby.end('SIGKILL');
  }

  /** Until every sink has committed everything that was written before this call. */
  async #recovered(): Promise<void> {
    const from = await this.#withClient(async client => {
      const {rows} = await client.query<{now: string}>(
        'SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint::text AS now',
      );
      // A change that is later, in case the writers have stopped.
      await client.query(
        `INSERT INTO orders VALUES (-1, 'beat') ON CONFLICT (id) DO UPDATE SET rev = clock_timestamp()::text`,
      );
      return Number(rows[0].now);
    });
    const reached = async () => {
      const states = await this.#states();
      return states.length === this.#sinks.length && states.every(({frontier}) => Number(frontier ?? 0) >= from);
    };
    await poll(`all sinks to reach ${from}`, 90_000, reached, 200).catch((error: unknown) => this.#explain(error));
  }

  #states(): Promise<SinkState[]> {
    return this.#withClient(async client => {
      const {rows} = await client.query<SinkState>(
        `SELECT s.name, f.write_frontier::text AS frontier, t.status, t.error, t.details
         FROM mz_sinks s LEFT JOIN mz_internal.mz_frontiers f ON f.object_id = s.id LEFT JOIN mz_internal.mz_sink_statuses t ON t.id = s.id`,
      );
      return rows;
    });
  }

  /** Throws what was waited for in vain with all that Sluice says of itself. */
  async #explain(cause: unknown): Promise<never> {
    const states = await this.#states().catch(String);
    const log = await readFile(this.#sluice.logFile, 'utf8');
    throw new Error(`${String(cause)}\nsinks: ${JSON.stringify(states, null, 1)}\n${log.slice(-6000)}`, {cause});
  }

  /** On a connection that works, however long that takes. */
  async #withClient<T>(work: (client: pg.Client) => Promise<T>): Promise<T> {
    return await poll(
      'a connection',
      60_000,
      async () => {
        let client: pg.Client | undefined;
        try {
          client = await this.#sluice.connect();
          return {result: await work(client)};
        } catch (error) {
          // What was wrong with the statement itself would go on being wrong.
          if (error instanceof pg.DatabaseError && !/^(57P|08)/.test(error.code ?? '')) throw error;
          return undefined;
        } finally {
          await client?.end().catch(() => undefined);
        }
      },
      100,
    ).then(({result}) => result);
  }

  async #points(): Promise<string> {
    return readFile(join(this.#sluice.directory, 'points'), 'utf8').catch(() => '');
  }

  #count(kill: string): void {
    this.#kills.set(kill, (this.#kills.get(kill) ?? 0) + 1);
  }

  async #judge(transactions: number): Promise<CrashRunResult> {
    await this.#recovered();
    const client = await this.#sluice.connect();
    const reference = await readReference(client);
    const {rows} = await client.query<{count: string}>('SELECT count(*) FROM ledger');
    await client.end();
    const problems: string[] = [];
    let messages = 0;
    for (const sink of this.#sinks) {
      const topic = await readTopic(sink.topic, {address: this.#kafka.address});
      messages += topic.length;
      problems.push(...compare(reference, topic, sink).map(problem => `${sink.topic}: ${problem}`));
    }
    const hits = new Map(Object.keys(CRASH_POINTS).map(point => [point, 0]));
    for (const line of (await this.#points()).split('\n')) if (hits.has(line)) hits.set(line, hits.get(line)! + 1);
    const total = [...this.#kills.values()].reduce((a, b) => a + b, 0);
    return {kills: this.#kills, total, hits, transactions, ledgerRows: Number(rows[0].count), messages, problems};
  }
}
