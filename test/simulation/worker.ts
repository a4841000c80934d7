import type {Logger} from 'pino';
import type {SinkDefinition, SinkInput, SinkStatus} from '../../src/catalog/definitions.ts';
import {SinkRunner, Torn, type SinkHost, type SinkTuning} from '../../src/sinks/sink-runner.ts';
import {Stall} from '../../src/sinks/errors.ts';
import {StreamHost} from '../../src/sinks/stream-host.ts';
import type {Span, Target} from '../../src/sinks/target.ts';
import {kafkaIds} from '../../src/targets/kafka/client-config.ts';
import {KafkaTarget} from '../../src/targets/kafka/kafka-target.ts';
import type {ModelBroker} from './broker.ts';
import {ModelClient} from './kafka-client.ts';
import {Life} from './life.ts';
import {Violation, type Oracle} from './oracle.ts';
import {HEARTBEAT, SYSTEM, type ModelPostgres} from './postgres.ts';
import {COLUMN_NAMES, COLUMNS} from './rows.ts';
import type {SimulatedSink} from './scenario.ts';
import {PostgresSession} from './session.ts';
import type {Time} from './time.ts';
import type {SimulatedWeather} from './weather.ts';

const ENVIRONMENT = 'simulated';
const LEASE_MS = 10_000;
const TICK_MS = 20;
const QUEUE_BYTES = 64 * 1024;

const TUNING: SinkTuning = {
  commitIntervalMs: 100,
  commitMessages: 40,
  idleCommitMs: 1000,
  cutMs: 15,
  // Never to files: those are real, and take real time.
  sliceBytes: 2 ** 30,
  longBytes: 0,
  spoolBytes: 1,
  respoolBytes: 0,
  blocksPerCommit: 2,
  stallCheckMs: 30_000,
};

export interface SinkVersion {
  readonly version: number;
  readonly relation: number;
}

/** What the workers share: the servers, and the catalog's lease of the cluster. */
export interface Surroundings {
  readonly time: Time;
  readonly random: () => number;
  readonly weather: SimulatedWeather;
  readonly broker: ModelBroker;
  readonly postgres: ModelPostgres;
  readonly oracle: Oracle;
  readonly log: Logger;
  /** Sinks that have been created by now. */
  readonly sinks: readonly SimulatedSink[];
  /** The advisory lock and the lease row. */
  readonly lease: {lock: SimulatedWorker | undefined; owner: SimulatedWorker | undefined; expiresAt: number};
  /** Workers whose connections are not known to be gone. */
  readonly workers: Set<SimulatedWorker>;
  /** What the catalog says that each sink reads, and is to read. */
  readonly inputs: Map<string, SinkVersion[]>;
  /** What the history says of each sink. */
  readonly statuses: Map<string, SinkStatus>;
  readonly violated: (violation: Violation) => void;
  readonly trace: (line: string) => void;
}

function inputOf({relation, version}: SinkVersion): SinkInput {
  return {relation, relationName: `t${relation}`, columns: COLUMNS, key: [0], version};
}

/** `versions`: what it reads, and what it goes over to. */
export function definitionOf(
  sink: SimulatedSink,
  committedOnce: boolean,
  versions: readonly SinkVersion[] = [{version: 0, relation: sink.relation}],
): SinkDefinition {
  const [now, next] = versions;
  return {
    id: sink.id,
    name: sink.id,
    cluster: 'u1',
    ...inputOf(now),
    next: versions.length < 2 ? undefined : inputOf(next),
    keyEnforced: true,
    envelope: sink.envelope,
    snapshot: sink.withSnapshot,
    committedOnce,
    target: {
      type: 'kafka',
      topic: `data-${sink.id}`,
      compression: 'none',
      transactionalIdPrefix: '',
      progressGroupIdPrefix: '',
      legacyIds: false,
      partitionCount: sink.partitions,
      replicationFactor: undefined,
      topicConfig: {},
      metadataRefreshMs: 5000,
      keyFormat: 'json',
      valueFormat: 'json',
      connection: {
        type: 'kafka',
        id: 'u9',
        name: 'k',
        brokers: ['model:9092'],
        securityProtocol: 'PLAINTEXT',
        progressTopic: 'progress',
        progressTopicReplicationFactor: undefined,
      },
    },
  };
}

