import type pg from 'pg';

/** Rows that are there before the sink: what the first transactions update and delete. */
const LEAD = 50;
const CHANGES_PER_TRANSACTION = 100;
const INSERTS = 70;
const UPDATES = 20;

/** Ten columns, one of them a longer text; `describeRows` says how large a row really is. */
const TABLE = `
CREATE TABLE orders (
  id bigint PRIMARY KEY, customer_id integer NOT NULL, quantity integer NOT NULL, amount numeric(12,2) NOT NULL, discount double precision,
  paid boolean NOT NULL, status text NOT NULL, created_at timestamptz NOT NULL, updated_at timestamptz, note text NOT NULL
)`;

/** One row, as a function of its id: `i` in the scope around. */
const ROW = `i, (i * 7919 % 100000)::int, 1 + (i % 90)::int, (i % 1000000) / 100.0, CASE WHEN i % 5 = 0 THEN NULL ELSE (i % 40) / 8.0 END,
  i % 3 = 0, (ARRAY['new', 'packed', 'shipped', 'returned'])[1 + i % 4], '2026-03-01 08:00:00+00'::timestamptz + i * interval '1371 ms',
  CASE WHEN i % 2 = 0 THEN NULL ELSE '2026-03-02 08:00:00+00'::timestamptz + i * interval '1372 ms' END,
  'order ' || i || ' of "' || md5(i::text) || '", leave it at the door of the neighbour'`;

/**
 * Each transaction inserts 70 rows, updates 20 and deletes 10 that an earlier one inserted. No row is touched twice within fifty
 * transactions, so that every change is a message of its own, whatever shares a millisecond.
 */
const WRITE_TRANSACTIONS = `
CREATE PROCEDURE write_transactions(count bigint) LANGUAGE plpgsql AS $$
BEGIN
  FOR t IN ${LEAD} .. ${LEAD} + count - 1 LOOP
    INSERT INTO orders SELECT ${ROW} FROM generate_series(t::bigint * ${INSERTS}, t * ${INSERTS} + ${INSERTS - 1}) AS i;
    UPDATE orders SET status = 'changed', amount = amount + 1.25, updated_at = created_at + interval '1 day'
      WHERE id >= (t - ${LEAD}) * ${INSERTS} AND id < (t - ${LEAD}) * ${INSERTS} + ${UPDATES};
    DELETE FROM orders WHERE id >= (t - ${LEAD}) * ${INSERTS} + ${UPDATES}
      AND id < (t - ${LEAD}) * ${INSERTS} + ${CHANGES_PER_TRANSACTION - INSERTS};
    COMMIT;
  END LOOP;
END $$`;

/** The value that a message of the row must have, as docs/formats.md says, computed by PostgreSQL. */
export const EXPECTED_VALUE = `json_build_object('id', id, 'customer_id', customer_id, 'quantity', quantity, 'amount', amount::text,
  'discount', discount, 'paid', paid, 'status', status,
  'created_at', to_char(extract(epoch FROM created_at) * 1000, 'FM9999999999999990.000'),
  'updated_at', to_char(extract(epoch FROM updated_at) * 1000, 'FM9999999999999990.000'), 'note', note)`;

/** As their owner, so that sinks of the same user can be made of it. Returns the number of rows. */
export async function createTable(client: pg.Client, rows: number = LEAD * INSERTS): Promise<number> {
  await client.query(TABLE);
  await client.query(`INSERT INTO orders SELECT ${ROW} FROM generate_series(0::bigint, ${rows - 1}) AS i`);
  return rows;
}

/** One transaction of `count` new rows, ids from `first` on. */
export async function insertOrders(client: pg.Client, first: number, count: number): Promise<void> {
  const text = `INSERT INTO orders SELECT ${ROW} FROM generate_series($1::bigint, $2::bigint) AS i`;
  await client.query({name: 'insert_orders', text, values: [first, first + count - 1]});
}

export interface Backlog {
  /** Including one last insert that marks the end. */
  readonly changes: number;
  /** An LSN within the last transaction: whoever has ended a transaction behind it has them all. */
  readonly last: string;
  /** Behind the last transaction. */
  readonly end: string;
}

/** `client` is the engine's own: it may leave the flushing of commits to the last one. */
export async function writeBacklog(client: pg.Client, rows: number): Promise<Backlog> {
  const transactions = Math.ceil(rows / CHANGES_PER_TRANSACTION);
  await client.query(WRITE_TRANSACTIONS);
  await client.query('SET synchronous_commit = off');
  await client.query(`CALL write_transactions(${transactions})`);
  await client.query('SET synchronous_commit = on');
  const end = await markEnd(client, (LEAD + transactions) * INSERTS);
  return {changes: transactions * CHANGES_PER_TRANSACTION + 1, ...end};
}

async function markEnd(client: pg.Client, id: number): Promise<Pick<Backlog, 'last' | 'end'>> {
  await client.query('BEGIN');
  await insertOrders(client, id, 1);
  const last = await currentLsn(client);
  await client.query('COMMIT');
  const end = await currentLsn(client);
  await client.query('CHECKPOINT');
  return {last, end};
}

/** As `writeBacklog`, one transaction of inserts; the mark of the end comes in another one. */
export async function writeTransaction(client: pg.Client, rows: number): Promise<Backlog> {
  const {rows: found} = await client.query<{next: string}>('SELECT max(id) + 1 AS next FROM orders');
  const first = Number(found[0].next);
  await insertOrders(client, first, rows);
  return {changes: rows + 1, ...(await markEnd(client, first + rows))};
}

/** Bytes of a row as the table stores it, on average. */
export async function bytesPerRow(client: pg.Client): Promise<number> {
  const {rows} = await client.query<{bytes: number}>(
    'SELECT avg(pg_column_size(o.*))::float8 AS bytes FROM orders o WHERE id < 10000',
  );
  return Math.round(rows[0].bytes);
}

async function currentLsn(client: pg.Client): Promise<string> {
  const {rows} = await client.query<{lsn: string}>('SELECT pg_current_wal_insert_lsn()::text AS lsn');
  return rows[0].lsn;
}
