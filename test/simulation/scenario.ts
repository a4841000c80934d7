import {randomFrom} from '../changes/random-writers.ts';
import type {RequestFault, RequestKind} from './network.ts';

/** Something that goes wrong, at a moment of virtual time or with the first request of a kind that is made after it. */
export type Fault = {readonly at: number} & (
  | {readonly do: 'request'; readonly on: RequestKind; readonly what: RequestFault}
  /** The owner of the cluster dies; with `on` while such a request is on its way. */
  | {readonly do: 'kill'; readonly on?: RequestKind | undefined}
  /**
   * The owner stands still for so long. Above the lease's ten seconds it wakes as a zombie. What PostgreSQL tells it of the end of its sessions
   * may take `deafMs` longer to arrive; until then it goes on with what it has, beside its successor.
   */
  | {
      readonly do: 'pause';
      readonly ms: number;
      readonly deafMs?: number | undefined;
      readonly on?: RequestKind | undefined;
    }
  /** The replication connection is lost, between two transactions or within one. */
  | {readonly do: 'cutStream'; readonly within: boolean}
  /** The next stream that begins is lost soon; with `now` the present one is lost at once, and so it is one that re-reads. */
  | {readonly do: 'cutEarly'; readonly now: boolean; readonly cut: EarlyCut}
  | {readonly do: 'brokerDown'; readonly ms: number}
  /** The next batch is refused for good: the transaction has to be aborted. */
  | {readonly do: 'refuseBatch'}
  | {readonly do: 'queueFull'; readonly ms: number}
  /** The next end of a transaction takes so long to reach each partition. */
  | {readonly do: 'slowMarkers'; readonly ms: number}
  | {readonly do: 'serverCrash'}
  | {readonly do: 'clockShift'; readonly ms: number}
);

/** So many transactions after its beginning a stream stands still, and is then lost within one that has several changes. */
export interface EarlyCut {
  readonly after: number;
  readonly stillMs: number;
  /**
   * Only within one that an earlier stream of the same process has brought already. It does not stand still any longer when all of those are
   * confirmed: then the next stream begins behind them.
   */
  readonly known?: boolean | undefined;
}

export interface SimulatedSink {
  readonly id: string;
  readonly relation: number;
  readonly createdAt: number;
  readonly droppedAt?: number | undefined;
  readonly envelope: 'upsert' | 'debezium';
  readonly partitions: number;
  readonly withSnapshot: boolean;
  /** Its snapshot goes by way of the spool, in parts. */
  readonly spooled: boolean;
  /** ALTER SINK … SET FROM, one after the other. */
  readonly goesOver?: readonly GoesOver[] | undefined;
}

export interface GoesOver {
  readonly at: number;
  readonly to: number;
}

/** All that a run depends on. As JSON it is what test/regressions keeps. */
export interface Scenario {
  readonly seed: number;
  /** Of the users; heartbeats come on top. */
  readonly transactions: number;
  readonly relations: readonly number[];
  readonly sinks: readonly SimulatedSink[];
  readonly faults: readonly Fault[];
}

const RELATIONS = [1, 2];
const TRANSACTIONS = 500;
/** About how long the writers take for one transaction, all together. */
const MS_PER_TRANSACTION = 20;

const REQUESTS: readonly RequestKind[] = [
  'endTransaction',
  'endTransaction',
  'endTransaction',
  'produce',
  'produce',
  'addPartitions',
  'initProducer',
  'fetch',
  'admin',
  'connect',
  'postgres',
];

export function scenarioOf(seed: number): Scenario {
  const random = randomFrom(seed);
  const below = (n: number) => Math.floor(random() * n);
  const span = TRANSACTIONS * MS_PER_TRANSACTION;
  const count = 1 + below(3);
  const sinks = Array.from({length: count}, (_, i): SimulatedSink => {
    const late = i > 0 && random() < 0.6;
    const createdAt = late ? below(span / 2) : 0;
    const droppedAt = i > 0 && random() < 0.3 ? createdAt + below(span / 2) : undefined;
    return {
      id: `u${i + 1}`,
      relation: RELATIONS[below(RELATIONS.length)],
      createdAt,
      droppedAt,
      envelope: random() < 0.7 ? 'upsert' : 'debezium',
      partitions: 1 + below(3),
      withSnapshot: random() < 0.9,
      spooled: random() < 0.3,
      goesOver: changesOf(seed * 4 + i, createdAt, span),
    };
  });
  const faults = [
    ...Array.from({length: 18 + below(8)}, () => faultOf(below, random, span)),
    ...earlyCutsOf(seed * 4 + 3, span),
  ];
  return {seed, transactions: TRANSACTIONS, relations: RELATIONS, sinks, faults: faults.sort((a, b) => a.at - b.at)};
}

