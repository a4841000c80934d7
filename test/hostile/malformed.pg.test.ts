import {afterAll, beforeAll, describe, expect, test, vi} from 'vitest';
import {frameOf} from '../../src/gateway/backend-messages.ts';
import {FRONTEND} from '../../src/gateway/frontend-messages.ts';
import {writeStartupPacket} from '../../src/gateway/startup-packet.ts';
import {GatewayWorld} from '../gateway/gateway-world.ts';
import {P, Q, S} from '../gateway/messages.ts';
import {RawClient} from '../gateway/raw-client.ts';
import type {Message} from '../gateway/raw-client.ts';
import {BareConnection} from '../gateway/scram-login.ts';
import {OURS, SETUP, THEIRS} from '../gateway/statements.ts';
import type {Statements} from '../gateway/statements.ts';
import {transcript} from '../gateway/transcript.ts';

// PostgreSQL takes its time for these.
vi.setConfig({testTimeout: 300_000, hookTimeout: 300_000});

const THE_END = 'the end of this session';
/** One that is as long as it should be, and one that is not. */
const longFlush = frameOf(FRONTEND.flush, Buffer.from('something'));

/** Depths that fill the stack of whoever descends. */
const DEEP: Readonly<Record<string, (our: Statements) => string>> = {
  parentheses: () => `SELECT ${'('.repeat(10_000)}1${')'.repeat(10_000)}`,
  'a hundred thousand parentheses': () => `SELECT ${'('.repeat(100_000)}1${')'.repeat(100_000)}`,
  'parentheses that do not close': () => `SELECT ${'('.repeat(10_000)}1`,
  'parentheses that close too often': () => `SELECT 1${')'.repeat(10_000)}`,
  brackets: () => `SELECT ${'ARRAY['.repeat(10_000)}1${']'.repeat(10_000)}`,
  // Quadratic in PostgreSQL itself.
  comments: () => `${'/*'.repeat(2_000)}${'*/'.repeat(2_000)} SELECT 1`,
  'comments that do not close': () => `${'/*'.repeat(2_000)} SELECT 1`,
  'dollar quotes in each other': () =>
    `SELECT 1 AS a WHERE 'x' = ${Array.from({length: 10_000}, (_, i) => `$q${i}$`).join('')}`,
  operators: () => `SELECT ${'- '.repeat(10_000)}1`,
  'case in case': () => `SELECT ${'CASE WHEN true THEN '.repeat(10_000)}1${' END'.repeat(10_000)}`,
  'subqueries, and ours': our => `${our.ok}; SELECT ${'(SELECT '.repeat(10_000)}1${')'.repeat(10_000)}`,
  'atomic bodies': () => `CREATE FUNCTION pg_temp.f() RETURNS int ${'BEGIN ATOMIC '.repeat(10_000)}`,
};

describe.each([18, 15] as const)('PostgreSQL %i', version => {
  let world: GatewayWorld;
  beforeAll(async () => (world = await GatewayWorld.open(version, SETUP)));
  afterAll(async () => await world[Symbol.asyncDispose]());

  async function both(converse: (url: string, our: Statements) => Promise<Message[]>): Promise<void> {
    const direct = transcript(await converse(world.direct, THEIRS), {withOurs: true});
    expect(transcript(await converse(world.through, OURS), {withOurs: true})).toEqual(direct);
    expect(direct.length).toBeGreaterThan(0);
  }

  const session =
    (...frames: ((our: Statements) => Buffer)[]) =>
    async (url: string, our: Statements): Promise<Message[]> => {
      await using client = await RawClient.connect(url);
      client.send(...frames.map(frame => frame(our)), S, Q(`SELECT '${THE_END}'`));
      return await client.until(({type, body}) => type === 'D' && body.includes(THE_END), 60_000);
    };

  test('a Flush of the wrong length is an error, and all up to Sync is thrown away', async () => {
    await both(
      session(
        () => longFlush,
        our => Q(our.insert),
        () => Q('SELECT 1'),
      ),
    );
    await both(
      session(
        () => P('SELECT 1'),
        () => longFlush,
        our => P(our.ok),
        () => longFlush,
      ),
    );
  });

  test.each(['SELECT 1', OURS.ok])('%s before the password is what PostgreSQL refuses, at once', async text => {
    await both(async url => {
      await using connection = await BareConnection.open(url);
      const {username, pathname} = new URL(url);
      const parameters: [string, string][] = [
        ['user', username],
        ['database', pathname.slice(1)],
      ];
      connection.socket.end(Buffer.concat([writeStartupPacket({protocol: 0x30000, parameters}), Q(text)]));
      return await connection.until();
    });
  });

  test('a client that says that it is done gets its last answers', async () => {
    await both(async (url, our) => {
      await using client = await RawClient.connect(url);
      client.send(Q(our.notice), Q(our.show), Q(`SELECT '${THE_END}'`), Q(our.ok));
      return await client.end();
    });
  });

  test.each(Object.keys(DEEP))('%s are as deep as PostgreSQL takes them', async name => {
    await both(session(our => Q(DEEP[name](our))));
    await both(session(our => P(DEEP[name](our))));
  });

  test('a statement of ours between deep ones of PostgreSQL', async () => {
    const deep = `SELECT ${'('.repeat(1_000)}1${')'.repeat(1_000)}`;
    await both(session(our => Q(`${deep}; ${our.insert}; ${deep}`)));
  });
});
