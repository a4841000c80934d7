import {rm} from 'node:fs/promises';
import {join} from 'node:path';
import type {Logger} from 'pino';
import {systemClock} from '../base/clock.ts';
import type {Lsn} from '../base/lsn.ts';
import {tuned} from '../base/tuning.ts';
import type {ObjectId, SinkDefinition, SinkStatisticsDelta} from '../catalog/definitions.ts';
import {WorkerCatalog} from '../catalog/worker-catalog.ts';
import {publishRelation} from '../changes/hand-over.ts';
import type {EngineAddress} from '../engine/address.ts';
import {connect} from '../engine/connect.ts';
import {Connections} from '../engine/connections.ts';
import {ReusingSocket} from '../engine/reusing-socket.ts';
import {Stall, Transient} from '../sinks/errors.ts';
import type {SinkIntake} from '../sinks/intake.ts';
import type {CurrentColumnNames} from '../sinks/shape.ts';
import {SinkRunner, Torn, type SinkHost, type SinkTuning} from '../sinks/sink-runner.ts';
import {StreamHost} from '../sinks/stream-host.ts';
import type {Progress, Target, WrittenSoFar} from '../sinks/target.ts';
import {frontierOf} from '../sinks/target.ts';
import {briefTransaction} from './brief-transaction.ts';
import {ClusterLog} from './cluster-log.ts';
import {RelationWatch} from './relation-watch.ts';
import {clusterSlot, retireLog, undoDropped, undoReleased} from './retire.ts';
import {RelationSnapshots} from './relation-snapshots.ts';
import {createTarget} from './targets.ts';

const MIB = 1024 * 1024;

/** Measured with bench/catch-up; docs/performance.md has the figures. */
const TUNING: SinkTuning = {
  commitIntervalMs: 100,
  commitMessages: 200_000,
  catchUp: {intervalMs: 1000, wallTime: Date.now},
  idleCommitMs: 30_000,
  cutMs: 15,
  sliceBytes: 24 * MIB,
  longBytes: 64 * MIB,
  spoolBytes: 32 * 1024 * MIB,
  respoolBytes: 1024 * MIB,
  blocksPerCommit: 16_384,
  stallCheckMs: 30_000,
};
/** Tests of large snapshots and long queues make them small. */
const tuning = tuned(TUNING);
const QUEUE_BYTES = 24 * MIB;
const WARN_RETAINED_BYTES = 1024 * MIB;

export interface FleetOptions {
  readonly engine: EngineAddress;
  readonly cluster: ObjectId;
  /** This life of the worker: `lease.owner`. */
  readonly owner: string;
  /** Of every connection of this worker, so that a successor finds them. */
  readonly applicationName: string;
  readonly spillDirectory: string;
  readonly log: Logger;
  readonly askLease: () => Promise<boolean>;
  readonly loseLease: () => void;
  /** The worker cannot go on. */
  readonly fail: (error: unknown) => void;
}

/** The sinks of a cluster and the stream that feeds them. There is a slot only while there are sinks. */
export class SinkFleet {
  readonly #options: FleetOptions;
  readonly #connections: Connections;
  readonly #environmentId: string;
  readonly #slot: string;
  readonly #runners = new Map<ObjectId, SinkRunner>();
  readonly #statistics = new Map<ObjectId, SinkStatisticsDelta>();
  readonly #frontiers = new Map<ObjectId, Progress>();
  readonly #watch: RelationWatch;
  #log: ClusterLog | undefined;
  #stream: StreamHost | undefined;
  #warnedAt = 0;

  private constructor(options: FleetOptions, connections: Connections, environmentId: string, slot: string) {
    this.#options = options;
    this.#connections = connections;
    this.#environmentId = environmentId;
    this.#slot = slot;
    this.#watch = new RelationWatch(slot);
  }