/** Half of all sinks do so, some before they have begun, some twice at once. From a source of its own, so that everything else is what it was. */
function changesOf(seed: number, createdAt: number, span: number): GoesOver[] {
  const random = randomFrom(seed);
  const count = random() < 0.5 ? 0 : 1 + Math.floor(random() * 3);
  const changes = Array.from({length: count}, () => ({
    at: createdAt + Math.floor(random() * (random() < 0.2 ? 100 : span)),
    to: RELATIONS[Math.floor(random() * RELATIONS.length)],
  }));
  return changes.sort((a, b) => a.at - b.at);
}

/** From a source of its own, as above. */
function earlyCutsOf(seed: number, span: number): Fault[] {
  const random = randomFrom(seed);
  const at = () => 300 + Math.floor(random() * span);
  const unknown = Array.from({length: 2}, (): Fault => ({
    at: at(),
    do: 'cutEarly',
    now: random() < 0.8,
    // Long enough for the sinks to prove, and the worker to record, where they are.
    cut: {after: Math.floor(random() * 10), stillMs: random() < 0.4 ? 0 : 1000 + Math.floor(random() * 2500)},
  }));
  const known = Array.from({length: 4}, (): Fault => ({
    at: at(),
    do: 'cutEarly',
    now: true,
    cut: {after: Math.floor(random() * 3), stillMs: 4000, known: true},
  }));
  return [...unknown, ...known];
}

function faultOf(below: (n: number) => number, random: () => number, span: number): Fault {
  const at = 300 + below(span);
  const on = random() < 0.5 ? REQUESTS[below(REQUESTS.length)] : undefined;
  switch (below(16)) {
    case 0:
    case 1:
      return {at, do: 'kill', on};
    case 2:
      return {at, do: 'pause', ms: 100 + below(3000), on};
    case 3:
      return {at, do: 'pause', ms: 11_000 + below(6000), deafMs: below(4000), on};
    case 4:
      return {at, do: 'cutStream', within: random() < 0.7};
    case 5:
      return random() < 0.5 ? {at, do: 'refuseBatch'} : {at, do: 'queueFull', ms: 20 + below(300)};
    case 6:
      return random() < 0.5
        ? {at, do: 'brokerDown', ms: 50 + below(3000)}
        : {at, do: 'slowMarkers', ms: 50 + below(500)};
    case 7:
      return random() < 0.5
        ? {at, do: 'serverCrash'}
        : {at, do: 'clockShift', ms: random() < 0.5 ? below(5000) : -below(3_600_000)};
    default: {
      const kind = REQUESTS[below(REQUESTS.length)];
      return {at, do: 'request', on: kind, what: requestFault(kind, below, random)};
    }
  }
}

function requestFault(on: RequestKind, below: (n: number) => number, random: () => number): RequestFault {
  // A PostgreSQL connection that is silent for ever is a matter of TCP's own time-outs.
  const cut = on === 'postgres' || random() < 0.5;
  const past = random() < 0.3;
  const ms = past ? 2000 + below(40_000) : 5 + below(1500);
  switch (below(6)) {
    case 0:
    case 1:
      return {kind: 'loseRequest', cut};
    case 2:
    case 3:
      return {kind: 'loseAnswer', cut};
    case 4:
      return {kind: random() < 0.5 ? 'delayRequest' : 'delayAnswer', ms};
    default:
      // A copy of it would count in a later transaction: see ModelBroker. What it asks for is done at once, then.
      return on === 'endTransaction' || on === 'postgres' ? {kind: 'delayRequest', ms} : {kind: 'duplicate', ms};
  }
}
