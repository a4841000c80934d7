import {createHash} from 'node:crypto';
import {pino} from 'pino';
import {randomFrom} from '../changes/random-writers.ts';
import {ModelBroker} from './broker.ts';
import {Oracle, Violation} from './oracle.ts';
import {ModelPostgres} from './postgres.ts';
import type {Fault, Scenario, SimulatedSink} from './scenario.ts';
import {VirtualTime} from './time.ts';
import {SimulatedWeather} from './weather.ts';
import {SimulatedWorker, type Surroundings} from './worker.ts';

const WRITERS = 3;
const KEYS = 24;
/** So long after the last transaction and the last fault, in virtual time, everything has to be in the topics. */
const LEVEL_WITHIN_MS = 600_000;
/** A third of all runs soon come past the end of 32-bit transaction ids. */
const NEAR_WRAP = 2n ** 32n - 60n;

export interface Outcome {
  readonly violation: Violation | undefined;
  /** Of everything that happened: equal for equal scenarios. */
  readonly hash: string;
  readonly faults: number;
  readonly transactions: number;
  readonly messages: number;
  readonly virtualMs: number;
  readonly trace: readonly string[];
}

const silent = pino({level: 'silent'});

/** Runs a scenario to its end, or to the first violation. */
export async function simulate(scenario: Scenario, withTrace = false): Promise<Outcome> {
  const time = new VirtualTime();
  const {seed} = scenario;
  // One source for each, so that a fault less leaves the users' transactions what they were.
  const [forUsers, forNetwork, forWorkers] = [1, 2, 3].map(n => randomFrom(seed * 4 + n));
  const hash = createHash('sha1');
  const lines: string[] = [];
  const trace = (line: string): void => {
    const text = `${time.now().toFixed(3)} ${line}\n`;
    hash.update(text);
    if (withTrace) lines.push(text);
  };
  let violation: Violation | undefined;
  const violated = (found: Violation): void => {
    violation ??= found;
    trace(found.message);
  };
  const judged = <T>(judge: (it: T) => void) => {
    return (it: T): void => {
      try {
        judge(it);
      } catch (error) {
        violated(error instanceof Violation ? error : new Violation('oracle', String(error)));
      }
    };
  };

  const weather = new SimulatedWeather(time.now, forNetwork);
  const postgres: ModelPostgres = new ModelPostgres({
    time,
    random: forUsers,
    relations: scenario.relations,
    firstXid: seed % 3 === 0 ? NEAR_WRAP : 700n,
    onConfirm: judged(lsn => {
      trace(`slot: confirmed ${lsn}`);
      oracle.confirmed(lsn);
    }),
  });
  const oracle = new Oracle(postgres);
  const broker = new ModelBroker({
    time,
    markerDelay: weather.markerDelay,
    refuse: () => weather.takeRefusal(),
    trace,
    onCommit: judged(data => oracle.committed(data)),
  });
  const sinks: SimulatedSink[] = [];
  const around: Surroundings = {
    time,
    random: forWorkers,
    weather,
    broker,
    postgres,
    oracle,
    log: withTrace ? pino({base: null, timestamp: false}, {write: line => void lines.push(`  ${line}`)}) : silent,
    sinks,
    lease: {lock: undefined, owner: undefined, expiresAt: 0},
    workers: new Set(),
    inputs: new Map(),
    statuses: new Map(),
    violated,
    trace,
  };
  const hosts: SimulatedWorker[] = [];
  const startHost = (host: number, life: number): void => {
    const worker = new SimulatedWorker(`worker ${host}.${life}`, around, () =>
      time.after(100 + forWorkers() * 1000, () => startHost(host, life + 1)),
    );
    hosts[host] = worker;
    worker.start();
  };
  for (const host of [0, 1]) startHost(host, 0);
  for (const sink of scenario.sinks) {
    time.after(sink.createdAt, () => {
      trace(`sink ${sink.id} on ${sink.relation}`);
      oracle.expect(sink);
      around.inputs.set(sink.id, [{version: 0, relation: sink.relation}]);
      sinks.push(sink);
      for (const host of hosts) host.notify();
    });
    for (const [i, {at, to}] of (sink.goesOver ?? []).entries()) {
      time.after(at, () => {
        trace(`sink ${sink.id} shall go over to ${to}`);
        oracle.goesOver(sink.id, to);
        around.inputs.get(sink.id)!.push({version: i + 1, relation: to});
        for (const host of hosts) host.notify();
      });
    }
    if (sink.droppedAt === undefined) continue;
    time.after(sink.droppedAt, () => {
      trace(`sink ${sink.id} is dropped`);
      oracle.forget(sink.id);
      sinks.splice(sinks.indexOf(sink), 1);
      for (const host of hosts) host.notify();
    });
  }
  const owner = () => hosts.find(host => host.owns && !host.life.isPaused);
  for (const fault of scenario.faults) time.after(fault.at, () => strike(fault, {...around, owner}));
  const checkpoints = (): void => {
    time.after(3000, () => {
      postgres.checkpoint();
      checkpoints();
    });
  };
  checkpoints();

  const users = new Users(scenario, time, postgres, forUsers);
  users.start();
  const lastEvent = Math.max(
    0,
    ...scenario.faults.map(({at}) => at),
    ...scenario.sinks.map(({createdAt, droppedAt}) => droppedAt ?? createdAt),
    ...scenario.sinks.flatMap(({goesOver = []}) => goesOver.map(({at}) => at)),
  );
  let deadline = Infinity;
  const isOver = (): boolean => {
    if (violation !== undefined) return true;
    if (!users.areDone || time.now() < lastEvent) return false;
    if (deadline === Infinity) deadline = time.now() + LEVEL_WITHIN_MS;
    if (time.now() > deadline) {
      violated(new Violation('level again', `not level ${LEVEL_WITHIN_MS} ms after the last fault`));
      return true;
    }
    return oracle.isLevel(users.lastLsn);
  };
  await time.run(isOver);
  return {
    violation,
    hash: hash.digest('hex'),
    faults: weather.fired,
    transactions: users.committed,
    messages: oracle.messages,
    virtualMs: time.now(),
    trace: lines,
  };
}