/**
 * A worker process: the real sink loop, stream host and Kafka target before the models. It composes them as cluster/worker.ts and
 * cluster/sink-fleet.ts do, with the lease of cluster/lease.ts.
 */
export class SimulatedWorker {
  readonly life: Life;
  readonly session: PostgresSession;
  readonly #around: Surroundings;
  readonly #runners = new Map<string, SinkRunner>();
  #wakeReconcile: () => void = () => undefined;
  readonly #onDeath: () => void;

  constructor(name: string, around: Surroundings, onDeath: () => void) {
    this.#around = around;
    this.#onDeath = onDeath;
    const {time, weather, postgres, random} = around;
    this.life = new Life(name, time);
    this.session = new PostgresSession({life: this.life, postgres, weather, random}, () =>
      this.fail('its connections were ended'),
    );
  }

  get owns(): boolean {
    return this.#around.lease.owner === this && !this.life.isDead;
  }

  start(): void {
    this.#around.workers.add(this);
    this.life.run(() => {
      this.#run().catch((error: unknown) => this.fail(error));
    });
  }

  fail(why: unknown): void {
    if (why instanceof Violation) this.#around.violated(why);
    this.#around.trace(`${this.life.name}: ends: ${why instanceof Error ? why.message : String(why)}`);
    this.kill();
  }

  /** As SIGKILL: what has been sent is on its way, and the server hears a moment later that nobody is there. */
  kill(): void {
    if (this.life.isDead) return;
    this.life.kill();
    const {time, random} = this.#around;
    time.after(random() * 40, () => this.closeSessions());
    this.#onDeath();
  }

  /** PostgreSQL ends what the worker has there, and the advisory lock with it. */
  closeSessions(): void {
    const {lease, workers} = this.#around;
    workers.delete(this);
    if (lease.lock === this) lease.lock = undefined;
    this.session.end();
  }

  /** Something in the catalog has changed. */
  notify(): void {
    this.life.run(() => this.#wakeReconcile());
  }

  async #run(): Promise<void> {
    const {clock} = this.life;
    await this.#acquireLease();
    this.#around.trace(`${this.life.name}: owns the cluster`);
    const {source, earliest} = await this.session.openLog();
    const {log, random} = this.#around;
    const stream = new StreamHost({
      source,
      heartbeatRelation: HEARTBEAT,
      confirmed: earliest,
      queueBytes: QUEUE_BYTES,
      log,
      clock,
      random,
      onFailure: (intake, error) => this.#runners.get(intake.definition.id)?.fail(error),
      onBoundary: () => {
        for (const runner of this.#runners.values()) runner.wake();
      },
      torn: () => new Torn('the stream was cut within a transaction'),
    });
    stream.start();
    this.life.every(TICK_MS, () => {
      for (const runner of this.#runners.values()) runner.tick();
    });
    await Promise.race([
      this.#repeat(LEASE_MS / 5, async () => {
        if (!(await this.#renewLease())) throw new Error('the lease was taken over');
      }),
      this.#repeat(1000, async () => {
        await this.session.ask(() => this.#around.postgres.beat());
        await stream.confirm();
      }),
      this.#reconcile(stream),
    ]);
  }

  async #repeat(everyMs: number, act: () => Promise<void>): Promise<never> {
    for (;;) {
      await act();
      await this.life.clock.sleep(everyMs);
    }
  }

