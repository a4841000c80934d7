import {expect, test} from 'vitest';
import {poll} from '../../scripts/process/poll.ts';
import {connectTo, LIMIT_MS} from '../faults/own-world.ts';
import {connectionSql, freshTopicName, readTopicUntil} from '../setup/kafka.ts';
import {UpgradeWorld} from './upgrade-world.ts';

const WRITERS = 3;

/** A program of the user that connects again when it has lost its connection. */
class Writer {
  readonly #url: string;
  #over = false;
  readonly #loop: Promise<void>;
  /** Transactions whose COMMIT was answered. */
  committed = 0;

  constructor(url: string) {
    this.#url = url;
    this.#loop = this.#write();
  }

  async stop(): Promise<void> {
    this.#over = true;
    await this.#loop;
  }

  async #write(): Promise<void> {
    while (!this.#over) {
      try {
        await using client = await connectTo(this.#url);
        while (!this.#over) {
          await client.query('INSERT INTO t (v) SELECT repeat($1, n) FROM generate_series(1, 3) AS n', ['x']);
          this.committed++;
        }
      } catch {
        // What became of the last transaction the table says.
      }
    }
  }
}

test(
  'PostgreSQL is restarted with a newer minor version beside writers: every row is in the topic once',
  async () => {
    await using world = await UpgradeWorld.open(18);
    const {app, boss} = await world.start();
    await boss.query('GRANT CREATE ON CLUSTER quickstart TO app');
    await boss.query('GRANT CREATE ON SCHEMA public TO app');
    const topic = freshTopicName('minor');
    for (const statement of [
      'CREATE TABLE t (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v text)',
      connectionSql(),
      `CREATE SINK s FROM t INTO KAFKA CONNECTION kafka (TOPIC '${topic}', TOPIC PARTITION COUNT 1) KEY (id) FORMAT JSON ENVELOPE UPSERT`,
    ])
      await app.query(statement);
    await world.until('s', 'running');

    const through = Object.assign(new URL(world.url), {port: String(app.port), username: 'app', password: 'pw'}).href;
    const writers = Array.from({length: WRITERS}, () => new Writer(through));
    const more = async () => {
      const goals = writers.map(({committed}) => committed + 50);
      await poll('transactions of every writer', LIMIT_MS, () => writers.every((w, n) => w.committed >= goals[n]));
    };
    await more();
    await world.postgres.stop();
    world.postgres.programs = world.newer.programs;
    await world.postgres.start();
    await more();
    await Promise.all(writers.map(writer => writer.stop()));

    const rows = await world.query<{id: number; v: string}>('SELECT id, v FROM t ORDER BY id');
    expect(rows.length).toBeGreaterThanOrEqual(2 * 3 * 50 * WRITERS);
    const records = await readTopicUntil(topic, found => found.length >= rows.length, {limitMs: LIMIT_MS});
    const read = records.map(({value}) => JSON.parse(String(value)) as {id: number; v: string});
    expect(read.sort((a, b) => a.id - b.id)).toEqual(rows);
  },
  4 * LIMIT_MS,
);
