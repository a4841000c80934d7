import {FuzzWorld} from './fuzz-world.ts';
import type {Usage} from './fuzz-world.ts';
import {mutate} from './mutation.ts';
import type {MutatedSession, Recording} from './mutation.ts';
import {sendMutated} from './mutated-session.ts';
import {Random} from './random.ts';
import {record} from './recordings.ts';
import type {SessionRange} from './smallest-range.ts';
import {SlowClients} from './slow-clients.ts';

export interface FuzzOptions extends SessionRange {
  readonly seed: number;
  readonly report?: ((line: string) => void) | undefined;
}

export interface FuzzResult {
  readonly sessionsPerSecond: number;
  readonly before: Usage;
  readonly after: Usage;
}

/** Fewer than the engine's connections, so that a live session always finds one. */
const AT_ONCE = 48;
/** What V8 takes once it has been busy, besides what every session before the measurement has made it take. */
const MEMORY_BYTES = 160 * 1024 * 1024;
/** So many well-formed sessions come before the measurement. */
const WARM_UP = 500;

/**
 * Sends mutated sessions to a gateway of its own while another session lives. Throws when that one or a new one does not work
 * afterwards, when the gateway does not let go of what it held, or when somebody has died; the message names seed and session.
 */
export async function fuzz({sessions, seed, first, report}: FuzzOptions): Promise<FuzzResult> {
  await using world = await FuzzWorld.open();
  const {port} = world.users;
  const recordings = await record(world.users);
  const live = await world.connectKeeper();
  const {rows: born} = await live.query<{pid: number}>('SELECT pg_backend_pid() AS pid');
  await live.query('BEGIN; CREATE TEMP TABLE mine AS SELECT 1 AS a');

  await atOnce(0, WARM_UP, index => sendMutated(port, whole(recordings, index)));
  const idle = await world.expectUsage({descriptors: Infinity, backends: 0, residentBytes: Infinity}, 0);
  // The control connection may only come later.
  const before = {...idle, descriptors: idle.descriptors + 1};

  const slow = new SlowClients(port, recordings);
  /** What shows only at the end, and not whose fault it is. */
  const failed = (what: string, cause?: unknown) =>
    new Error(
      `seed ${seed}: ${what}; to find the sessions: npm run fuzz -- --seed ${seed} --first ${first} --sessions ${sessions} --bisect`,
      {cause},
    );
  const begun = performance.now();
  let done = 0;
  await atOnce(first, sessions, async index => {
    try {
      await sendMutated(port, mutate(recordings, new Random(seed, index)));
    } catch (cause) {
      throw new Error(
        `session ${index} of seed ${seed} failed: npm run fuzz -- --seed ${seed} --first ${index} --sessions 1`,
        {
          cause,
        },
      );
    }
    if (++done % 10_000 === 0) {
      await live.query('SELECT a FROM mine');
      report?.(`${done} sessions, ${Math.round((done / (performance.now() - begun)) * 1000)} a second`);
    }
  });
  const seconds = (performance.now() - begun) / 1000;
  await slow.end();

  const {rows: alive} = await live.query<{pid: number; a: number}>('SELECT pg_backend_pid() AS pid, a FROM mine');
  if (alive[0].pid !== born[0].pid || alive[0].a !== 1) throw failed('the live session is another one');
  await live.query('COMMIT');
  const fresh = await world.connectKeeper();
  const {rows: kept} = await fresh
    .query<{answer: number}>('SHOW CLUSTERS; SELECT answer FROM kept')
    .then(results => (results as unknown as {rows: {answer: number}[]}[])[1]);
  if (kept[0].answer !== 42) throw failed('a new session reads something else');
  await fresh.end();
  const after = await world.expectUsage(before, MEMORY_BYTES).catch((error: unknown) => {
    throw failed((error as Error).message, error);
  });
  const complaints = await world.complaints();
  if (complaints.length > 0) throw failed(complaints.slice(0, 20).join('\n'));
  await live.end();
  return {sessionsPerSecond: Math.round(sessions / seconds), before, after};
}

const whole = (recordings: readonly Recording[], index: number): MutatedSession => ({
  channel: index % 3 === 0 ? 'TLS' : 'plain',
  writes: [Buffer.concat(recordings[index % recordings.length].frames)],
  ending: 'end',
});

/** The first failure ends it. */
async function atOnce(first: number, count: number, send: (index: number) => Promise<void>): Promise<void> {
  let next = first;
  const work = async () => {
    while (next < first + count) await send(next++);
  };
  await Promise.all(Array.from({length: AT_ONCE}, work));
}
