import {isDeepStrictEqual} from 'node:util';
import type pg from 'pg';
import type {TopicRecord} from '../setup/kafka.ts';

/** What one transaction did to one key, net: the row before and after, null = none. */
interface Step {
  readonly before: unknown;
  readonly after: unknown;
  /** Milliseconds; from the commit timestamp that PostgreSQL keeps. */
  readonly committedMs: number;
}

/** Per key, in the order of its row locks, which is the order of commits. */
export type Reference = ReadonlyMap<number, readonly Step[]>;

/** Reads the ledger. Needs `track_commit_timestamp`. */
export async function readReference(client: pg.Client): Promise<Reference> {
  const {rows} = await client.query<{key: string; xid: string; before: unknown; after: unknown; committed: string}>(
    `SELECT key, xid::text, before, after,
       floor(extract(epoch FROM pg_xact_commit_timestamp(xid::xid)) * 1000)::text AS committed
     FROM ledger ORDER BY key, seq`,
  );
  const reference = new Map<number, Step[]>();
  let last: {key: number; xid: string; step: {before: unknown; after: unknown; committedMs: number}} | undefined;
  for (const row of rows) {
    const key = Number(row.key);
    if (last?.key === key && last.xid === row.xid) {
      last.step.after = row.after;
      continue;
    }
    const step = {before: row.before, after: row.after, committedMs: Number(row.committed)};
    last = {key, xid: row.xid, step};
    const steps = reference.get(key);
    if (steps === undefined) reference.set(key, [step]);
    else steps.push(step);
  }
  return reference;
}

interface Message {
  /** Undefined under ENVELOPE UPSERT, which does not say it. */
  readonly before: unknown;
  readonly value: unknown;
  readonly time: number;
  readonly partition: number;
}

/** Two transactions may share a logical time when they commit within one millisecond, or two beside a heartbeat. */
const SAME_TIME_MS = 3;

export interface Expectation {
  readonly envelope: 'upsert' | 'debezium';
  /** The first message of a key may stand for everything that the sink's snapshot showed. */
  readonly withSnapshot: boolean;
}

/**
 * Compares a topic, read by a stranger, with the reference, message for message in per-key order.
 * Returns what is wrong, at most a few lines; empty = equal.
 */
export function compare(reference: Reference, topic: readonly TopicRecord[], expected: Expectation): string[] {
  const problems: string[] = [];
  const messages = new Map<number, Message[]>();
  let snapshotTime = Number.POSITIVE_INFINITY;
  for (const record of topic) {
    const key = (JSON.parse(record.key!.toString()) as {id: number}).id;
    const {before, value} = readValue(record.value, expected.envelope);
    const time = Number(record.headers.find(header => header.name === 'materialize-timestamp')?.value?.toString());
    if (!Number.isSafeInteger(time)) problems.push(`offset ${record.offset} has no materialize-timestamp`);
    if (time < snapshotTime) snapshotTime = time;
    const list = messages.get(key) ?? [];
    list.push({before, value, time, partition: record.partition});
    messages.set(key, list);
  }
  for (const [key, list] of messages) {
    if (new Set(list.map(({partition}) => partition)).size > 1) problems.push(`key ${key} is in several partitions`);
    if (!reference.has(key)) problems.push(`key ${key} is in the topic and was never written`);
  }
  for (const [key, steps] of reference) {
    const problem = compareKey(steps, messages.get(key) ?? [], expected.withSnapshot ? snapshotTime : undefined);
    if (problem !== undefined) problems.push(`key ${key}: ${problem}`);
    if (problems.length > 10) break;
  }
  return problems;
}

function readValue(value: Buffer | null, envelope: Expectation['envelope']): {before: unknown; value: unknown} {
  if (value === null) return {before: undefined, value: null};
  const parsed: unknown = JSON.parse(value.toString());
  if (envelope === 'upsert') return {before: undefined, value: parsed};
  const {before, after} = parsed as {before: unknown; after: unknown};
  return {before, value: after};
}

function compareKey(
  steps: readonly Step[],
  messages: readonly Message[],
  snapshotTime: number | undefined,
): string | undefined {
  if (snapshotTime === undefined) return compareFrom(steps, 0, messages, 0, undefined);
  // The snapshot showed some prefix of the key's history; revisions are unique, so at most one prefix fits its message.
  const first = messages[0];
  let reason: string | undefined = 'no prefix of the history fits the snapshot';
  for (let shown = steps.length; shown >= 0; shown--) {
    const state = shown === 0 ? null : steps[shown - 1].after;
    const inSnapshot = state !== null;
    if (inSnapshot && !(first?.time === snapshotTime && isDeepStrictEqual(first.value, state))) continue;
    if (shown > 0 && steps[shown - 1].committedMs > snapshotTime) continue;
    reason = compareFrom(steps, shown, messages, inSnapshot ? 1 : 0, snapshotTime);
    if (reason === undefined) return undefined;
  }
  return reason;
}

function compareFrom(
  steps: readonly Step[],
  fromStep: number,
  messages: readonly Message[],
  fromMessage: number,
  snapshotTime: number | undefined,
): string | undefined {
  let at = fromStep;
  let next = fromMessage;
  while (at < steps.length) {
    const {before} = steps[at];
    // As few transactions as explain the next message; more than one only if they may have had one logical time.
    let end = at;
    for (; end < steps.length; end++) {
      if (end > at && !mayShareTime(steps[at], steps[end], messages[next]?.time, snapshotTime)) {
        return describe(steps, at, messages, next);
      }
      if (isDeepStrictEqual(before, steps[end].after)) {
        // Nothing has changed, net: no message, unless the next transaction belongs to the same time.
        break;
      }
      if (next < messages.length && isDeepStrictEqual(messages[next].value, steps[end].after)) {
        if (messages[next].before !== undefined && !isDeepStrictEqual(messages[next].before, before)) {
          return `${describe(steps, at, messages, next)}, with another row before`;
        }
        next++;
        break;
      }
    }
    if (end === steps.length) return describe(steps, at, messages, next);
    at = end + 1;
  }
  return next === messages.length ? undefined : `message ${next} of ${messages.length} stands for no transaction`;
}

function mayShareTime(a: Step, b: Step, time: number | undefined, snapshotTime: number | undefined): boolean {
  if (b.committedMs - a.committedMs <= SAME_TIME_MS) return true;
  return snapshotTime !== undefined && time === snapshotTime && b.committedMs <= snapshotTime;
}

function describe(steps: readonly Step[], at: number, messages: readonly Message[], next: number): string {
  const shorten = (value: unknown) => JSON.stringify(value)?.slice(0, 160);
  return `transaction ${at} of ${steps.length} wrote ${shorten(steps[at].after)}, message ${next} of ${messages.length} is ${shorten(messages[next]?.value)}`;
}
