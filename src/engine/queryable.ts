/**
 * What can run a query in some session: a `pg.Client`, or a statement's own context. Values go as text; rows may be
 * objects or arrays, which is why questions of this room return one row with one column of JSON text.
 */
export interface Queryable {
  query(text: string, values: string[]): Promise<{readonly rows: readonly unknown[]}>;
}

/** The only value of the only row, parsed; undefined for no row or NULL. */
export async function queryJson(session: Queryable, text: string, values: string[]): Promise<unknown> {
  const {rows} = await session.query(text, values);
  const row = rows[0];
  if (typeof row !== 'object' || row === null) return undefined;
  const value: unknown = Object.values(row)[0];
  return typeof value === 'string' ? (JSON.parse(value) as unknown) : undefined;
}
