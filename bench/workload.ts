import type pg from 'pg';
import type {BenchTable} from './table.ts';

/** Rows that are there before the sink: what the first transactions update and delete. */
const LEAD = 50;
const CHANGES_PER_TRANSACTION = 100;
const INSERTS = 70;
const UPDATES = 20;

/**
 * Each transaction inserts 70 rows of one table, updates 20 and deletes 10 that an earlier one inserted; tables take turns. No row is touched
 * twice within fifty transactions of its table, so that every change is a message of its own, whatever shares a millisecond.
 */
function writeTransactions(tables: readonly BenchTable[]): string {
  return `
CREATE OR REPLACE PROCEDURE write_transactions(count bigint) LANGUAGE plpgsql AS $$
BEGIN
  FOR t IN ${LEAD} .. ${LEAD} + count - 1 LOOP
    ${tables.map(transactionOf).join('')}
  END LOOP;
END $$`;
}

function transactionOf({name, row, change}: BenchTable): string {
  return `
    INSERT INTO ${name} SELECT ${row} FROM generate_series(t::bigint * ${INSERTS}, t * ${INSERTS} + ${INSERTS - 1}) AS i;
    UPDATE ${name} SET ${change} WHERE id >= (t - ${LEAD}) * ${INSERTS} AND id < (t - ${LEAD}) * ${INSERTS} + ${UPDATES};
    DELETE FROM ${name} WHERE id >= (t - ${LEAD}) * ${INSERTS} + ${UPDATES}
      AND id < (t - ${LEAD}) * ${INSERTS} + ${CHANGES_PER_TRANSACTION - INSERTS};
    COMMIT;`;
}

/** With the rows that a backlog needs beforehand unless told otherwise; sinks of the client's user can be made of it. Returns the number of rows. */
export async function createTable(
  client: pg.Client,
  table: BenchTable,
  rows: number = LEAD * INSERTS,
): Promise<number> {
  await client.query(`CREATE TABLE ${table.name} (${table.columns})`);
  if (rows > 0) {
    await client.query(
      `INSERT INTO ${table.name} SELECT ${table.row} FROM generate_series(0::bigint, ${rows - 1}) AS i`,
    );
  }
  return rows;
}

/** One transaction of `count` new rows, ids from `first` on. */
export async function insertRows(client: pg.Client, table: BenchTable, first: number, count: number): Promise<void> {
  const text = `INSERT INTO ${table.name} SELECT ${table.row} FROM generate_series($1::bigint, $2::bigint) AS i`;
  await client.query({name: `insert_${table.name}`, text, values: [first, first + count - 1]});
}

export interface Backlog {
  /** Including a last insert into each table that marks the end. */
  readonly changes: number;
  /** The share of each table. */
  readonly changesOfTable: number;
  /** An LSN within the last transaction: whoever has ended a transaction behind it has them all. */
  readonly last: string;
  /** Behind the last transaction. */
  readonly end: string;
  /** Bytes of the log from before the first transaction to `end`. */
  readonly logBytes: number;
}

/** Puts at least `rows` changes of the tables into the log. `client` is the engine's own: it may leave the flushing of commits to the last one. */
export type WriteBacklog = (client: pg.Client, tables: readonly BenchTable[], rows: number) => Promise<Backlog>;

/** In transactions of 100 changes. */
export const writeBacklog: WriteBacklog = async (client, tables, rows) => {
  const transactions = Math.ceil(rows / CHANGES_PER_TRANSACTION / tables.length);
  const begin = await currentLsn(client);
  await client.query(writeTransactions(tables));
  await client.query('SET synchronous_commit = off');
  await client.query(`CALL write_transactions(${transactions})`);
  await client.query('SET synchronous_commit = on');
  return marked(client, tables, (LEAD + transactions) * INSERTS, transactions * CHANGES_PER_TRANSACTION, begin);
};

/** As one transaction of inserts into each table; the mark of the end comes in another one. */
export const writeTransaction: WriteBacklog = async (client, tables, rows) => {
  const begin = await currentLsn(client);
  const first = LEAD * INSERTS;
  const share = Math.ceil(rows / tables.length);
  for (const table of tables) await insertRows(client, table, first, share);
  return marked(client, tables, first + share, share, begin);
};

async function marked(
  client: pg.Client,
  tables: readonly BenchTable[],
  id: number,
  changesOfTable: number,
  begin: string,
): Promise<Backlog> {
  await client.query('BEGIN');
  for (const table of tables) await insertRows(client, table, id, 1);
  const last = await currentLsn(client);
  await client.query('COMMIT');
  const end = await currentLsn(client);
  await client.query('CHECKPOINT');
  const {rows} = await client.query<{bytes: string}>('SELECT pg_wal_lsn_diff($1, $2) AS bytes', [end, begin]);
  return {
    changes: (changesOfTable + 1) * tables.length,
    changesOfTable: changesOfTable + 1,
    last,
    end,
    logBytes: Number(rows[0].bytes),
  };
}

/** Bytes of a row as the table stores it, on average. */
export async function bytesPerRow(client: pg.Client, {name}: BenchTable): Promise<number> {
  const {rows} = await client.query<{bytes: number}>(
    `SELECT avg(pg_column_size(o.*))::float8 AS bytes FROM (SELECT * FROM ${name} LIMIT 10000) AS o`,
  );
  return Math.round(rows[0].bytes);
}

async function currentLsn(client: pg.Client): Promise<string> {
  const {rows} = await client.query<{lsn: string}>('SELECT pg_current_wal_insert_lsn()::text AS lsn');
  return rows[0].lsn;
}
