import {afterAll, beforeAll, describe, expect, test} from 'vitest';
import {frameOf} from '../../src/gateway/backend-messages.ts';
import {FRONTEND} from '../../src/gateway/frontend-messages.ts';
import {GatewayWorld} from './gateway-world.ts';
import {CP, F, H, P, Q, S, c, d, f, run} from './messages.ts';
import {RawClient} from './raw-client.ts';
import type {Message} from './raw-client.ts';
import {OURS, SETUP, THEIRS, sidesOf} from './statements.ts';
import type {Statements} from './statements.ts';
import {transcript} from './transcript.ts';

/** What a COPY does: it takes rows, or fails when the client has been asked for data and before any of it is read. */
const TARGETS = `
CREATE VIEW unread AS SELECT * FROM t;
CREATE TABLE unwanted (id int);
CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN RAISE EXCEPTION 'not this'; END$$;
CREATE TRIGGER refuse BEFORE INSERT ON unwanted EXECUTE FUNCTION refuse();`;

const STARTS: Record<string, (our: Statements) => readonly Buffer[]> = {
  simple: () => [Q('COPY t FROM STDIN')],
  'simple, in a transaction': () => [Q('BEGIN'), Q('COPY t FROM STDIN')],
  'simple, of a view': () => [Q('COPY unread FROM STDIN')],
  'two in a string': () => [Q('COPY t FROM STDIN; COPY t FROM STDIN')],
  extended: () => [run('COPY t FROM STDIN')],
  'extended, in a transaction': () => [Q('BEGIN'), run('COPY t FROM STDIN')],
  'extended, with Sync': () => [run('COPY t FROM STDIN'), S],
  'extended, of a view': () => [run('COPY unread FROM STDIN'), S],
  'extended, refused by a trigger': () => [run('COPY unwanted FROM STDIN'), S, S],
  'in a string with ours': our => [Q(`NOTIFY a; ${our.ok}; COPY t FROM STDIN; SELECT 1`)],
  'in a string with ours, of a view': our => [Q(`${our.insert}; COPY unread FROM STDIN`)],
};
const FAILS_UNREAD = /view|trigger/;

const ROW = d('7\ta\n');
const WRONG = d('x\n');
const OVERLONG_FLUSH = frameOf(FRONTEND.flush, Buffer.from('more'));
/** By their letters: data that is right (r) and wrong (w), its end and failure, Sync, Flush, and a Flush with a body (L). */
const LETTERS: Record<string, Buffer> = {r: ROW, w: WRONG, c, f, S, H, L: OVERLONG_FLUSH};
const DATA = ['wS', 'wSw', 'SwS', 'SSwc', 'rSwSc', 'SrSwSSrSc', 'rSHwHSf', 'SrScS', 'rScSwSc', 'rcSwSf', 'S'];
const WITH_OVERLONG_FLUSH = ['rLrc', 'wL', 'rLw', 'rLwL', 'LrSLwSLr', 'rLfL', 'rcLSw'];
/** In a string with a statement of ours one that comes behind the failure is thrown away, where PostgreSQL answers with an error. */
const STARTS_FOR_THOSE: ReadonlySet<string> = new Set([
  'simple',
  'simple, of a view',
  'extended, in a transaction',
  'extended, with Sync',
  'extended, refused by a trigger',
]);

const FOLLOWERS: Record<string, (our: Statements) => readonly Buffer[]> = {
  theirs: () => [Q('SELECT 1')],
  'a string with ours': our => [Q(`${our.ok}; SELECT 2`)],
  'a statement of ours, extended': our => [run(our.ok), S],
  'a list of ours, extended': our => [run(our.show), S],
  'a Parse that fails, Syncs and ours': our => [P('SELEC'), S, Q(our.ok), S, S, Q(our.fail), CP(), S],
  'a call': () => [F(1, 2)],
};

const THE_END = 'the end of this session';

type Pace = 'at once' | 'in steps';

