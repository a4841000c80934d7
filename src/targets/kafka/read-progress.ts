import type {Clock} from '../../base/clock.ts';
import {Stall, Transient} from '../../sinks/errors.ts';
import type {CommittedReader, CommittedRecord, OffsetRange} from './client.ts';
import {decodeProgress, progressKey, type ProgressRecord} from './progress-record.ts';

/** The newest record is near the end, so reading begins with a short piece there. */
const SHORTEST_SUFFIX = 20_000;

/** Where to begin reading, nearest first; the last one is the topic's beginning. */
export function suffixStarts({low, high}: OffsetRange): number[] {
  const starts: number[] = [];
  for (let length = SHORTEST_SUFFIX; length < high - low; length *= 10) starts.push(high - length);
  starts.push(low);
  return starts;
}

export interface ReadProgressOptions {
  readonly connectReader: () => Promise<CommittedReader>;
  readonly topic: string;
  /** `high` is the true end, open transactions included, taken after the older writers of the sink were fenced. */
  readonly range: OffsetRange;
  readonly sinkId: string;
  readonly limitMs: number;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/**
 * The last committed progress of a sink; undefined = it has never committed.
 * Throws `Stall` for what cannot be read or went backwards, `Transient` when somebody else's open transaction hides the end.
 */
export async function readProgress(options: ReadProgressOptions): Promise<ProgressRecord | undefined> {
  const {topic, range, sinkId, limitMs, clock, signal} = options;
  // Waiting for the end of an empty topic costs a second.
  if (range.high === range.low) return undefined;
  const reader = await options.connectReader();
  const deadline = clock.now() + limitMs;
  try {
    for (const from of suffixStarts(range)) {
      const last = new LastRecord(topic, progressKey(sinkId));
      const stretch = {topic, from, to: range.high, limitMs: Math.max(0, deadline - clock.now())};
      if (!(await reader.read(stretch, record => last.see(record), signal))) {
        throw new Transient(
          `timed out while waiting to reach high water mark of non-empty topic ${topic}:0, lo/hi: ${range.low}/${range.high}`,
          {hint: 'Another sink on this connection has a transaction open for too long, or a broker is slow.'},
        );
      }
      if (last.found !== undefined) return last.found;
    }
    return undefined;
  } finally {
    await reader.close();
  }
}

/** Keeps the newest record of one key and refuses a history that goes backwards. */
class LastRecord {
  found: ProgressRecord | undefined;
  readonly #topic: string;
  readonly #key: Buffer;

  constructor(topic: string, key: string) {
    this.#topic = topic;
    this.#key = Buffer.from(key);
  }

  see({key, value}: CommittedRecord): void {
    if (value === null || key === null || !this.#key.equals(key)) return;
    const record = decodeProgress(value);
    if (this.found !== undefined && isBefore(record, this.found)) {
      throw new Stall(
        'SL111',
        `upper regressed in topic ${this.#topic}:0 from ${show(this.found)} to ${show(record)}`,
        {
          hint: 'Find out who else wrote the record. To start over, drop the sink, empty its topic, and create the sink again.',
        },
      );
    }
    this.found = record;
  }
}

function isBefore(record: ProgressRecord, earlier: ProgressRecord): boolean {
  if (record.frontier === 'ended') return false;
  return earlier.frontier === 'ended' || record.frontier < earlier.frontier;
}

function show({frontier}: ProgressRecord): string {
  return frontier === 'ended' ? '[]' : `[${frontier}]`;
}
