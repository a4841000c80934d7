import {randomFrom} from '../changes/random-writers.ts';
import type {ChangeSource} from '../../src/sinks/stream-host.ts';
import {Life} from './life.ts';
import type {LogTransaction, LogWorld} from './log-conformance.ts';
import {CALM} from './network.ts';
import {HEARTBEAT, ModelPostgres} from './postgres.ts';
import {collectCopied} from './rows.ts';
import {PostgresSession} from './session.ts';
import {RealTime} from './time.ts';

const RELATIONS = [1, 2, 3];
/** A gap between a commit's record and its end that somebody else ends. */
const HELD_MS = 1e9;

class HoldingTime extends RealTime {
  readonly held: (() => void)[] = [];

  override after(ms: number, act: () => void): () => void {
    if (ms !== HELD_MS) return super.after(ms, act);
    this.held.push(act);
    return () => undefined;
  }
}

/** The model of PostgreSQL in real time, where ordinary tests expect a PostgreSQL. */
export class ModelLogWorld implements LogWorld {
  readonly heartbeatRelation = HEARTBEAT;
  readonly #time = new HoldingTime();
  readonly #random = randomFrom(1);
  readonly #postgres = new ModelPostgres({
    time: this.#time,
    random: this.#random,
    relations: RELATIONS,
    firstXid: 700n,
    onConfirm: () => undefined,
  });
  readonly #sessions: PostgresSession[] = [];
  #relations = 0;
  #gapMs = 0;

  relation(): Promise<number> {
    return Promise.resolve(RELATIONS[this.#relations++]);
  }

  begin(): Promise<LogTransaction> {
    const postgres = this.#postgres;
    const open = postgres.begin();
    const write: LogTransaction['write'] = (relation, id, to) => {
      if (!postgres.write(open, relation, id, to)) throw new Error(`${relation}: ${id} cannot be written`);
      return Promise.resolve();
    };
    return Promise.resolve({
      write,
      insertMany: async (relation, count) => {
        for (let id = 1; id <= count; id++) await write(relation, id, {id, n: id});
      },
      prepare: () => Promise.resolve(postgres.prepare(open)),
      commit: () =>
        postgres.commit(open, this.#gapMs) ? Promise.resolve() : Promise.reject(new Error('the transaction is gone')),
      rollback: () => Promise.resolve(postgres.rollback(open)),
    });
  }

  publish(relation: number): Promise<void> {
    return this.#session().publish(relation);
  }

  async snapshot(relation: number): ReturnType<LogWorld['snapshot']> {
    const sink = {id: 'u1', relation, createdAt: 0, envelope: 'upsert', partitions: 1} as const;
    const taken = await this.#session()
      .snapshots({...sink, withSnapshot: true, spooled: false})
      .take();
    return {filter: taken.filter, rows: await collectCopied(taken.rows())};
  }

  async source(): Promise<ChangeSource> {
    return (await this.#session().openLog()).source;
  }

  beat(): Promise<void> {
    return Promise.resolve(this.#postgres.beat());
  }

  end(): Promise<bigint> {
    return Promise.resolve(this.#postgres.insertLsn);
  }

  confirmed(): Promise<bigint> {
    return Promise.resolve(this.#postgres.confirmedLsn);
  }

  holdCommits(): Promise<() => Promise<void>> {
    this.#gapMs = HELD_MS;
    return Promise.resolve(() => {
      this.#gapMs = 0;
      for (const leave of this.#time.held.splice(0)) leave();
      return Promise.resolve();
    });
  }

  crash(): Promise<void> {
    this.#postgres.crash();
    for (const session of this.#sessions.splice(0)) session.end();
    return Promise.resolve();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }

  /** Of another process each. */
  #session(): PostgresSession {
    const life = new Life('test', this.#time);
    const weather = {...CALM, takeEarlyCut: () => undefined};
    const session = new PostgresSession(
      {life, postgres: this.#postgres, weather, random: this.#random},
      () => undefined,
    );
    this.#sessions.push(session);
    return session;
  }
}