  async #reconcile(stream: StreamHost): Promise<never> {
    const {postgres, sinks, inputs} = this.#around;
    for (;;) {
      const definitions = await this.session.ask(() =>
        sinks.map(sink => definitionOf(sink, postgres.committedOnce.has(sink.id), inputs.get(sink.id))),
      );
      for (const [id, runner] of this.#runners) {
        const definition = definitions.find(candidate => candidate.id === id);
        if (definition !== undefined && definition.version < runner.definition.version) continue;
        if (definition?.version === runner.definition.version) {
          await runner.follow(definition);
          continue;
        }
        await runner.stop();
        this.#runners.delete(id);
        if (definition === undefined) stream.release(id);
      }
      for (const {id} of definitions) stream.hold(id);
      for (const definition of definitions) {
        if (this.#runners.has(definition.id)) continue;
        const sink = sinks.find(({id}) => id === definition.id);
        if (sink === undefined) continue;
        const runner = new SinkRunner(definition, this.#hostFor(stream, sink));
        this.#runners.set(definition.id, runner);
        runner.start().catch((error: unknown) => this.fail(error));
      }
      await new Promise<void>(resolve => {
        this.#wakeReconcile = resolve;
        this.life.after(3000, resolve);
      });
    }
  }

  #hostFor(stream: StreamHost, sink: SimulatedSink): SinkHost {
    const {postgres, log, random, trace, statuses, inputs} = this.#around;
    const {session, life} = this;
    return {
      ...SYSTEM,
      spillDirectory: '/nowhere',
      log,
      clock: life.clock,
      random,
      tuning: TUNING,
      createTarget: definition => this.#createTarget(definition),
      snapshots: () => session.snapshots(sink),
      hold: id => stream.hold(id),
      verify: async (_, progress) => {
        const confirmed = await session.ask(() => postgres.confirmedLsn);
        if (confirmed > progress.endLsn)
          throw new Stall('SL023', 'the slot begins after the progress', {hint: 'None.'});
      },
      publish: ({relation}) => session.publish(relation),
      columnNames: () => session.ask(() => COLUMN_NAMES),
      verifyPublished: () => session.ask(() => undefined),
      attach: intake => stream.attach(intake),
      detach: intake => stream.detach(intake),
      prove: (id, progress, clock) => stream.prove(id, progress.endLsn, clock),
      roomAgain: () => stream.checkRoom(),
      markCommittedOnce: id => session.ask(() => void postgres.committedOnce.add(id)),
      beginCutOver: (id, version) => session.ask(() => inputs.get(id)?.[1]?.version === version),
      finishCutOver: (id, version) =>
        session.ask(() => {
          const versions = inputs.get(id)!;
          if (versions[1]?.version === version) versions.shift();
        }),
      logEnd: () => session.ask(() => postgres.insertLsn),
      lastStatus: id => session.ask(() => statuses.get(id)),
      report: (id, status, explanation) => {
        const {error, details} = explanation ?? {};
        trace(`${life.name}: ${id} ${status} ${error ?? ''}`);
        if (status === 'stalled' && details?.['retrying'] === false) {
          this.#around.violated(new Violation('no stall', `${id}: ${error}`));
        }
        return session.ask(() => void statuses.set(id, status));
      },
      count: () => undefined,
      askLease: () => this.#renewLease(),
      loseLease: () => this.fail('the cluster belongs to another worker'),
    };
  }

  #createTarget(definition: SinkDefinition): Target {
    const {broker, weather, oracle, log} = this.#around;
    const {transactionalId} = kafkaIds(definition, ENVIRONMENT);
    const {life} = this;
    const client = new ModelClient({life, broker, weather, transactionalId});
    const target = new KafkaTarget({sink: definition, environmentId: ENVIRONMENT, log, clock: life.clock, client});
    const open = target.open.bind(target);
    return Object.assign(target, {
      open: async (span?: Span) => {
        const progress = await open(span);
        oracle.opened(definition.id, {transactionalId, epoch: client.epoch});
        return progress;
      },
    });
  }

  async #acquireLease(): Promise<void> {
    const {lease, workers, time} = this.#around;
    const endPredecessors = () => {
      for (const worker of [...workers])
        if (worker !== this && (worker === lease.owner || worker === lease.lock)) worker.closeSessions();
    };
    while (
      !(await this.session.ask(() => {
        lease.lock ??= this;
        if (lease.lock !== this && lease.expiresAt <= time.now()) endPredecessors();
        return lease.lock === this;
      }))
    ) {
      await this.life.clock.sleep(200);
    }
    await this.session.ask(() => {
      endPredecessors();
      lease.owner = this;
      lease.expiresAt = time.now() + LEASE_MS;
    });
  }

  #renewLease(): Promise<boolean> {
    const {lease, time} = this.#around;
    return this.session.ask(() => {
      if (lease.owner !== this) return false;
      lease.expiresAt = time.now() + LEASE_MS;
      return true;
    });
  }
}
