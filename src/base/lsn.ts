/** A position in the write-ahead log: bytes since the beginning of time, unsigned 64 bit. */
export type Lsn = bigint;

/** PostgreSQL's text form, two hexadecimal halves: `16/B374D848`. */
export function formatLsn(lsn: Lsn): string {
  return `${(lsn >> 32n).toString(16).toUpperCase()}/${(lsn & 0xffffffffn).toString(16).toUpperCase()}`;
}

/** Inverse of `formatLsn`. Throws on anything else than PostgreSQL's text form. */
export function parseLsn(text: string): Lsn {
  const match = /^([0-9A-Fa-f]{1,8})\/([0-9A-Fa-f]{1,8})$/.exec(text);
  if (!match) throw new Error(`not a log sequence number: ${JSON.stringify(text)}`);
  return (BigInt(`0x${match[1]}`) << 32n) | BigInt(`0x${match[2]}`);
}
