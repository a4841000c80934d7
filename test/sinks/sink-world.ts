import pg from 'pg';
import {poll} from '../../scripts/process/poll.ts';
import {SluiceProcess} from '../crash/sluice-process.ts';
import {connectionSql, freshTopicName, readTopic, type TopicRecord} from '../setup/kafka.ts';
import {tuningEnvironment} from '../setup/tuning.ts';

/** Far more than anything takes on a machine that is not overloaded; a little less than a test has. */
const LIMIT_MS = 100_000;

export interface SinkRequest {
  readonly name: string;
  /** SQL name of the relation; the sink's name with `_t` unless told otherwise. */
  readonly from?: string | undefined;
  readonly envelope?: 'UPSERT' | 'DEBEZIUM' | undefined;
  /** With parentheses and, if wanted, NOT ENFORCED. */
  readonly key?: string | undefined;
  readonly cluster?: string | undefined;
  readonly partitions?: number | undefined;
  readonly with?: string | undefined;
  readonly topic?: string | undefined;
  readonly connection?: string | undefined;
}

export interface SinkStatusRow {
  readonly status: string;
  readonly error: string | null;
  readonly details: {
    readonly code?: string;
    readonly hints?: readonly string[];
    readonly retrying?: boolean;
    readonly waiting_for?: string;
  } | null;
}

/** What a stranger reads of a message. The tests are about content; the header's own value is checked apart. */
export interface Message {
  readonly key: unknown;
  readonly value: unknown;
}

/** A `sluice start` for one test file, and what is asked of it from outside: SQL on the one side, kcat on the other. */
export class SinkWorld {
  readonly sluice: SluiceProcess;
  readonly client: pg.Client;
  /** The administrator, past the gateway. */
  readonly engine: pg.Client;
  /** Messages of NOTICEs that the client has received. */
  readonly notices: string[] = [];
  #lastAt = 0;

  private constructor(sluice: SluiceProcess, client: pg.Client, engine: pg.Client) {
    this.sluice = sluice;
    this.client = client;
    this.engine = engine;
    client.on('notice', ({message}) => this.notices.push(message ?? ''));
  }

  static async open(tuning: Readonly<Record<string, number>> = {}): Promise<SinkWorld> {
    const sluice = await SluiceProcess.create();
    await sluice.start(tuningEnvironment(tuning));
    const world = new SinkWorld(sluice, await sluice.connect(), await sluice.connectEngine());
    await world.sql(connectionSql());
    return world;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.client.end();
    await this.engine.end();
    await this.sluice[Symbol.asyncDispose]();
  }

  /** Each statement as a query of its own, at a logical time of its own; several in one text are one transaction of PostgreSQL. */
  async sql(...statements: readonly string[]): Promise<Record<string, unknown>[]> {
    let rows: Record<string, unknown>[] = [];
    for (const statement of statements) {
      await this.#nextTime();
      const result = (await this.client.query<Record<string, unknown>>(statement)) as
        pg.QueryResult<Record<string, unknown>> | pg.QueryResult<Record<string, unknown>>[];
      this.#lastAt = Date.now();
      rows = Array.isArray(result) ? result.at(-1)!.rows : result.rows;
    }
    return rows;
  }

  /** Changes within a millisecond are one change, and a heartbeat may take the clock one further. */
  async #nextTime(): Promise<void> {
    await poll('the clock', LIMIT_MS, () => Date.now() > this.#lastAt + 1, 1);
  }

  /** BEGIN, the statements, COMMIT. */
  async transaction(...statements: readonly string[]): Promise<void> {
    await this.sql('BEGIN', ...statements, 'COMMIT');
  }

  /** SQLSTATE and message of a statement that has to fail. */
  async refused(statement: string): Promise<string> {
    try {
      await this.client.query(statement);
    } catch (error) {
      if (error instanceof pg.DatabaseError) return `${error.code}: ${error.message}`;
      throw error;
    }
    throw new Error(`was not refused: ${statement}`);
  }

