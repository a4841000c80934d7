import {formatLsn, parseLsn} from '../../base/lsn.ts';
import type {SnapshotFilter} from '../../changes/snapshot-filter.ts';
import {Stall} from '../../sinks/errors.ts';
import {frontierOf, type Progress, type SnapshotCursor} from '../../sinks/target.ts';

/**
 * What a sink's last transaction says in the progress topic: the frontier that readers of
 * the older form know, and beside it, in `sluice`, what only we need. 64-bit numbers of ours are text, because many JSON
 * readers would round them.
 */
export interface ProgressRecord {
  /** Everything strictly before it is committed; `ended` = the input has ended and nothing follows. */
  readonly frontier: bigint | 'ended';
  readonly version: number;
  /** Undefined when another program wrote the record. */
  readonly own: OwnProgress | undefined;
}

export interface OwnProgress {
  readonly progress: Progress;
  /** Which topic of that name the data is in; undefined where the broker gives no topic ids. */
  readonly topicId: string | undefined;
  /** Who writes it, instead of the writer that `progress` names. */
  readonly writer?: string | undefined;
}

/** Raised when a field changes its meaning. Fields that a reader may ignore do not raise it. */
const FORM = 1;

export function progressKey(sinkId: string): string {
  return `mz-sink-${sinkId}`;
}

export function encodeProgress({progress, topicId, writer}: OwnProgress): Buffer {
  const {filter} = progress;
  const own = {
    form: FORM,
    lsn: formatLsn(progress.endLsn),
    time: String(progress.time),
    closed: progress.timeClosed,
    system: String(progress.system),
    timeline: progress.timeline,
    filter: filter && {
      xmin: String(filter.visible.xmin),
      xmax: String(filter.visible.xmax),
      running: filter.visible.running.map(String),
      until: formatLsn(filter.until),
    },
    snapshot: progress.snapshot,
    topicId,
    writer,
  };
  // By hand, because JSON.stringify has no way to print a number above 2^53.
  return Buffer.from(
    `{"frontier":[${frontierOf(progress)}],"version":${progress.version},"sluice":${JSON.stringify(own)}}`,
  );
}

/** Throws `Stall` for what is no progress record: it must never be taken for "nothing yet". */
export function decodeProgress(payload: Buffer): ProgressRecord {
  const text = payload.toString('utf8');
  try {
    const record = asObject(JSON.parse(text));
    const frontier = readFrontier(record, text);
    const version = record['version'] === undefined ? 0 : asCount(record['version']);
    const own = record['sluice'] === undefined ? undefined : readOwn(asObject(record['sluice']), version);
    if (own !== undefined && frontier !== frontierOf(own.progress))
      throw new RangeError('frontier and time do not agree');
    return {frontier, version, own};
  } catch (cause) {
    throw invalid(text, cause);
  }
}

function readFrontier(record: Json, text: string): bigint | 'ended' {
  if (record['frontier'] === undefined && record['timestamp'] !== undefined) {
    return record['timestamp'] === null ? 'ended' : BigInt(asInteger(record['timestamp'])) + 1n;
  }
  const frontier = record['frontier'];
  if (!Array.isArray(frontier) || frontier.length > 1) throw new TypeError('frontier is no list of at most one time');
  if (frontier.length === 0) return 'ended';
  const time: unknown = frontier[0];
  if (Number.isSafeInteger(time)) return BigInt(time as number);
  // JSON.parse has rounded it; the digits are still in the text.
  const digits = /"frontier"\s*:\s*\[\s*(-?[0-9]+)\s*\]/.exec(text)?.[1];
  if (typeof time !== 'number' || digits === undefined) throw new TypeError('frontier is no integer');
  return BigInt(digits);
}

function readOwn(own: Json, version: number): OwnProgress {
  if (own['form'] !== FORM) throw new TypeError(`form ${String(own['form'])} is not known here`);
  const progress: Progress = {
    endLsn: parseLsn(asText(own['lsn'])),
    time: asBigint(own['time']),
    timeClosed: asBoolean(own['closed']),
    version,
    system: asBigint(own['system']),
    timeline: asCount(own['timeline']),
    ...(own['writer'] !== undefined && {writer: asText(own['writer'])}),
    ...(own['filter'] !== undefined && {filter: readFilter(asObject(own['filter']))}),
    ...(own['snapshot'] !== undefined && {snapshot: readCursor(asObject(own['snapshot']))}),
  };
  return {progress, topicId: own['topicId'] === undefined ? undefined : asText(own['topicId'])};
}

function readFilter(filter: Json): SnapshotFilter {
  const running = filter['running'];
  if (!Array.isArray(running)) throw new TypeError('running is no list');
  return {
    visible: {xmin: asBigint(filter['xmin']), xmax: asBigint(filter['xmax']), running: running.map(asBigint)},
    until: parseLsn(asText(filter['until'])),
  };
}

function readCursor(cursor: Json): SnapshotCursor {
  return {spool: asCount(cursor['spool']), nextBlock: asCount(cursor['nextBlock'])};
}

function invalid(text: string, cause: unknown): Stall {
  const shown = text.length > 200 ? `${text.slice(0, 200)}…` : text;
  return new Stall('SL110', `invalid progress record: ${shown}`, {
    cause,
    hint: 'A newer Sluice or another program wrote it. Drop the sink and create it again, or start the version that wrote the record.',
  });
}

type Json = Readonly<Record<string, unknown>>;

function asObject(value: unknown): Json {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw new TypeError('an object was expected');
  return value as Json;
}

function asText(value: unknown): string {
  if (typeof value !== 'string') throw new TypeError('a text was expected');
  return value;
}

function asBoolean(value: unknown): boolean {
  if (typeof value !== 'boolean') throw new TypeError('true or false was expected');
  return value;
}

function asInteger(value: unknown): number {
  if (!Number.isSafeInteger(value)) throw new TypeError('an integer was expected');
  return value as number;
}

function asCount(value: unknown): number {
  const count = asInteger(value);
  if (count < 0) throw new TypeError('a count was expected');
  return count;
}

function asBigint(value: unknown): bigint {
  const text = asText(value);
  if (!/^-?[0-9]+$/.test(text)) throw new TypeError('decimal digits were expected');
  return BigInt(text);
}
