import pg from 'pg';
import {SqlError} from '../../base/sql-error.ts';
import {createTable, TABLES} from './tables.ts';
import {until} from './until.ts';

const RETIRE_MS = 15_000;

export interface DemoObjectsOptions {
  /** Of the schema, and the beginning of the topics' names. A lower-case word. */
  readonly name: string;
  /** host:port */
  readonly broker: string;
  readonly say: (line: string) => void;
}

/** What the demo makes in the database, by the statements that a user would type; it prints them. */
export class DemoObjects {
  readonly #options: DemoObjectsOptions;

  constructor(options: DemoObjectsOptions) {
    this.#options = options;
  }

  get schema(): string {
    return this.#options.name;
  }
  get progressTopic(): string {
    return `${this.#options.name}-progress`;
  }
  /** By table. */
  topicOf(table: string): string {
    return `${this.#options.name}-${table}`;
  }
  get topics(): string[] {
    return TABLES.map(({name}) => this.topicOf(name));
  }

  async createTables(client: pg.Client): Promise<void> {
    await this.#run(client, `CREATE SCHEMA ${this.schema}`);
    await this.#run(client, `SET search_path = ${this.schema}`);
    for (const table of TABLES) await this.#run(client, createTable(table));
  }

  async createSinks(client: pg.Client): Promise<void> {
    await this.#run(
      client,
      `CREATE CONNECTION kafka TO KAFKA (
  BROKER '${this.#options.broker}',
  SECURITY PROTOCOL 'PLAINTEXT',
  PROGRESS TOPIC '${this.progressTopic}'
)`,
    );
    for (const {name, key} of TABLES) {
      await this.#run(
        client,
        `CREATE SINK ${name}_sink FROM ${name} INTO KAFKA CONNECTION kafka (
  TOPIC '${this.topicOf(name)}',
  TOPIC PARTITION COUNT 3,
  TOPIC CONFIG MAP['cleanup.policy' => 'compact']
) KEY (${key}) FORMAT JSON ENVELOPE UPSERT`,
      );
    }
  }

  /** Leaves nothing in the database, nor a replication slot that would hold its log back. Objects that were not made are no error. */
  async drop(client: pg.Client): Promise<void> {
    await client.query(`SET search_path = ${this.schema}`);
    for (const {name} of TABLES) await client.query(`DROP SINK IF EXISTS ${name}_sink`);
    await client.query('DROP CONNECTION IF EXISTS kafka');
    await this.#slotsGone(client);
    await client.query(`DROP SCHEMA IF EXISTS ${this.schema} CASCADE`);
  }

  /** The worker drops the slot of a cluster that has lost its last sink. */
  async #slotsGone(client: pg.Client): Promise<void> {
    const gone = await until(RETIRE_MS, async () => {
      const {rowCount} = await client.query(
        `SELECT FROM mz_internal.mz_sluice_slots s
         WHERE NOT EXISTS (SELECT FROM mz_catalog.mz_sinks k WHERE k.cluster_id = s.cluster_id)`,
      );
      return rowCount === 0;
    });
    if (!gone) throw new Error('the replication slot of the demo is still there');
  }

  async #run(client: pg.Client, statement: string): Promise<void> {
    this.#options.say(`${statement};`);
    try {
      await client.query(statement);
    } catch (error) {
      // What went wrong with the broker, say, stands in the detail.
      if (!(error instanceof pg.DatabaseError)) throw error;
      throw new SqlError(error.code ?? 'XX000', error.message, {detail: error.detail, hint: error.hint, cause: error});
    }
  }
}
