import pg from 'pg';
import {afterAll, beforeAll, describe, expect, test, vi} from 'vitest';
import {poll} from '../../scripts/process/poll.ts';
import {cancel} from './cancel-request.ts';
import {GatewayWorld} from './gateway-world.ts';
import {B, E, P, Q, S, c, d, run} from './messages.ts';
import {RawClient} from './raw-client.ts';
import type {Message} from './raw-client.ts';
import {SETUP, sidesOf} from './statements.ts';
import type {Statements} from './statements.ts';
import {transcript} from './transcript.ts';

vi.setConfig({testTimeout: 180_000, hookTimeout: 120_000});

type WaitEvent = 'ours' | 'ClientRead' | 'ClientWrite' | 'PgSleep';

/** What others do to a session while it is at work. */
interface Others {
  /** Until the backend waits for this (`pg_stat_activity`): `ours` is what a statement of ours waits for, and what stands in its place. */
  waits(event: WaitEvent): Promise<void>;
  cancel(): Promise<void>;
  terminate(): Promise<void>;
  notify(payload: string): Promise<void>;
}

type Conversation = (client: RawClient, our: Statements, others: Others) => Promise<Message[]>;

const COUNT = Q('SELECT count(*) FROM t');
const COPY = 'COPY t FROM STDIN';
/** More than lies between a backend and a client that does not read. */
const LARGE = "SELECT repeat('x', 10000) FROM generate_series(1, 9000)";

const END: Record<'cancelled' | 'terminated', (others: Others) => Promise<void>> = {
  cancelled: others => others.cancel(),
  terminated: others => others.terminate(),
};

/** `frames` make the backend wait for `event`; there it is ended, and what is left is a count if the session lives. */
const endedWhile =
  (event: WaitEvent, frames: (our: Statements) => readonly Buffer[], readies: number) =>
  (end: keyof typeof END): Conversation =>
  async (client, our, others) => {
    client.send(...frames(our));
    // Before that it also reads what belongs to a statement of ours.
    const before = event === 'ClientRead' ? await client.until(({type}) => type === 'G') : [];
    await others.waits(event);
    await END[end](others);
    // Only when more comes does a backend that waits for COPY data notice.
    if (event === 'ClientRead' && end === 'cancelled') client.send(d('41\ta\n'), c);
    if (end === 'cancelled') client.send(Q('ROLLBACK'), COUNT);
    return [...before, ...(await client.ready(end === 'cancelled' ? readies + 2 : Infinity))];
  };

const INTERRUPTED: Record<string, (end: keyof typeof END) => Conversation> = {
  'a statement of theirs': endedWhile('PgSleep', () => [Q('SELECT pg_sleep(6000)')], 1),
  'a statement of theirs in a pipeline': endedWhile(
    'PgSleep',
    () => [run('INSERT INTO t VALUES (1)'), run('SELECT pg_sleep(6000)'), run('SELECT 1'), S],
    1,
  ),
  'a statement of theirs in a string with ours': endedWhile(
    'PgSleep',
    our => [Q(`${our.insert}; SELECT pg_sleep(6000); ${our.ok}`)],
    1,
  ),
  'a statement of ours': endedWhile('ours', our => [Q(our.wait)], 1),
  'a statement of ours in a transaction': endedWhile(
    'ours',
    our => [Q('BEGIN; SAVEPOINT s'), Q(our.insert), Q(our.wait), Q('ROLLBACK TO s'), COUNT],
    5,
  ),
  'a statement of ours in a string': endedWhile('ours', our => [Q(`${our.insert}; ${our.wait}; SELECT 1`)], 1),
  'a statement of ours in a pipeline': endedWhile(
    'ours',
    our => [run(our.insert), run(our.wait), run('SELECT 1'), S, run('SELECT 2'), S],
    2,
  ),
  'a statement of ours, prepared': endedWhile(
    'ours',
    our => [P(our.wait, 's'), S, B([], 's', 'p'), E('p'), S, B([], 's'), S],
    3,
  ),
  'COPY from the client': endedWhile('ClientRead', () => [Q(COPY), d('40\ta\n')], 1),
  'COPY from the client, in a string with ours': endedWhile(
    'ClientRead',
    our => [Q(`${our.insert}; ${COPY}; ${our.ok}`), d('40\ta\n')],
    1,
  ),
};

/** A result that stops in the middle: how much of it has come is not the same twice. */
const STOPPED: Record<string, (our: Statements) => readonly Buffer[]> = {
  'rows for a client that does not read': () => [Q(LARGE)],
  'rows of a portal': () => [run(LARGE), S],
  'COPY to the client': () => [Q(`COPY (${LARGE}) TO STDOUT`)],
  'COPY to the client, in a string with ours': our => [Q(`${our.insert}; COPY (${LARGE}) TO STDOUT; ${our.ok}`)],
  'rows in a string with ours': our => [Q(`${our.insert}; ${LARGE}; ${our.ok}`)],
};

const stopped =
  (frames: (our: Statements) => readonly Buffer[]) =>
  (end: keyof typeof END | 'read on'): Conversation =>
  async (client, our, others) => {
    client.socket.pause();
    client.send(...frames(our));
    await others.waits('ClientWrite');
    if (end !== 'read on') await END[end](others);
    client.socket.resume();
    if (end !== 'terminated') client.send(COUNT, Q('DELETE FROM t'));
    const seen = await client.ready(end === 'terminated' ? Infinity : 3);
    if (end === 'read on') return seen;
    // One is enough to see that there were any. A backend that is ended while it writes may or may not get to say so.
    const stays = ({type}: Message, at: number) => !['D', 'd'].includes(type) || seen[at - 1]?.type !== type;
    return seen.filter((message, at) => stays(message, at) && (end !== 'terminated' || message.type !== 'E'));
  };

