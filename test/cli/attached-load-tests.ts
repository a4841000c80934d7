import pg from 'pg';
import {afterAll, beforeAll, expect, test} from 'vitest';
import {poll} from '../../scripts/process/poll.ts';
import type {PostgresVersion} from '../../scripts/postgres/binaries.ts';
import {uninstall} from '../../src/cli/uninstall.ts';
import {randomFrom} from '../changes/random-writers.ts';
import {catalogSnapshot} from './attached-catalog.ts';
import {AttachedWorld} from './attached-world.ts';

const WRITERS = 3;

/** Of a user who relies on his search_path, on triggers, on keys, and on another consumer of his log. */
const THEIRS = `
CREATE SCHEMA tools;
CREATE TABLE tools.audit (n bigserial, what text);
CREATE FUNCTION tools.note(what text) RETURNS void LANGUAGE sql SET search_path = tools AS $$ INSERT INTO audit (what) VALUES (what) $$;
CREATE TABLE plain (id int PRIMARY KEY, body text, at timestamptz DEFAULT now());
CREATE TABLE by_index (id int NOT NULL, body text);
CREATE UNIQUE INDEX by_index_key ON by_index (id);
ALTER TABLE by_index REPLICA IDENTITY USING INDEX by_index_key;
CREATE TABLE parted (id int PRIMARY KEY, body text) PARTITION BY RANGE (id);
CREATE TABLE parted_low PARTITION OF parted FOR VALUES FROM (0) TO (500);
CREATE TABLE parted_high PARTITION OF parted DEFAULT;
CREATE FUNCTION audit_plain() RETURNS trigger LANGUAGE plpgsql AS
  $$ BEGIN PERFORM tools.note(TG_OP); RETURN NULL; END $$;
CREATE TRIGGER audit AFTER INSERT OR UPDATE OR DELETE ON plain FOR EACH ROW EXECUTE FUNCTION audit_plain();
`;
const TABLES = ['plain', 'by_index', 'parted'];

/** The user's program. It counts what it has committed and keeps every error. */
class Writers {
  readonly errors: unknown[] = [];
  readonly #clients: pg.Client[];
  readonly #seed: number;
  #loops: Promise<void>[] = [];
  #over = false;
  committed = 0;

  constructor(clients: pg.Client[], seed: number) {
    this.#clients = clients;
    this.#seed = seed;
  }

  start(): void {
    this.#over = false;
    this.#loops = this.#clients.map((client, writer) => this.#write(client, writer, randomFrom(this.#seed + writer)));
  }

  async pause(): Promise<void> {
    this.#over = true;
    await Promise.all(this.#loops);
  }

  /** Until every phase has seen its share of transactions. */
  async more(count: number): Promise<void> {
    const goal = this.committed + count;
    await poll(`${count} more transactions`, 60_000, () => this.committed >= goal || this.errors.length > 0);
  }

  async #write(client: pg.Client, writer: number, random: () => number): Promise<void> {
    const below = (n: number) => Math.floor(random() * n);
    // Each writer has rows of its own, so that the writers do not deadlock among themselves.
    const id = () => below(300) * WRITERS + writer;
    while (!this.#over) {
      try {
        if (below(200) === 0) {
          await client.query(`TRUNCATE ${TABLES[below(3)]}`);
          this.committed++;
          continue;
        }
        await client.query('BEGIN');
        // In one order, for the same reason.
        for (const table of TABLES) {
          for (let n = below(4); n > 0; n--) {
            const key = id();
            await client.query(
              `INSERT INTO ${table} (id, body) VALUES (${key}, repeat('${below(10)}', ${below(50)})) ON CONFLICT (id) DO UPDATE SET body = excluded.body`,
            );
            if (below(3) === 0) await client.query(`UPDATE ${table} SET body = body || '+' WHERE id = ${id()}`);
            if (below(4) === 0) await client.query(`DELETE FROM ${table} WHERE id = ${id()}`);
          }
        }
        await client.query(below(10) === 0 ? 'ROLLBACK' : 'COMMIT');
        this.committed++;
      } catch (error) {
        this.errors.push(error);
        await client.query('ROLLBACK');
      }
    }
  }
}

/** Before, during and after: a user who does not know that Sluice is there. */
export function describeLoad(version: PostgresVersion): void {
  const seed = Number(process.env['SLUICE_LOAD_SEED'] ?? Date.now() % 1_000_000);
  let world: AttachedWorld;
  let writers: Writers;

  beforeAll(async () => {
    world = await AttachedWorld.open(version);
    await world.admin.query(`GRANT CREATE ON DATABASE ${world.database.address.database} TO ${world.app};
      SET ROLE ${world.app}; ${THEIRS}; RESET ROLE;
      CREATE PUBLICATION theirs FOR TABLE parted, by_index WHERE (id < 100)`);
    const clients = [];
    for (let i = 0; i < WRITERS; i++) {
      const client = await world.connect(world.urlOf(world.app));
      // Whoever waits for longer has been blocked; what is documented is a tenth of a second at a time.
      await client.query(`SET lock_timeout = '20s'; SET client_min_messages = warning`);
      clients.push(client);
    }
    writers = new Writers(clients, seed);
  }, 300_000);
  afterAll(() => world[Symbol.asyncDispose](), 60_000);

  test(`writes of the user never fail and never wait for long (seed ${seed})`, async () => {
    const before = await catalogSnapshot(world.admin);
    writers.start();
    await writers.more(100);

    const sluice = await world.start();
    await world.admin.query(`DO $$ BEGIN
      EXECUTE (SELECT format('GRANT TRIGGER ON %s TO ${world.app}', anchor::regclass) FROM mz_sluice.cluster); END $$`);
    const client = await world.through(sluice, world.app);
    const topics = await world.createSinks(client, TABLES);
    await writers.more(200);
    await writers.pause();
    expect(writers.errors).toEqual([]);
    for (const [table, topic] of topics) {
      await world.caughtUp(`${table}_sink`);
      const {rows} = await world.admin.query<{id: number; body: string}>(`SELECT id, body FROM ${table} ORDER BY id`);
      const state = await world.finalState(topic);
      expect(state.map(({id, body}) => ({id, body}))).toEqual(rows);
    }

    writers.start();
    await client.query('DROP SINK plain_sink; DROP SINK parted_sink');
    await poll('the identities of tables without sinks', 60_000, async () => {
      const {rows} = await world.admin.query<{identities: string}>(
        `SELECT string_agg(relreplident::text, '' ORDER BY relname) AS identities FROM pg_class
         WHERE relname IN ('by_index', 'parted', 'parted_high', 'parted_low', 'plain')`,
      );
      return rows[0].identities === 'fdddd';
    });
    await writers.more(100);
    await sluice.end();
    await uninstall({config: {postgres: world.database.url, yes: true, force: false}, out: {write: () => true}});
    await writers.more(100);
    await writers.pause();
    expect(writers.errors).toEqual([]);
    expect(await catalogSnapshot(world.admin)).toEqual(before);
  }, 240_000);
}