  static async open(options: FleetOptions): Promise<SinkFleet> {
    // What a worker that was killed has left there is worth nothing.
    await rm(join(options.spillDirectory, 'changes'), {recursive: true, force: true});
    const connections = new Connections(options.engine, {applicationName: options.applicationName});
    return connections.run(async client => {
      const {rows} = await client.query<{id: string}>('SELECT environment_id AS id FROM mz_sluice.installation');
      return new SinkFleet(options, connections, rows[0].id, await clusterSlot(client, options.cluster));
    });
  }

  /** Ends every sink; what is uncommitted is given up. */
  async close(): Promise<void> {
    await Promise.all([...this.#runners.values()].map(runner => runner.stop()));
    await this.#stream?.close();
    await this.#flush();
    await this.#connections.close();
  }

  /** Starts, restarts and ends sinks so that those run that the catalog has. */
  async reconcile(): Promise<void> {
    const definitions = await this.#withCatalog(catalog => catalog.sinks(this.#options.cluster));
    const wanted = new Map(definitions.map(definition => [definition.id, definition]));
    for (const [id, runner] of this.#runners) {
      const definition = wanted.get(id);
      // One that has just gone over knows better than what was read before.
      if (definition !== undefined && definition.version < runner.definition.version) continue;
      if (definition !== undefined && sameDefinition(definition, runner.definition)) {
        await runner.follow(definition);
        continue;
      }
      await runner.stop();
      this.#runners.delete(id);
      this.#frontiers.delete(id);
      if (definition === undefined) {
        this.#watch.forget(id);
        this.#stream?.release(id);
      }
    }
    await this.#undo(wanted);
    if (wanted.size === 0) {
      await this.#retire();
      return;
    }
    const {stream} = await this.#openLog();
    // Every hold before the first runner: none may be overtaken by what another one proves.
    for (const id of wanted.keys()) stream.hold(id);
    for (const [id, definition] of wanted) {
      if (this.#runners.has(id)) continue;
      if (!definition.committedOnce) await this.#withCatalog(catalog => catalog.noteWriter(id, this.#options.owner));
      const runner = new SinkRunner(definition, this.#hostFor(stream));
      this.#runners.set(id, runner);
      // A sink deals with its own errors; what is left is that nothing can be recorded any more.
      runner.start().catch((error: unknown) => this.#options.fail(error));
    }
    await this.#checkRelations();
  }

  /** Of the sinks that hear the stream: until then their relations need not be published. */
  async #checkRelations(): Promise<void> {
    const running = [...this.#runners.values()].filter(({intake}) => intake !== undefined);
    if (running.length === 0) return;
    const stalls = await this.#connections.run(client =>
      this.#watch.check(
        client,
        running.map(({definition}) => definition),
      ),
    );
    for (const [id, stall] of stalls) this.#runners.get(id)?.fail(stall);
  }

  /** Some fifty times a second. */
  tick(): void {
    for (const runner of this.#runners.values()) runner.tick();
  }

  async everySecond(): Promise<void> {
    if (this.#log === undefined) return;
    await this.#log.beat();
    await this.#stream?.confirm();
    await this.#flush();
    await this.#watchRetained(this.#log);
  }

  async #flush(): Promise<void> {
    const deltas = [...this.#statistics.values()];
    this.#statistics.clear();
    const frontiers = [...this.#frontiers];
    this.#frontiers.clear();
    await this.#withCatalog(async catalog => {
      if (deltas.length > 0) await catalog.addStatistics(deltas);
      for (const [id, progress] of frontiers) {
        await catalog.recordFrontier(id, progress.endLsn, frontierOf(progress));
      }
    });
  }

  async #watchRetained(clusterLog: ClusterLog): Promise<void> {
    const now = performance.now();
    if (now - this.#warnedAt < 60_000) return;
    this.#warnedAt = now;
    const state = await clusterLog.state();
    if (state !== undefined && state.retainedBytes > WARN_RETAINED_BYTES) {
      this.#options.log.warn({slot: this.#slot, retainedBytes: state.retainedBytes}, 'the slot holds back much log');
    }
  }

  async #openLog(): Promise<{stream: StreamHost}> {
    if (this.#stream !== undefined) return {stream: this.#stream};
    const {engine, spillDirectory, log} = this.#options;
    const clusterLog = await ClusterLog.open({
      engine,
      connections: this.#connections,
      slot: this.#slot,
      spoolDirectory: join(spillDirectory, 'transactions'),
      waiting: whom =>
        this.#sayAllWait(whom).catch((error: unknown) => log.warn({err: error}, 'status could not be recorded')),
    });
    const {rows} = await this.#connections.run(client =>
      client.query<{oid: number}>(`SELECT 'mz_sluice.heartbeat'::regclass::oid AS oid`),
    );
    const stream = new StreamHost({
      source: clusterLog,
      heartbeatRelation: rows[0].oid,
      confirmed: await clusterLog.earliest(),
      queueBytes: QUEUE_BYTES,
      log,
      clock: systemClock,
      random: Math.random,
      onFailure: (intake, error) => this.#runners.get(intake.definition.id)?.fail(error),
      onBoundary: () => {
        for (const runner of this.#runners.values()) runner.wake();
      },
      torn: () => new Torn('the stream was cut within a transaction'),
    });
    stream.start();
    this.#log = clusterLog;
    this.#stream = stream;
    return {stream};
  }

  /** All sinks that there are by now. */
  async #sayAllWait(whom: string): Promise<void> {
    const change = {status: 'starting', details: {waiting_for: whom}} as const;
    await this.#withCatalog(catalog => catalog.recordStatusOfAll(this.#options.cluster, change));
  }

  /** The last sink is gone: nothing is held back any more. */
  async #retire(): Promise<void> {
    const stream = this.#stream;
    this.#stream = undefined;
    this.#log = undefined;
    await stream?.close();
    await this.#connections.run(client => retireLog(client, this.#slot));
  }

  /**
   * What sinks that are gone, and relations that sinks have left, needed in PostgreSQL. What is being published just now is left for later, and
   * so are sinks that were there when `wanted` was read: they run or are about to, and would leave behind what they make from now on.
   */
  async #undo(wanted: ReadonlyMap<ObjectId, SinkDefinition>): Promise<void> {
    const preparing = new Set([...this.#runners.values()].map(runner => runner.preparing));
    await this.#connections.run(async client => {
      const catalog = new WorkerCatalog(client);
      await undoDropped(client, catalog, this.#options.cluster, id => wanted.has(id), this.#options.log);
      await undoReleased(client, catalog, this.#options.cluster, relation => preparing.has(relation));
    });
  }

  #hostFor(stream: StreamHost): SinkHost {
    const {engine, owner, applicationName, log, askLease, loseLease, spillDirectory} = this.#options;
    const clusterLog = this.#log!;
    const connectHere = () => connect(engine, {applicationName});
    const connectToRead = () => connect(engine, {applicationName, plainSocket: () => new ReusingSocket()});
    return {
      system: clusterLog.identity.system,
      timeline: clusterLog.identity.timeline,
      spillDirectory: join(spillDirectory, 'changes'),
      log,
      clock: systemClock,
      random: Math.random,
      tuning,
      createTarget: (definition): Target =>
        createTarget(definition, {environmentId: this.#environmentId, writer: owner, log}),
      snapshots: definition =>
        new RelationSnapshots({connect: connectToRead, definition, identity: clusterLog.identity}),
      hold: (sink): Lsn => stream.hold(sink),
      verify: (definition, progress) => this.#verify(clusterLog, definition, progress),
      publish: async (definition, waiting, signal) => {
        const client = await connectHere();
        try {
          await publishRelation(client, {publication: this.#slot, relation: definition.relation, waiting, signal});
          await this.#watch.notePublished(client, definition);
        } finally {
          await client.end();
        }
      },
      columnNames: definition => this.#columnNames(definition),
      verifyPublished: async definition => {
        const stall = await this.#connections.run(client => this.#watch.checkPublished(client, definition));
        if (stall !== undefined) throw stall;
      },
      attach: (intake: SinkIntake) => stream.attach(intake),
      detach: (intake: SinkIntake) => stream.detach(intake),
      prove: (sink, progress, clock) => {
        stream.prove(sink, progress.endLsn, clock);
        this.#frontiers.set(sink, progress);
      },
      roomAgain: () => stream.checkRoom(),
      markCommittedOnce: sink => this.#withCatalog(catalog => catalog.markCommittedOnce(sink)),
      beginCutOver: (sink, version) => this.#withCatalog(catalog => catalog.beginCutOver(sink, version)),
      finishCutOver: (sink, version) => this.#finishCutOver(sink, version),
      logEnd: () => clusterLog.end(),
      lastStatus: sink => this.#withCatalog(catalog => catalog.lastStatus(sink)),
      report: (sink, status, explanation) =>
        this.#withCatalog(catalog => catalog.recordStatus({sink, status, ...explanation})),
      count: (sink, staged, committed) => this.#count(sink, staged, committed),
      askLease,
      loseLease,
    };
  }

  /** Throws `Stall` when the sink cannot go on from what its target says. */
  async #verify(clusterLog: ClusterLog, {id, name}: SinkDefinition, progress: Progress): Promise<void> {
    try {
      await clusterLog.verify(name, progress);
    } catch (error) {
      // The log grows: next time the position would look as if it belonged to this history.
      if (error instanceof Stall && error.code === 'SL014') {
        await this.#withCatalog(catalog => catalog.disownWriters(id));
      }
      throw error;
    }
    const {owner} = this.#options;
    if (await this.#withCatalog(catalog => catalog.acceptWriter(id, progress.writer, owner))) return;
    throw new Stall(
      'SL014',
      `the progress of sink "${name}" was written by a worker that this PostgreSQL does not know`,
      {
        hint: 'An older backup was restored: the target has transactions that this PostgreSQL has never seen. Drop the sink, empty the target, and create the sink again.',
      },
    );
  }

  /** A user's transaction that drops the sink is not waited for. */
  async #finishCutOver(sink: ObjectId, version: number): Promise<void> {
    const done = await this.#connections.run(client =>
      briefTransaction(client, () => new WorkerCatalog(client).finishCutOver(sink, version)),
    );
    if (!done) throw new Transient('the sink is being dropped or altered by an open transaction');
  }

  #withCatalog<T>(work: (catalog: WorkerCatalog) => Promise<T>): Promise<T> {
    return this.#connections.run(client => work(new WorkerCatalog(client)));
  }

  /** Throws `Stall` when the relation is not what the sink needs. */
  async #columnNames(definition: SinkDefinition): Promise<CurrentColumnNames> {
    const stalls = await this.#connections.run(client => this.#watch.check(client, [definition]));
    const stall = stalls.get(definition.id);
    if (stall !== undefined) throw stall;
    const {rows} = await this.#connections.run(client =>
      client.query<{attnum: number; attname: string}>(
        'SELECT attnum, attname FROM pg_attribute WHERE attrelid = $1::oid AND attnum > 0 AND NOT attisdropped',
        [definition.relation],
      ),
    );
    return new Map(rows.map(row => [row.attnum, row.attname]));
  }

  #count(sink: ObjectId, staged: WrittenSoFar, committed: WrittenSoFar): void {
    const before = this.#statistics.get(sink);
    this.#statistics.set(sink, {
      sink,
      messagesStaged: (before?.messagesStaged ?? 0) + staged.messages,
      bytesStaged: (before?.bytesStaged ?? 0) + staged.bytes,
      messagesCommitted: (before?.messagesCommitted ?? 0) + committed.messages,
      bytesCommitted: (before?.bytesCommitted ?? 0) + committed.bytes,
    });
  }
}

/** What a sink writes is decided by these; names for messages and what the worker itself records are not part of it. */
function sameDefinition(a: SinkDefinition, b: SinkDefinition): boolean {
  const relevant = ({id, cluster, relation, columns, key, envelope, snapshot, version, target}: SinkDefinition) =>
    JSON.stringify([id, cluster, relation, columns, key, envelope, snapshot, version, target]);
  return relevant(a) === relevant(b);
}