function strike(fault: Fault, around: Surroundings & {owner: () => SimulatedWorker | undefined}): void {
  const {time, weather, postgres, workers, owner, random, trace} = around;
  const stopping = (
    act: (worker: SimulatedWorker) => void,
    on: Parameters<SimulatedWeather['arm']>[0] | undefined,
  ): void => {
    const now = (worker: SimulatedWorker | undefined): void => {
      if (worker === undefined) return;
      trace(`${worker.life.name}: ${fault.do}`);
      act(worker);
    };
    if (on === undefined) {
      const worker = owner();
      if (worker === undefined) {
        time.after(500, () => stopping(act, on));
        return;
      }
      weather.fired++;
      now(worker);
    } else {
      weather.arm(on, life => {
        const worker = [...workers].find(candidate => candidate.life === life);
        time.after(random() * 5, () => now(worker));
      });
    }
  };
  switch (fault.do) {
    case 'request':
      weather.arm(fault.on, fault.what);
      return;
    case 'kill':
      stopping(worker => worker.kill(), fault.on);
      return;
    case 'pause':
      stopping(worker => {
        worker.life.pause();
        if (fault.deafMs !== undefined) worker.session.deafen(fault.ms + fault.deafMs);
        time.after(fault.ms, () => {
          trace(`${worker.life.name}: goes on`);
          worker.life.resume();
        });
      }, fault.on);
      return;
    case 'cutStream':
      if (owner()?.session.cutStreams(fault.within) === true) weather.fired++;
      else time.after(500, () => strike(fault, around));
      return;
    case 'cutEarly':
      weather.cutEarly(fault.cut);
      if (fault.now) owner()?.session.cutStreams(false);
      return;
    case 'brokerDown':
      weather.takeDown(fault.ms);
      return;
    case 'refuseBatch':
      weather.refuseBatch();
      return;
    case 'queueFull':
      weather.fillQueues(fault.ms);
      return;
    case 'slowMarkers':
      weather.slowMarkers(fault.ms);
      return;
    case 'serverCrash':
      weather.fired++;
      postgres.crash();
      for (const worker of [...workers]) worker.closeSessions();
      return;
    case 'clockShift':
      weather.fired++;
      postgres.shiftClock(fault.ms);
      return;
  }
}

/** Writers on the model PostgreSQL: insertions, updates, deletions, changes of keys, rollbacks, two phases, on a few keys that they share. */
class Users {
  committed = 0;
  readonly #scenario: Scenario;
  readonly #time: VirtualTime;
  readonly #postgres: ModelPostgres;
  readonly #random: () => number;
  #n = 0;
  #active = 0;

  constructor(scenario: Scenario, time: VirtualTime, postgres: ModelPostgres, random: () => number) {
    this.#scenario = scenario;
    this.#time = time;
    this.#postgres = postgres;
    this.#random = random;
  }

  get areDone(): boolean {
    return this.committed >= this.#scenario.transactions && this.#active === 0;
  }

  /** End of the last transaction that a sink can be waited for: of those that the log sends. */
  get lastLsn(): bigint {
    return this.#postgres.log.findLast(({changes}) => changes.some(({published}) => published))?.endLsn ?? 0n;
  }

  start(): void {
    for (let i = 0; i < WRITERS; i++) this.#next();
  }

  #below(n: number): number {
    return Math.floor(this.#random() * n);
  }

  #next(): void {
    if (this.committed + this.#active >= this.#scenario.transactions) return;
    this.#active++;
    const open = this.#postgres.begin();
    let left = 1 + this.#below(4);
    const step = (): void => {
      if (left-- > 0) {
        this.#write(open);
        this.#time.after(this.#random() * 20, step);
        return;
      }
      if (this.#random() < 0.94) {
        this.#end(open);
        return;
      }
      this.#postgres.prepare(open);
      this.#time.after(this.#random() * 300, () => this.#end(open));
    };
    this.#time.after(this.#random() * 10, step);
  }

  #end(open: Parameters<ModelPostgres['commit']>[0]): void {
    if (this.#random() < 0.08) this.#postgres.rollback(open);
    else {
      // Long ones stand for a synchronous standby that is slow.
      const r = this.#random();
      const gapMs = r < 0.5 ? 0 : r < 0.93 ? 2 * this.#random() : 400 * this.#random();
      if (this.#postgres.commit(open, gapMs)) this.committed++;
    }
    this.#active--;
    this.#time.after(this.#random() * 60, () => this.#next());
  }

  #write(open: Parameters<ModelPostgres['write']>[0]): void {
    const {relations} = this.#scenario;
    const relation = relations[this.#below(relations.length)];
    const id = this.#below(KEYS);
    const r = this.#random();
    const n = ++this.#n;
    if (r < 0.2) this.#postgres.write(open, relation, id, undefined);
    else if (r < 0.3) this.#postgres.write(open, relation, id, {id: this.#below(KEYS), n});
    else this.#postgres.write(open, relation, id, {id, n});
  }
}
