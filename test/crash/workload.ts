import {setTimeout as sleep} from 'node:timers/promises';
import type pg from 'pg';

/** A repeatable source of numbers: 32-bit xorshift. */
export class Dice {
  #state: number;

  constructor(seed: number) {
    this.#state = seed | 0 || 1;
  }

  /** 0 … limit - 1. */
  below(limit: number): number {
    this.#state ^= this.#state << 13;
    this.#state ^= this.#state >>> 17;
    this.#state ^= this.#state << 5;
    return (this.#state >>> 0) % limit;
  }

  chance(percent: number): boolean {
    return this.below(100) < percent;
  }
}

/**
 * Tables of the test. `ledger` is the reference: a trigger appends, in the same transaction, what each statement did to each row,
 * in the form that the topic must have, computed by PostgreSQL. `orders_again` has the same rows at the end of every transaction, so a sink
 * may go over from the one to the other and nobody can tell from its topic.
 */
export const SCHEMA = `
CREATE TABLE orders (
  id bigint PRIMARY KEY,
  rev text NOT NULL,
  amount numeric(12,2),
  placed timestamptz,
  paid boolean,
  doc jsonb,
  note text
);
CREATE TABLE ledger (
  seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
  xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
  key bigint NOT NULL,
  before jsonb,
  after jsonb
);
CREATE FUNCTION as_expected(o orders) RETURNS jsonb LANGUAGE sql AS $$
  SELECT jsonb_build_object('id', o.id, 'rev', o.rev, 'amount', o.amount::text,
    'placed', trunc(extract(epoch FROM o.placed) * 1000)::text || '.' || lpad(((extract(epoch FROM o.placed) * 1000000)::bigint % 1000)::text, 3, '0'),
    'paid', o.paid, 'doc', o.doc, 'note', o.note)
$$;
CREATE FUNCTION keep_ledger() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP <> 'INSERT' AND (TG_OP = 'DELETE' OR OLD.id <> NEW.id) THEN
    INSERT INTO ledger (key, before) VALUES (OLD.id, as_expected(OLD));
  END IF;
  IF TG_OP <> 'DELETE' AND (TG_OP = 'INSERT' OR OLD.id <> NEW.id) THEN
    INSERT INTO ledger (key, after) VALUES (NEW.id, as_expected(NEW));
  ELSIF TG_OP = 'UPDATE' THEN
    INSERT INTO ledger (key, before, after) VALUES (NEW.id, as_expected(OLD), as_expected(NEW));
  END IF;
  RETURN NULL;
END
$$;
CREATE TRIGGER keep_ledger AFTER INSERT OR UPDATE OR DELETE ON orders FOR EACH ROW EXECUTE FUNCTION keep_ledger();
CREATE TABLE orders_again (LIKE orders INCLUDING ALL);
CREATE FUNCTION repeat_order() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
  IF TG_OP = 'INSERT' THEN
    INSERT INTO orders_again SELECT NEW.*;
  ELSIF TG_OP = 'DELETE' THEN
    DELETE FROM orders_again WHERE id = OLD.id;
  ELSE
    UPDATE orders_again SET (id, rev, amount, placed, paid, doc, note) = (SELECT NEW.*) WHERE id = OLD.id;
  END IF;
  RETURN NULL;
END
$$;
CREATE TRIGGER repeat_order AFTER INSERT OR UPDATE OR DELETE ON orders FOR EACH ROW EXECUTE FUNCTION repeat_order();
`;

export interface WriterOptions {
  readonly seed: number;
  /** Keys of this writer: multiples of `writers`, plus this. Writers also touch each other's keys, now and then. */
  readonly number: number;
  readonly writers: number;
  readonly keys: number;
  readonly connect: () => Promise<pg.Client>;
  readonly signal: AbortSignal;
  /** Milliseconds between two transactions: the load, not a wait. */
  readonly pauseMs: number;
}

/** Writes random transactions until aborted, through whatever happens to the server. Returns how many it saw committed. */
export async function runWriter(options: WriterOptions): Promise<number> {
  const dice = new Dice(options.seed * 7919 + options.number);
  let committed = 0;
  let client: pg.Client | undefined;
  let turn = 0;
  while (!options.signal.aborted) {
    try {
      if (client === undefined || turn % SETTLE_EVERY === 0) {
        client ??= await options.connect();
        await settle(client, dice, options);
      }
      await transaction(client, dice, options, `${prefixOf(options)}${turn++}`);
      committed++;
    } catch {
      // Its outcome does not matter: the ledger knows.
      const broken = client;
      client = undefined;
      await broken?.end().catch(() => undefined);
      await sleep(100);
    }
    await sleep(options.pauseMs);
  }
  await client?.end().catch(() => undefined);
  return committed;
}

/** Turns; the server may still be preparing what a client has given up. */
const SETTLE_EVERY = 20;

/**
 * What a connection that was lost between PREPARE and COMMIT has left keeps its locks for ever, and new sinks wait for it, as they
 * should. A transaction manager decides in the end, and so does the writer.
 */
async function settle(client: pg.Client, dice: Dice, options: WriterOptions): Promise<void> {
  const {rows} = await client.query<{gid: string}>('SELECT gid FROM pg_prepared_xacts WHERE starts_with(gid, $1)', [
    `crash-${prefixOf(options)}`,
  ]);
  for (const {gid} of rows) {
    await client.query(`${dice.chance(50) ? 'COMMIT' : 'ROLLBACK'} PREPARED ${client.escapeLiteral(gid)}`);
  }
}

/** Of the names of a writer's transactions. */
function prefixOf({seed, number}: WriterOptions): string {
  return `${seed}-${number}-`;
}

async function transaction(client: pg.Client, dice: Dice, options: WriterOptions, label: string): Promise<void> {
  const key = () => {
    const writer = dice.chance(5) ? dice.below(options.writers) : options.number;
    return writer + options.writers * dice.below(options.keys);
  };
  await client.query('BEGIN');
  await client.query("SET LOCAL lock_timeout = '2s'");
  const steps = dice.chance(2) ? 400 : 1 + dice.below(12);
  let savepoint = false;
  for (let step = 0; step < steps; step++) {
    if (dice.chance(8)) {
      if (savepoint) await client.query(dice.chance(50) ? 'ROLLBACK TO s' : 'RELEASE s');
      else await client.query('SAVEPOINT s');
      savepoint = !savepoint;
    }
    await change(client, dice, key, `${label}-${step}`);
  }
  if (dice.chance(5)) {
    const name = `crash-${label}`;
    await client.query(`PREPARE TRANSACTION '${name}'`);
    if (dice.chance(5)) throw new Error('lost between the two phases');
    await client.query(dice.chance(20) ? `ROLLBACK PREPARED '${name}'` : `COMMIT PREPARED '${name}'`);
  } else {
    await client.query(dice.chance(5) ? 'ROLLBACK' : 'COMMIT');
  }
}

async function change(client: pg.Client, dice: Dice, key: () => number, rev: string): Promise<void> {
  const row = [
    key(),
    rev,
    `${dice.below(100_000)}.${dice.below(90) + 10}`,
    new Date(1_700_000_000_000 + dice.below(1_000_000_000)),
    dice.chance(50),
    JSON.stringify({n: dice.below(1000), s: 'ü"\\\n', a: [1, null, {}]}),
    // Sometimes long enough to be stored outside of the row, so that later updates do not repeat it.
    dice.chance(10) ? `${rev} `.repeat(1 + dice.below(600)) : dice.chance(10) ? null : `note ${rev}`,
  ];
  const kind = dice.below(100);
  if (kind < 50) {
    await client.query(
      `INSERT INTO orders VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (id) DO UPDATE
       SET rev = excluded.rev, amount = excluded.amount, paid = excluded.paid`,
      row,
    );
  } else if (kind < 65) {
    await client.query('UPDATE orders SET rev = $2, note = $3 WHERE id = $1', [row[0], rev, row[6]]);
  } else if (kind < 70) {
    // Changes nothing: no message.
    await client.query('UPDATE orders SET rev = rev WHERE id = $1', [row[0]]);
  } else if (kind < 80) {
    await client.query(
      'UPDATE orders SET id = $2, rev = $3 WHERE id = $1 AND NOT EXISTS (SELECT FROM orders WHERE id = $2)',
      [row[0], key(), rev],
    );
  } else {
    await client.query('DELETE FROM orders WHERE id = $1', [row[0]]);
  }
}
