import {readFile} from 'node:fs/promises';
import {join} from 'node:path';
import {setTimeout as delay} from 'node:timers/promises';
import pg from 'pg';
import {Connect, type Properties} from '../scripts/connect/connect.ts';
import {poll} from '../scripts/process/poll.ts';
import {PostgresServer} from '../scripts/postgres/server.ts';
import type {House} from './house.ts';
import {JAVA} from './java.ts';
import {PRODUCER} from './producer-performance.ts';
import {countMessages} from './read-back.ts';
import {toFigures, type Figures} from './result.ts';
import type {BenchTable} from './table.ts';
import {Topics} from './topics.ts';
import {Watch} from './watch.ts';
import {createTable, type Backlog, type WriteBacklog} from './workload.ts';

/** Of the engine that decide how fast it is. */
const SETTINGS = ['fsync', 'full_page_writes', 'shared_buffers', 'max_wal_size', 'logical_decoding_work_mem'];
const PUBLICATION = 'debezium';
/** A backlog that nobody takes anything of for so long is an error of the set-up. */
const PATIENCE_MS = 300_000;

/**
 * Debezium in a Kafka Connect, with JSON without schemas. JDBC needs TCP and our engine has none, so it reads the same changes from a
 * PostgreSQL of its own, of the same release and with the same settings, which rests while others are measured. It writes to the same broker.
 */
export class DebeziumPeer {
  readonly #house: House;
  readonly #server: PostgresServer;
  readonly #client: pg.Client;
  readonly #table: BenchTable;
  readonly #backlog: Backlog;

  private constructor(
    house: House,
    server: PostgresServer,
    client: pg.Client,
    what: {table: BenchTable; backlog: Backlog},
  ) {
    this.#house = house;
    this.#server = server;
    this.#client = client;
    this.#table = what.table;
    this.#backlog = what.backlog;
  }

  /** With the backlog in its log, and a slot for each run before it. */
  static async open(
    house: House,
    options: {
      readonly tables: readonly BenchTable[];
      readonly write: WriteBacklog;
      readonly rows: number;
      readonly runs: number;
    },
  ): Promise<DebeziumPeer> {
    const [table] = options.tables;
    if (options.tables.length !== 1) throw new Error('Debezium is measured with one table');
    const server = await PostgresServer.start({settings: await settingsOf(house)});
    const client = new pg.Client({connectionString: server.url});
    try {
      await client.connect();
      await createTable(client, table);
      await client.query(`ALTER TABLE ${table.name} REPLICA IDENTITY FULL`);
      await client.query(`CREATE PUBLICATION ${PUBLICATION} FOR TABLE ${table.name}`);
      for (let run = 1; run <= options.runs; run++) {
        await client.query(`SELECT pg_create_logical_replication_slot('${slotOf(run)}', 'pgoutput')`);
      }
      const backlog = await options.write(client, options.tables, options.rows);
      return new DebeziumPeer(house, server, client, {table, backlog});
    } catch (error) {
      await client.end();
      await server[Symbol.asyncDispose]();
      throw error;
    }
  }

  /**
   * From the moment at which it holds its slot, so without the start of Java and of Connect, until the broker has all messages. They are
   * not in transactions: a standalone Connect knows no exactly once. Throws unless there are as many messages as changes.
   */
  async run(number: number): Promise<Figures> {
    const broker = this.#house.kafka.address;
    const topic = `debezium_${number}.public.${this.#table.name}`;
    const {changes} = this.#backlog;
    await using topics = await Topics.open(broker);
    await topics.create(topic);
    await using connect = await Connect.start({
      broker,
      java: JAVA,
      worker: WORKER,
      connector: this.#connector(number),
    });
    const watch = new Watch([connect.pid], {
      postgres: await postmasterOf(this.#server),
      broker: this.#house.kafka.broker.pid,
    });
    await poll('Debezium to hold its slot', PATIENCE_MS, async () => {
      await connect.mustRun();
      return this.#holds(slotOf(number));
    });
    const from = Date.now();
    await untilAll(changes, async () => {
      await connect.mustRun();
      return topics.messages(topic);
    });
    const to = Date.now();
    watch.stop();
    const seen = await countMessages(broker, topic);
    if (seen !== changes) throw new Error(`topic ${topic} has ${seen} messages instead of ${changes}`);
    return toFigures({rows: changes, seconds: (to - from) / 1000, ...watch.used(from, to)});
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#client.end();
    await this.#server[Symbol.asyncDispose]();
  }

  async #holds(slot: string): Promise<boolean> {
    const {rows} = await this.#client.query<{active: boolean}>(
      'SELECT active FROM pg_replication_slots WHERE slot_name = $1',
      [slot],
    );
    return rows[0].active;
  }

  #connector(number: number): Properties {
    const {port, password, user, database} = this.#client;
    return {
      name: `debezium-${number}`,
      'connector.class': 'io.debezium.connector.postgresql.PostgresConnector',
      'tasks.max': '1',
      'topic.prefix': `debezium_${number}`,
      'database.hostname': '127.0.0.1',
      'database.port': String(port),
      'database.user': user ?? '',
      'database.password': password ?? '',
      'database.dbname': database ?? '',
      'plugin.name': 'pgoutput',
      'slot.name': slotOf(number),
      'publication.name': PUBLICATION,
      'publication.autocreate.mode': 'disabled',
      'table.include.list': `public.${this.#table.name}`,
      'snapshot.mode': 'no_data',
      // One message a change, as ours.
      'tombstones.on.delete': 'false',
      'decimal.handling.mode': 'string',
      'max.batch.size': '8192',
      'max.queue.size': '32768',
    };
  }
}

const WORKER: Properties = {
  'key.converter': 'org.apache.kafka.connect.json.JsonConverter',
  'value.converter': 'org.apache.kafka.connect.json.JsonConverter',
  'key.converter.schemas.enable': 'false',
  'value.converter.schemas.enable': 'false',
  ...Object.fromEntries(Object.entries(PRODUCER).map(([name, value]) => [`producer.${name}`, value])),
};

async function postmasterOf({directory}: PostgresServer): Promise<number> {
  const text = await readFile(join(directory, 'data', 'postmaster.pid'), 'utf8');
  return Number(text.split('\n')[0]);
}

function slotOf(run: number): string {
  return `debezium_${run}`;
}

async function settingsOf(house: House): Promise<Record<string, string>> {
  const {rows} = await house.engine.query<{name: string; value: string}>(
    'SELECT name, current_setting(name) AS value FROM pg_settings WHERE name = ANY ($1)',
    [SETTINGS],
  );
  return Object.fromEntries(rows.map(({name, value}) => [name, value]));
}

/** Throws when nothing more comes. */
async function untilAll(messages: number, count: () => Promise<number>): Promise<void> {
  let seen = 0;
  let movedAt = performance.now();
  while (seen < messages) {
    await delay(50);
    const now = await count();
    if (now > seen) movedAt = performance.now();
    else if (performance.now() - movedAt > PATIENCE_MS) throw new Error(`${seen} of ${messages} messages, and no more`);
    seen = now;
  }
}
