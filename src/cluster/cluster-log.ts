import type pg from 'pg';
import {formatLsn, parseLsn, type Lsn} from '../base/lsn.ts';
import type {ClockRecord} from '../changes/clock-record.ts';
import {
  chooseStart,
  clearClockRecords,
  forgetClockRecords,
  readClockRecords,
  recordClock,
} from '../changes/clock-record.ts';
import {beat} from '../changes/heartbeat.ts';
import {describeBlockers} from '../changes/lock-holders.ts';
import {ensurePublication} from '../changes/publication.ts';
import {ReplicationStream} from '../changes/replication-stream.ts';
import {checkStart, createSlot, inspectSlot, releaseSlot, type SlotState} from '../changes/slot.ts';
import type {StreamListener} from '../changes/stream-listener.ts';
import {
  identifySystem,
  isInOurPast,
  readTimelineHistory,
  type SystemIdentity,
  type TimelineSwitch,
} from '../changes/system-identity.ts';
import type {EngineAddress} from '../engine/address.ts';
import type {Connections} from '../engine/connections.ts';
import {Stall} from '../sinks/errors.ts';
import type {Position} from '../sinks/intake.ts';
import type {ChangeSource, OpenStream} from '../sinks/stream-host.ts';
import type {Progress} from '../sinks/target.ts';

export interface ClusterLogOptions {
  readonly engine: EngineAddress;
  readonly connections: Connections;
  readonly slot: string;
  readonly spoolDirectory: string;
  /** Whom the creation of the slot waits for; is heard to the end before the slot is used. */
  readonly waiting: (whom: string) => Promise<void>;
}

/** A cluster's publication, slot and recorded times: the change log as its stream host and its sinks see it. */
export class ClusterLog implements ChangeSource {
  readonly #options: ClusterLogOptions;
  readonly identity: SystemIdentity;
  readonly #history: readonly TimelineSwitch[];
  #confirmed: Lsn;

  private constructor(
    options: ClusterLogOptions,
    identity: SystemIdentity,
    history: readonly TimelineSwitch[],
    confirmed: Lsn,
  ) {
    this.#options = options;
    this.identity = identity;
    this.#history = history;
    this.#confirmed = confirmed;
  }

  /** Makes what is missing. A predecessor that still reads the slot is ended. */
  static async open(options: ClusterLogOptions): Promise<ClusterLog> {
    const {connections, slot} = options;
    const prepared = await connections.run(async client => {
      const identity = await identifySystem(client);
      const exists = (await inspectSlot(client, slot)) !== undefined;
      await ensurePublication(client, slot, exists);
      // What an earlier slot of this name has left says nothing about a new one.
      if (exists) await releaseSlot(client, slot);
      else await clearClockRecords(client, slot);
      return {identity, exists};
    });
    if (!prepared.exists) await makeSlot(options);
    const history = await readTimelineHistory(options.engine, prepared.identity.timeline);
    return connections.run(async client => {
      const state = await inspectSlot(client, slot);
      if (state === undefined)
        throw new Stall('SL020', `replication slot "${slot}" was dropped`, {hint: 'Start Sluice again.'});
      const log = new ClusterLog(options, prepared.identity, history, state.confirmedLsn);
      if ((await readClockRecords(client, slot)).length === 0) {
        await recordClock(client, slot, {...prepared.identity, ...(await firstTime(client, state))});
      }
      await beat(client, slot);
      return log;
    });
  }

  /** Where a stream that is opened from now on can begin: never before the slot's confirmed position. */
  async earliest(): Promise<Lsn> {
    const best = await this.#chooseStart(undefined, this.#confirmed);
    return best?.endLsn ?? this.#confirmed;
  }

  async chooseStart(notAfter: Lsn): Promise<Position> {
    const broken = await this.diagnose();
    if (broken !== undefined) throw broken;
    const {slot} = this.#options;
    const confirmed = (await this.state())?.confirmedLsn ?? this.#confirmed;
    const best = await this.#chooseStart(notAfter, confirmed);
    if (best === undefined) {
      throw new Stall(
        'SL022',
        `no recorded time of replication slot "${slot}" lies between ${formatLsn(confirmed)} and ${formatLsn(notAfter)}`,
        {
          hint: 'The slot was moved or made again by somebody else, or an older backup was restored. Drop the sinks of the cluster, empty their targets, and create them again.',
        },
      );
    }
    return best;
  }

  async #chooseStart(progress: Lsn | undefined, confirmed: Lsn): Promise<Position | undefined> {
    const records = await this.#run((client, slot) => readClockRecords(client, slot));
    return chooseStart(records, {confirmed, progress, present: this.identity, history: this.#history});
  }

  #run<T>(work: (client: pg.Client, slot: string) => Promise<T>): Promise<T> {
    const {connections, slot} = this.#options;
    return connections.run(client => work(client, slot));
  }