  /** Creates a sink and returns its topic; does not wait for it. */
  async create(request: SinkRequest): Promise<string> {
    const {name, from = `${name}_t`, envelope = 'UPSERT', key, cluster, partitions = 1, connection = 'kafka'} = request;
    const topic = request.topic ?? freshTopicName(name);
    await this.sql(
      `CREATE SINK ${name} ${cluster === undefined ? '' : `IN CLUSTER ${cluster}`} FROM ${from}
       INTO KAFKA CONNECTION ${connection} (TOPIC '${topic}', TOPIC PARTITION COUNT ${partitions})
       ${key === undefined ? '' : `KEY ${key}`} FORMAT JSON ENVELOPE ${envelope} ${request.with === undefined ? '' : `WITH (${request.with})`}`,
    );
    return topic;
  }

  /** The same, and waits until the sink runs and has its snapshot. */
  async running(request: SinkRequest): Promise<string> {
    const topic = await this.create(request);
    await this.until(request.name, ({status}) => status === 'running');
    return topic;
  }

  async status(name: string): Promise<SinkStatusRow> {
    const {rows} = await this.engine.query<SinkStatusRow>(
      'SELECT status, error, details FROM mz_internal.mz_sink_statuses WHERE name = $1',
      [name],
    );
    return rows[0] ?? {status: 'gone', error: null, details: null};
  }

  /** All statuses so far, the oldest first. */
  async history(name: string): Promise<string[]> {
    const {rows} = await this.engine.query<{status: string}>(
      `SELECT h.status FROM mz_internal.mz_sink_status_history h JOIN mz_catalog.mz_sinks s ON s.id = h.sink_id
       WHERE s.name = $1 ORDER BY occurred_at`,
      [name],
    );
    return rows.map(({status}) => status);
  }

  async until(name: string, wanted: (row: SinkStatusRow) => boolean, limitMs = LIMIT_MS): Promise<SinkStatusRow> {
    let last: SinkStatusRow | undefined;
    try {
      return await poll(
        `the status of sink ${name}`,
        limitMs,
        async () => {
          last = await this.status(name);
          return wanted(last) && last;
        },
        50,
      );
    } catch (error) {
      throw new Error(`status of sink ${name} stays ${JSON.stringify(last)}`, {cause: error});
    }
  }

  stalled(name: string, code: string): Promise<SinkStatusRow> {
    return this.until(name, ({status, details}) => status === 'stalled' && details?.code === code);
  }

  /** Resolves when the sink has committed everything that was committed before the call, whether that touches it or not. */
  async caughtUp(name: string): Promise<void> {
    const {rows} = await this.engine.query<{lsn: string}>('SELECT pg_current_wal_insert_lsn()::text AS lsn');
    try {
      await poll(
        `sink ${name} to catch up`,
        LIMIT_MS,
        async () => {
          const found = await this.engine.query(
            'SELECT FROM mz_internal.mz_sluice_lag WHERE name = $1 AND end_lsn >= $2::pg_lsn',
            [name, rows[0].lsn],
          );
          return found.rowCount === 1;
        },
        50,
      );
    } catch (error) {
      throw new Error(`sink ${name} does not catch up: ${JSON.stringify(await this.status(name))}`, {cause: error});
    }
  }

  /** All messages of a sink that has caught up, exactly; each one must carry the header with its logical time. */
  async messages(name: string, topic: string): Promise<Message[]> {
    await this.caughtUp(name);
    return this.topic(topic);
  }

  /** What is there now, of a sink that may have stalled. */
  async topic(topic: string): Promise<Message[]> {
    return (await readTopic(topic)).map(parse);
  }

  /** Runs the statements and returns what they have added to a topic of one partition. */
  async added(name: string, topic: string, ...statements: readonly string[]): Promise<Message[]> {
    const before = await this.messages(name, topic);
    await this.sql(...statements);
    const after = await this.messages(name, topic);
    return after.slice(before.length);
  }
}

export function parse(record: TopicRecord): Message {
  const header = record.headers.find(({name}) => name === 'materialize-timestamp');
  if (!/^[0-9]{13}$/.test(String(header?.value)))
    throw new Error(`message without its time: ${JSON.stringify(record)}`);
  return {key: json(record.key), value: json(record.value)};
}

/** What the topic says of every key in the end. */
export function finalState(messages: readonly Message[]): Map<string, unknown> {
  const state = new Map<string, unknown>();
  for (const {key, value} of messages) {
    if (value === null) state.delete(JSON.stringify(key));
    else state.set(JSON.stringify(key), value);
  }
  return state;
}

function json(bytes: Buffer | null): unknown {
  return bytes === null ? null : JSON.parse(bytes.toString());
}
