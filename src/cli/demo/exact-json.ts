/**
 * JSON in a form that compares as text: no white space, fields in alphabetical order, and every number by its digits, because
 * `JSON.parse` rounds the large ones. Throws on what is not JSON.
 */
export function exactJson(text: string): string {
  return JSON.stringify(sorted(parseExact(text)));
}

/** As `JSON.parse`, but each number is an object with its digits, under a name that PostgreSQL's jsonb cannot hold. */
export function parseExact(text: string): unknown {
  JSON.parse(text);
  return JSON.parse(
    text.replace(/"(?:[^"\\]|\\.)*"|-?\d[\d.eE+-]*/g, token =>
      token.startsWith('"') ? token : `{"\\u0000":"${token}"}`,
    ),
  );
}

/** For people: what `exactJson` returned, with numbers as numbers. */
export function withPlainNumbers(exact: string): string {
  return exact.replace(/\{"\\u0000":"([^"]*)"\}/g, '$1');
}

function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const fields = Object.entries(value).map(([name, field]) => [name, sorted(field)] as const);
  return Object.fromEntries(fields.sort(([a], [b]) => (a < b ? -1 : 1)));
}