describe.each([18, 15] as const)('PostgreSQL %i: as directly', version => {
  let world: GatewayWorld;
  let admin: pg.Client;
  beforeAll(async () => {
    world = await GatewayWorld.open(version, SETUP);
    world.outside = () => new Promise(() => undefined);
    admin = new pg.Client({connectionString: world.superuser});
    await admin.connect();
  });
  afterAll(async () => {
    await admin.end();
    await world[Symbol.asyncDispose]();
  });

  function othersOf(url: string, client: RawClient): Others {
    return {
      waits: async event => {
        const events = event === 'ours' ? ['PgSleep', 'advisory'] : [event];
        let times = 0;
        await poll(`the backend to wait: ${event}`, 60_000, async () => {
          const {rowCount} = await admin.query(
            "SELECT FROM pg_stat_activity WHERE pid = $1 AND wait_event = ANY ($2) AND state = 'active'",
            [client.processId, events],
          );
          times = rowCount === 1 ? times + 1 : 0;
          // A client that reads nothing is not waited for all of the time.
          return times === (event === 'ClientWrite' ? 10 : 1);
        });
      },
      cancel: () => cancel(url, client),
      terminate: async () => {
        await admin.query('SELECT pg_terminate_backend($1)', [client.processId]);
      },
      notify: async payload => {
        const database = new pg.Client({connectionString: url});
        await database.connect();
        await database.query('SELECT pg_notify($1, $2)', ['news', payload]);
        await database.end();
      },
    };
  }

  async function compare(conversation: Conversation): Promise<string[]> {
    const seen: string[][] = [];
    for (const [url, our] of sidesOf(world)) {
      await using client = await RawClient.connect(url);
      seen.push(transcript(await conversation(client, our, othersOf(url, client)), {withOurs: true}));
    }
    expect(seen[1]).toEqual(seen[0]);
    return seen[0];
  }

  const SQL_STATE = {cancelled: /C57014/, terminated: /C57P01/} as const;
  describe.each(['cancelled', 'terminated'] as const)('%s:', end => {
    test.each(Object.entries(INTERRUPTED))('%s', async (_, conversation) => {
      expect(await compare(conversation(end))).toContainEqual(expect.stringMatching(SQL_STATE[end]));
    });
    test.each(Object.entries(STOPPED))('%s', async (_, frames) => {
      expect((await compare(stopped(frames)(end))).length).toBeGreaterThan(1);
    });
  });

  const whole = Object.entries(STOPPED).filter(([name]) => /^rows for|with ours$/.test(name));
  test.each(whole)('a slow reader gets all of it: %s', async (_, frames) => {
    const lines = await compare(stopped(frames)('read on'));
    expect(lines.filter(line => /^[Dd] /.test(line)).length).toBeGreaterThan(9000);
  });

  const timed: Record<string, (our: Statements) => readonly Buffer[]> = {
    'theirs in a string with ours': our => [Q(`${our.insert}; SELECT pg_sleep(6000); ${our.ok}`)],
    ours: our => [Q(our.wait), Q(our.ok)],
    'ours in a string': our => [Q(`${our.insert}; ${our.wait}; SELECT 1`)],
    'ours in a pipeline': our => [run(our.insert), run(our.wait), run('SELECT 1'), S],
    'ours, prepared': our => [P(our.wait, 's'), B([], 's', 'p'), E('p'), S],
  };
  test.each(Object.entries(timed))('statement_timeout: %s', async (_, frames) => {
    // The failed transaction takes its limit with it, so that nothing else can run into it.
    const lines = await compare(async (client, our) => {
      client.send(Q("BEGIN; SET LOCAL statement_timeout = '1s'"), ...frames(our), Q('ROLLBACK'), Q("SELECT 'the end'"));
      return await client.until(({type, body}) => type === 'D' && body.includes('the end'));
    });
    expect(lines).toContainEqual(expect.stringMatching(/C57014 \/ Mcanceling statement due to statement timeout/));
  });

  test('notifications of others, to a session that is idle, in a transaction, and at work for us', async () => {
    const lines = await compare(async (client, our, others) => {
      client.send(Q('LISTEN news'));
      const seen = await client.ready();
      await others.notify('one');
      seen.push(...(await client.until(({type}) => type === 'A')));
      client.send(Q(`BEGIN; ${our.ok}`), Q(our.ok));
      seen.push(...(await client.ready(2)));
      await others.notify('two');
      client.send(Q(our.show), Q('COMMIT'));
      seen.push(...(await client.until(({type}) => type === 'A')));
      client.send(Q(our.wait));
      await others.waits('ours');
      await others.notify('three');
      await others.cancel();
      // Where it stands among the messages of a statement that has failed is a matter of chance.
      const last = await client.ready();
      if (!last.some(({type}) => type === 'A')) last.push(...(await client.until(({type}) => type === 'A')));
      return [...seen, ...last.filter(({type}) => type === 'A')];
    });
    expect(lines.filter(line => line.startsWith('A'))).toEqual(['A news one', 'A news two', 'A news three']);
  });
});