  async open(start: Lsn, listener: StreamListener): Promise<OpenStream> {
    const {engine, slot, spoolDirectory} = this.#options;
    const stream = await ReplicationStream.open({address: engine, slot, publication: slot, start, spoolDirectory});
    try {
      await this.#run((client, name) => checkStart(client, name, stream.processId, start));
    } catch (error) {
      await stream.close();
      throw error;
    }
    return {
      ended: stream.run(listener),
      pause: () => stream.pause(),
      resume: () => stream.resume(),
      confirm: lsn => stream.confirm(lsn),
      close: () => stream.close(),
    };
  }

  async recordClock(position: Position): Promise<void> {
    const record: ClockRecord = {...this.identity, ...position};
    const before = this.#confirmed;
    await this.#run(async (client, slot) => {
      await recordClock(client, slot, record);
      await forgetClockRecords(client, slot, before);
    });
    this.#confirmed = position.endLsn;
  }

  async diagnose(): Promise<Stall | undefined> {
    const {slot} = this.#options;
    const state = await this.state();
    if (state === undefined) {
      return new Stall('SL020', `replication slot "${slot}" was dropped`, {
        hint: 'What was written since the last confirmed position is lost to the sinks of this cluster. Drop them, empty their targets, and create them again.',
      });
    }
    if (state.walStatus === 'lost') {
      return new Stall(
        'SL021',
        `replication slot "${slot}" was invalidated${state.invalidationReason === undefined ? '' : ` (${state.invalidationReason})`}`,
        {
          hint: 'PostgreSQL has removed log that the sinks of this cluster still needed (see max_slot_wal_keep_size and idle_replication_slot_timeout). Drop the sinks, empty their targets, and create them again.',
        },
      );
    }
    return undefined;
  }

  state(): Promise<SlotState | undefined> {
    return this.#run((client, slot) => inspectSlot(client, slot));
  }

  /** Where the log ends now. */
  async end(): Promise<Lsn> {
    const {rows} = await this.#run(client =>
      client.query<{lsn: string}>('SELECT pg_current_wal_insert_lsn()::text AS lsn'),
    );
    return parseLsn(rows[0].lsn);
  }

  beat(): Promise<void> {
    return this.#run((client, slot) => beat(client, slot));
  }

  /** Throws `Stall` when a sink cannot go on from this progress without losing or repeating something. */
  async verify(sinkName: string, progress: Progress): Promise<void> {
    const {slot} = this.#options;
    if (progress.system !== this.identity.system) {
      throw new Stall(
        'SL012',
        `the progress of sink "${sinkName}" was written by another PostgreSQL (system ${progress.system})`,
        {
          hint: `This one is system ${this.identity.system}. If it is what pg_upgrade has made of that one, drop the sink, empty the target, and create the sink again. Otherwise point Sluice at the PostgreSQL that the sink was created on, or create a sink with a target of its own.`,
        },
      );
    }
    if (!isInOurPast(progress, this.identity, this.#history)) {
      throw new Stall(
        'SL013',
        `the progress of sink "${sinkName}" lies behind the point where timeline ${progress.timeline} was left`,
        {
          hint: 'A fail-over or a restored backup has undone transactions that are in the target already. Drop the sink, empty the target, and create the sink again.',
        },
      );
    }
    if ((await this.end()) < progress.endLsn) {
      throw new Stall(
        'SL014',
        `the progress of sink "${sinkName}" (${formatLsn(progress.endLsn)}) is ahead of this PostgreSQL`,
        {
          hint: 'An older backup was restored: the target has transactions that this PostgreSQL has never seen. Drop the sink, empty the target, and create the sink again.',
        },
      );
    }
    const state = await this.state();
    if (state !== undefined && state.confirmedLsn > progress.endLsn) {
      throw new Stall(
        'SL023',
        `replication slot "${slot}" begins at ${formatLsn(state.confirmedLsn)}, after the progress ${formatLsn(progress.endLsn)} of sink "${sinkName}"`,
        {
          hint: 'The slot was dropped, made again or moved, and changes in between are lost. Drop the sink, empty the target, and create the sink again.',
        },
      );
    }
  }
}

/** The slot's creation waits for every open transaction of the server; meanwhile the statuses say for whom. */
async function makeSlot({connections, slot, waiting}: ClusterLogOptions): Promise<void> {
  await connections.run(async maker => {
    const {rows} = await maker.query<{pid: number}>('SELECT pg_backend_pid() AS pid');
    let said = Promise.resolve();
    const timer = setInterval(() => {
      said = connections
        .run(client => client.query<{pids: number[]}>('SELECT pg_blocking_pids($1) AS pids', [rows[0].pid]))
        .then(async ({rows: [{pids}]}) => {
          if (pids.length > 0)
            await waiting(`${describeBlockers(pids)}, which were open before replication slot "${slot}"`);
        })
        .catch(() => undefined);
    }, 1000);
    try {
      await createSlot(maker, slot);
    } finally {
      clearInterval(timer);
      await said;
    }
  });
}

/** The clock begins with the wall clock; from then on it is the stream's. */
async function firstTime(client: pg.Client, state: SlotState): Promise<Position> {
  const {rows} = await client.query<{now: string}>(
    'SELECT floor(extract(epoch FROM clock_timestamp()) * 1000)::bigint::text AS now',
  );
  return {endLsn: state.confirmedLsn, clock: BigInt(rows[0].now)};
}
