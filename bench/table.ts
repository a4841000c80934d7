/** A table that benchmarks fill. In its texts `i`, a bigint, is the id of the row. */
export interface BenchTable {
  readonly name: string;
  /** Their definitions; the first is `id bigint PRIMARY KEY`. */
  readonly columns: string;
  /** SELECT list of one row. */
  readonly row: string;
  /** SET list of an update, which changes some columns of the row. */
  readonly change: string;
  /** SELECT list of the fields that a message of the row must have, as docs/formats.md says, computed by PostgreSQL. */
  readonly fields: string;
}

/** Ten columns and some 172 bytes, one of the columns a longer text. */
export function ordersTable(name: string): BenchTable {
  return {
    name,
    columns: `id bigint PRIMARY KEY, customer_id integer NOT NULL, quantity integer NOT NULL, amount numeric(12,2) NOT NULL,
      discount double precision, paid boolean NOT NULL, status text NOT NULL, created_at timestamptz NOT NULL, updated_at timestamptz,
      note text NOT NULL`,
    row: `i, (i * 7919 % 100000)::int, 1 + (i % 90)::int, (i % 1000000) / 100.0, CASE WHEN i % 5 = 0 THEN NULL ELSE (i % 40) / 8.0 END,
      i % 3 = 0, (ARRAY['new', 'packed', 'shipped', 'returned'])[1 + i % 4], '2026-03-01 08:00:00+00'::timestamptz + i * interval '1371 ms',
      CASE WHEN i % 2 = 0 THEN NULL ELSE '2026-03-02 08:00:00+00'::timestamptz + i * interval '1372 ms' END,
      'order ' || i || ' of "' || md5(i::text) || '", leave it at the door of the neighbour'`,
    change: `status = 'changed', amount = amount + 1.25, updated_at = created_at + interval '1 day'`,
    fields: `id, customer_id, quantity, amount::text, discount, paid, status, ${milliseconds('created_at')}, ${milliseconds('updated_at')}, note`,
  };
}

export const ORDERS = ordersTable('orders');

function milliseconds(column: string): string {
  return `to_char(extract(epoch FROM ${column}) * 1000, 'FM9999999999999990.000') AS ${column}`;
}

/**
 * About so many bytes of values in so many columns: besides the key half of them integers, half of them text of hexadecimal digits, which neither
 * PostgreSQL nor lz4 makes smaller; booleans where there is no room for more.
 */
export function wideTable(name: string, bytes: number, columns: number): BenchTable {
  const others = columns - 1;
  const room = bytes - 8;
  if (room < 4 * others) {
    const flags = numbered('flag', others);
    return {
      name,
      columns: ['id bigint PRIMARY KEY', ...flags.map(flag => `${flag} boolean NOT NULL`)].join(', '),
      row: ['i', ...flags.map((_, at) => `i % ${at + 2} = 0`)].join(', '),
      change: `${flags[0]} = NOT ${flags[0]}`,
      fields: ['id', ...flags].join(', '),
    };
  }
  const numbers = numbered('number', Math.floor(others / 2));
  const texts = numbered('text', others - numbers.length);
  const width = Math.round((room - 4 * numbers.length) / texts.length);
  const digits = (text: number): string =>
    // 32 of them a time, each from a number that no other row and column has.
    numbered('', Math.ceil(width / 32))
      .map(piece => `md5((i * 1000000 + ${text * 1000 + Number(piece)})::text)`)
      .join(' || ');
  return {
    name,
    columns: [
      'id bigint PRIMARY KEY',
      ...numbers.map(column => `${column} integer NOT NULL`),
      ...texts.map(column => `${column} text NOT NULL`),
    ].join(', '),
    row: [
      'i',
      ...numbers.map((_, at) => `(i * ${7919 + at} % 1000000)::int`),
      ...texts.map((_, at) => `left(${digits(at)}, ${width})`),
    ].join(', '),
    change: `${numbers[0]} = ${numbers[0]} + 1`,
    fields: ['id', ...numbers, ...texts].join(', '),
  };
}

function numbered(prefix: string, count: number): string[] {
  return Array.from({length: count}, (_, at) => `${prefix}${at + 1}`);
}
