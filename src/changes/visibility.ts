import type {SnapshotFilter, VisibleXids} from './snapshot-filter.ts';

/**
 * The full transaction id that is nearest to `near` and ends in the 32 bits that the stream carries.
 * Right as long as the two are less than 2^31 transactions apart, which PostgreSQL's own wraparound limit guarantees.
 */
export function widenXid(xid: number, near: bigint): bigint {
  return near + BigInt.asIntN(32, BigInt(xid) - near);
}

/**
 * Whether the snapshot already shows what this transaction did, given that it has committed. `xid` is the low half of the
 * top-level id, which also stands for subtransactions and prepared forms. Only asked for commits before `filter.until`.
 */
export function isVisible(filter: SnapshotFilter, xid: number): boolean {
  const {xmin, xmax, running} = filter.visible;
  const full = widenXid(xid, xmax);
  if (full >= xmax) return false;
  return full < xmin || !running.includes(full);
}

/** Reads the text form of `pg_snapshot`: `xmin:xmax:xid,xid,…`. */
export function parseSnapshot(text: string): VisibleXids {
  const match = /^(\d+):(\d+):(\d+(?:,\d+)*)?$/.exec(text);
  if (!match) throw new Error(`not a pg_snapshot: ${JSON.stringify(text)}`);
  const [, xmin, xmax, running] = match;
  return {xmin: BigInt(xmin), xmax: BigInt(xmax), running: running === undefined ? [] : running.split(',').map(BigInt)};
}

/** Inverse of `parseSnapshot`. */
export function formatSnapshot({xmin, xmax, running}: VisibleXids): string {
  return `${xmin}:${xmax}:${running.join(',')}`;
}
