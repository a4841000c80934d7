import {appendFileSync, existsSync, readFileSync} from 'node:fs';

/**
 * Where a crash test kills the process. The sentence is what must still be true when everything has been started again.
 * `crashPoint` does nothing unless a test asks for it by the environment:
 * `SLUICE_CRASH_AT=kafka-after-produce:3` (or `@file`, with that in the file) ends the process with SIGKILL at the third time it comes past that point, and
 * `SLUICE_CRASH_LOG=file` appends a line with the name for every point that is passed, and one when the process is ended; a
 * process that finds the latter lives, so that a worker that is started again with the same environment does.
 */
export const CRASH_POINTS = {
  'kafka-after-fence': 'the older writer of the sink can commit nothing more, and nothing new is visible',
  'kafka-after-read-progress': 'the next start reads the same progress',
  'kafka-after-begin': 'an empty transaction leaves no trace',
  'kafka-after-produce': 'no reader of committed data sees what was written, and the progress is the old one',
  'kafka-before-commit': 'the progress record was written but counts as little as the data before it',
  'kafka-after-commit': 'the data is visible and its progress with it, so nothing is written twice',
  'sink-opened': 'an empty transaction leaves no trace, and the older writer is fenced',
  'sink-begun': 'the target has a progress without data, and the next start continues from it',
  'sink-first-commit-recorded': 'the catalog expects a progress in the target, and there is one',
  'sink-published': 'the relation is published and nothing is written; the snapshot is taken by the next start',
  'snapshot-taken': 'another snapshot is as good: nothing of this one is visible',
  'snapshot-rows-written': 'nothing of the snapshot is visible',
  'snapshot-committed': 'the snapshot is visible once, and the stream goes on where it ends',
  'snapshot-spooled': 'the spool is read from its beginning',
  'snapshot-part-committed': 'the spool is read from the first block that is not in the target',
  'sink-after-write': 'nothing of the open span is visible',
  'sink-before-commit': 'nothing of the open span is visible',
  'sink-after-commit': 'the changes are re-read and dropped, not written twice',
  'cut-over-published': 'the sink goes on with the relation that it has, and publishes the next one again',
  'cut-over-committed': 'the target has the version of the next relation, and the catalog follows',
  'cut-over-recorded': 'the sink goes on with the next relation where the one before it ended',
  'worker-clock-recorded': 'a start finds two usable records and tells the same times from either',
  'worker-confirmed': 'every sink has proved what the slot has forgotten',
} as const;

export type CrashPoint = keyof typeof CRASH_POINTS;

interface Armed {
  readonly point: string;
  hitsLeft: number;
}

/** `@file`: what the file says when the process starts; nothing if there is none. */
function readSpec(text: string | undefined): string | undefined {
  if (text === undefined || !text.startsWith('@')) return text;
  const file = text.slice(1);
  return existsSync(file) ? readFileSync(file, 'utf8').trim() : undefined;
}

function parse(text: string): Armed {
  const [, point, hits] = /^([a-z0-9-]+)(?::([1-9][0-9]*))?$/.exec(text) ?? [];
  if (point === undefined || !Object.hasOwn(CRASH_POINTS, point)) {
    throw new Error(`SLUICE_CRASH_AT must be <point> or <point>:<hit>, and "${text}" names no point`);
  }
  return {point, hitsLeft: Number(hits ?? '1')};
}

const logFile = process.env['SLUICE_CRASH_LOG'];
const spec = readSpec(process.env['SLUICE_CRASH_AT']);
const armed = spec === undefined ? undefined : parse(spec);
/** A process that is started again with the same environment shall live: the point has done its work. */
const done =
  logFile !== undefined && existsSync(logFile) && readFileSync(logFile, 'utf8').includes(`killed at ${spec}\n`);
const active = logFile !== undefined || armed !== undefined;

export function crashPoint(point: CrashPoint): void {
  if (active) pass(point);
}

function pass(point: CrashPoint): void {
  if (logFile !== undefined) appendFileSync(logFile, `${point}\n`);
  if (done || armed?.point !== point || --armed.hitsLeft !== 0) return;
  if (logFile !== undefined) appendFileSync(logFile, `killed at ${spec}\n`);
  process.kill(process.pid, 'SIGKILL');
}