async function converse(
  client: RawClient,
  our: Statements,
  start: string,
  data: string,
  follower: string,
  pace: Pace,
): Promise<{lines: string[]; ended: boolean}> {
  client.send(Q('DELETE FROM t; LISTEN a'));
  await client.ready();
  const seen: Message[] = [];
  const sent = Array.from(data, letter => LETTERS[letter]);
  const beginning = STARTS[start](our);
  if (pace === 'in steps') {
    client.send(...beginning);
    seen.push(...(await client.until(({type}) => type === 'G')));
    client.send(...sent);
    // It would wait for more data otherwise, or tells of its success only when it is asked.
    if (/^[^c]*[wf]/.test(data) || FAILS_UNREAD.test(start))
      seen.push(...(await client.until(({type}) => type === 'E')));
  } else {
    client.send(...beginning, ...sent);
  }
  client.send(...FOLLOWERS[follower](our), f, S, Q('ROLLBACK'), Q(`SELECT '${THE_END}'`));
  seen.push(...(await client.until(({type, body}) => type === 'D' && body.includes(THE_END))));
  const ended = !seen.at(-1)?.body.includes(THE_END);
  if (!ended) seen.push(...(await client.ready()));
  return {lines: transcript(seen, {withOurs: true}), ended};
}

/** A session each way, for as many conversations as it survives. */
class Clients implements AsyncDisposable {
  readonly #world: GatewayWorld;
  #direct: RawClient | undefined;
  #through: RawClient | undefined;

  constructor(world: GatewayWorld) {
    this.#world = world;
  }

  async direct(): Promise<RawClient> {
    return (this.#direct ??= await RawClient.connect(this.#world.direct));
  }

  async through(): Promise<RawClient> {
    return (this.#through ??= await RawClient.connect(this.#world.through));
  }

  async leave(): Promise<void> {
    await this.#direct?.[Symbol.asyncDispose]();
    await this.#through?.[Symbol.asyncDispose]();
    this.#direct = undefined;
    this.#through = undefined;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.leave();
  }
}

describe.each([18, 15] as const)('Syncs and Flushes amid COPY data, PostgreSQL %i', version => {
  let world: GatewayWorld;
  beforeAll(async () => (world = await GatewayWorld.open(version, SETUP + TARGETS, {relay: 'eager'})), 120_000);
  afterAll(async () => await world[Symbol.asyncDispose](), 60_000);

  test.each(Object.keys(STARTS).flatMap(start => Object.keys(FOLLOWERS).map(follower => [start, follower] as const)))(
    'COPY %s, then %s',
    async (start, follower) => {
      await using clients = new Clients(world);
      for (const data of STARTS_FOR_THOSE.has(start) ? [...DATA, ...WITH_OVERLONG_FLUSH] : DATA) {
        for (const pace of ['at once', 'in steps'] as const) {
          const direct = await converse(await clients.direct(), THEIRS, start, data, follower, pace);
          const through = await converse(await clients.through(), OURS, start, data, follower, pace);
          if (direct.ended) await clients.leave();
          // Behind a fatal error the last messages may be lost with the connection, here as there.
          const length = direct.ended ? Math.min(direct.lines.length, through.lines.length) : undefined;
          const told = {data, pace};
          expect({...told, ended: through.ended, lines: through.lines.slice(0, length)}).toEqual({
            ...told,
            ended: direct.ended,
            lines: direct.lines.slice(0, length),
          });
        }
      }
    },
    300_000,
  );

  test('data that is only half there when the COPY fails', async () => {
    const seen: string[][] = [];
    for (const [url, our] of sidesOf(world)) {
      await using client = await RawClient.connect(url);
      const long = d('1\t' + 'x'.repeat(100_000));
      client.send(Q(`${our.ok}; COPY t FROM STDIN; SELECT 1`), WRONG, S, long.subarray(0, 70_000));
      const messages = await client.until(({type}) => type === 'E');
      client.send(long.subarray(70_000), c, S, Q(our.ok), Q(`SELECT '${THE_END}'`));
      messages.push(...(await client.until(({type, body}) => type === 'D' && body.includes(THE_END))));
      seen.push(transcript(messages, {withOurs: true}));
    }
    expect(seen[1]).toEqual(seen[0]);
  }, 120_000);
});
