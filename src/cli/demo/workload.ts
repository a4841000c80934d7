import {setTimeout as sleep} from 'node:timers/promises';
import type pg from 'pg';
import {CUSTOMERS, ORDERS} from './tables.ts';

/** Rows of committed transactions. */
export interface Written {
  readonly inserted: number;
  readonly updated: number;
  readonly deleted: number;
}

type Counter = keyof Written;

interface Step {
  /** How often it is chosen, relative to the others. */
  readonly weight: number;
  readonly counts: Counter;
  /** Rows at most: $1. */
  readonly rows: number;
  readonly sql: string;
}

/** $1 orders in a row, from a random one on. Two writers never wait for each other, so they cannot block each other for good. */
const SOME_ORDERS = `SELECT id FROM orders
WHERE id >= (SELECT min(id) + floor(random() * (max(id) - min(id)))::bigint FROM orders)
ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED`;
const SOME_CUSTOMERS = `SELECT id FROM customers WHERE active AND id % 50 = floor(random() * 50)::int
ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED`;

const STEPS: readonly Step[] = [
  {weight: 10, counts: 'inserted', rows: 40, sql: ORDERS.insert},
  {
    weight: 8,
    counts: 'updated',
    rows: 30,
    sql: `UPDATE orders SET status = 'shipped', paid = random() < 0.9, shipped = clock_timestamp() WHERE id IN (${SOME_ORDERS})`,
  },
  {
    weight: 2,
    counts: 'updated',
    rows: 10,
    sql: `UPDATE orders SET total = total * 0.9, lines = lines || '{"article": "rebate", "price": -1e-3}' WHERE id IN (${SOME_ORDERS})`,
  },
  {weight: 4, counts: 'deleted', rows: 20, sql: `DELETE FROM orders WHERE id IN (${SOME_ORDERS})`},
  {
    weight: 4,
    counts: 'updated',
    rows: 5,
    sql: `UPDATE customers SET credit = credit - 1, tags = tags[2:] || ARRAY[status.word], badge = badge || '\\x00ff'::bytea
      FROM (SELECT (ARRAY['gold', 'silver', 'late'])[1 + floor(random() * 3)::int] AS word) AS status WHERE id IN (${SOME_CUSTOMERS})`,
  },
  // For the topic a key that changes is one key that ends and another that begins.
  {
    weight: 1,
    counts: 'updated',
    rows: 1,
    sql: `UPDATE customers SET id = nextval(pg_get_serial_sequence('customers', 'id')) WHERE id IN (${SOME_CUSTOMERS})`,
  },
  {weight: 1, counts: 'inserted', rows: 2, sql: CUSTOMERS.insert},
  {weight: 1, counts: 'deleted', rows: 2, sql: `DELETE FROM customers WHERE id IN (${SOME_CUSTOMERS})`},
  // Rows that come and go within a transaction, and updates that change nothing: no consumer hears of them.
  {
    weight: 1,
    counts: 'updated',
    rows: 10,
    sql: `UPDATE orders SET status = status WHERE id IN (${SOME_ORDERS})`,
  },
];

/** More orders than this are not kept: then every transaction deletes as many as it inserts. */
const MOST_ORDERS = 20_000;
const TRIM: Step = {
  weight: 0,
  counts: 'deleted',
  rows: 80,
  sql: 'DELETE FROM orders WHERE id IN (SELECT id FROM orders ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED)',
};
const ROLLBACKS_PERCENT = 3;
/** Between two transactions of a writer: a load that leaves a laptop usable. */
const PAUSE_MS = 10;

/** Writers that change customers and orders until they are told to stop. */
export class Workload {
  readonly #written = {inserted: 0, updated: 0, deleted: 0};

  get written(): Written {
    return this.#written;
  }

  get rows(): number {
    const {inserted, updated, deleted} = this.#written;
    return inserted + updated + deleted;
  }

  /** Writes on this connection until `signal` is aborted; ends after a whole transaction. */
  async write(client: pg.Client, signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      await this.#transaction(client);
      await sleep(PAUSE_MS);
    }
  }

  async #transaction(client: pg.Client): Promise<void> {
    const done = {inserted: 0, updated: 0, deleted: 0};
    await client.query('BEGIN');
    const steps = Array.from({length: 1 + below(3)}, choose);
    if (this.#written.inserted - this.#written.deleted > MOST_ORDERS) steps.push(TRIM);
    for (const {counts, rows, sql} of steps) {
      const {rowCount} = await client.query(sql, [1 + below(rows)]);
      done[counts] += rowCount ?? 0;
    }
    if (below(100) < ROLLBACKS_PERCENT) {
      await client.query('ROLLBACK');
      return;
    }
    await client.query('COMMIT');
    for (const counter of ['inserted', 'updated', 'deleted'] as const) this.#written[counter] += done[counter];
  }
}

function below(limit: number): number {
  return Math.floor(Math.random() * limit);
}

function choose(): Step {
  let left = Math.random() * STEPS.reduce((sum, step) => sum + step.weight, 0);
  return STEPS.find(step => (left -= step.weight) < 0) ?? STEPS[0];
}
