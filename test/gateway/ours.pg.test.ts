import pg from 'pg';
import {afterAll, beforeAll, describe, expect, test} from 'vitest';
import {SqlError} from '../../src/base/sql-error.ts';
import {burst, steps} from './conversation.ts';
import type {Conversation} from './conversation.ts';
import {GatewayWorld} from './gateway-world.ts';
import {B, C, CP, D, DS, E, H, P, Q, S, c, d, f, run} from './messages.ts';
import {RawClient} from './raw-client.ts';
import {OURS, SETUP, THEIRS} from './statements.ts';
import type {Statements} from './statements.ts';
import {transcript} from './transcript.ts';

const COUNT = Q('SELECT count(*) FROM t');
const COPY = 'COPY t FROM STDIN';

const CONVERSATIONS: Record<string, (our: Statements) => Conversation> = {
  alone: our => burst(Q(our.ok), Q(our.insert), COUNT, Q(our.fail), Q(`;; ${our.ok};;`)),
  'an error of the server': our => burst(Q(our.duplicate), COUNT),
  notices: our =>
    steps(
      Q(our.notice),
      Q(`SELECT 1; ${our.notice}; SELECT 2`),
      Q("SET client_min_messages = 'warning'"),
      Q(our.notice),
      Q("SET client_min_messages = 'notice'; " + our.notice),
    ),
  'a commit that fails': our =>
    burst(Q(our.later), Q(`SELECT 1; ${our.later}`), Q(`${our.later}; SELECT 1`), run(our.later), S),
  'a list': our =>
    burst(
      Q(our.show),
      Q(`SELECT 1; ${our.show}; SELECT 2`),
      run(our.show),
      S,
      P(our.show, 's'),
      DS('s'),
      B([], 's'),
      E('', 1),
      E('', 5),
      S,
      C('s'),
      S,
    ),
  'words that are functions elsewhere': our =>
    burst(
      Q(our.role),
      Q(`SELECT 1; ${our.role}; SELECT 2`),
      Q(`${our.show}; ${our.role}, x`),
      Q(`${our.role}, x`),
      run(our.role),
      S,
      P(`${our.role}, $1::text`, 's'),
      DS('s'),
      B(['a'], 's'),
      E(),
      S,
      C('s'),
      S,
    ),
  'a list, and errors around it': our =>
    burst(
      Q(`${our.show}; SELECT x`),
      Q(`SELECT 1; SELECT x; ${our.show}`),
      Q(`${our.show}; ${our.show}; SELEC 'ä€😀'`),
    ),
  'in a transaction that commits': our =>
    steps(Q('BEGIN'), Q(our.insert), COUNT, Q('COMMIT'), COUNT, Q('DELETE FROM t')),
  'in a transaction that is rolled back': our => steps(Q('BEGIN'), Q(our.insert), COUNT, Q('ROLLBACK'), COUNT),
  'in an aborted transaction': our =>
    steps(
      Q('BEGIN'),
      Q('SELECT 1/0'),
      Q(our.insert),
      Q(our.show),
      [run(our.insert), S],
      Q(`${our.insert}; ROLLBACK`),
      Q('ROLLBACK'),
      COUNT,
    ),
  'in an aborted transaction, behind ROLLBACK': our =>
    steps(Q('BEGIN'), Q('SELECT 1/0'), Q(`ROLLBACK; ${our.insert}; SELECT 1`), Q('DELETE FROM t')),
  'failing in a transaction': our =>
    steps(
      Q('BEGIN'),
      Q(our.insert),
      Q('SAVEPOINT s'),
      Q(our.fail),
      Q('SELECT 1'),
      Q('ROLLBACK TO s'),
      Q(our.ok),
      COUNT,
      Q('COMMIT'),
      Q('DELETE FROM t'),
    ),
  'a string': our =>
    burst(
      Q(`SELECT 1 AS a; ${our.insert}; SELECT count(*) FROM t; UPDATE t SET name = 'x'; ${our.ok}`),
      Q('DELETE FROM t'),
    ),
  'a string that fails before': our => burst(Q(`INSERT INTO t VALUES (5); SELECT 1/0; ${our.insert}; SELECT 1`), COUNT),
  'a string that fails in ours': our =>
    burst(
      Q(`INSERT INTO t VALUES (5); ${our.fail}; SELECT 1`),
      COUNT,
      Q(`INSERT INTO t VALUES (5); ${our.duplicate}; SELECT 1`),
      COUNT,
    ),
  'a string that fails behind': our => burst(Q(`${our.insert}; SELECT missing FROM t; SELECT 1`), COUNT),
  'a string with a syntax error': our =>
    burst(
      Q(`SELECT 1; ${our.insert}; SELECT 'ä€😀', SELEC`),
      Q(`SELEC; ${our.insert}`),
      Q(`${our.insert}; SELECT 'a' 'b'; SELECT 1`),
      COUNT,
      Q('BEGIN'),
      Q(`${our.insert}; SELEC`),
      COUNT,
      Q('ROLLBACK'),
    ),
  'a string with transactions in it': our =>
    burst(
      Q(`BEGIN; ${our.insert}; COMMIT; ${our.ok}`),
      COUNT,
      Q(`BEGIN; DELETE FROM t; ${our.insert}; ROLLBACK; SELECT count(*) FROM t`),
      Q(`BEGIN; ${our.fail}; COMMIT`),
      Q('ROLLBACK'),
      Q('DELETE FROM t'),
    ),
  'a string that begins a transaction': our =>
    steps(
      Q(`BEGIN; ${our.insert}`),
      COUNT,
      Q('ROLLBACK'),
      Q(`BEGIN; SET TRANSACTION ISOLATION LEVEL SERIALIZABLE; SELECT 1; ${our.ok}`),
      Q('SHOW transaction_isolation'),
      Q('COMMIT'),
    ),
  'a string with COPY': our =>
    burst(
      Q(`${COPY}; ${our.ok}; ${COPY}; COPY (SELECT 1) TO STDOUT; SELECT count(*) FROM t`),
      d('11\ta\n'),
      c,
      d('12\tb'),
      d('\n'),
      c,
      Q('DELETE FROM t'),
    ),
  'a string with COPY that fails': our =>
    burst(
      Q(`${our.insert}; ${COPY}; SELECT 1`),
      d('x\n'),
      d('y\n'),
      c,
      COUNT,
      Q(`${our.insert}; ${COPY}; SELECT 1`),
      f,
      COUNT,
    ),
  'a string with rows, notices and parameters': our =>
    burst(
      Q(
        `SET application_name = 'a'; ${our.notice}; SELECT generate_series(1, 1000); ${our.ok}; SET application_name = 'b'`,
      ),
    ),
  'a string that takes away the unnamed statement': our =>
    burst(P('SELECT 1'), S, Q(our.ok), B(), E(), S, P('SELECT 1'), S, Q(our.fail), B(), E(), S),
  'behind unanswered Queries': our =>
    burst(Q('SELECT pg_sleep(0.02)'), Q('SELECT x'), Q(our.insert), COUNT, Q(our.fail), Q('DELETE FROM t')),
  'extended, alone': our =>
    burst(
      P(our.insert),
      B(),
      DS(),
      D(),
      E(),
      S,
      COUNT,
      P(our.fail),
      B(),
      E(),
      S,
      run(our.duplicate),
      S,
      Q('DELETE FROM t'),
    ),
  'extended, named and again': our =>
    burst(
      P(our.ok, 's'),
      DS('s'),
      S,
      B([], 's'),
      E(),
      S,
      B([], 's', 'p'),
      D('p'),
      E('p'),
      S,
      P(our.ok, 's'),
      S,
      C('s'),
      S,
      B([], 's'),
      S,
    ),
  'extended, in a pipeline': our =>
    burst(
      run('INSERT INTO t VALUES (7)'),
      run(our.insert),
      run('SELECT count(*) FROM t'),
      run(our.notice),
      S,
      Q('DELETE FROM t'),
    ),
  'extended, behind an error': our => burst(run('SELECT 1/0'), run(our.insert), run(our.show), S, COUNT),
  'extended, failing in a pipeline': our =>
    burst(run('INSERT INTO t VALUES (7)'), run(our.fail), run(our.insert), run('SELECT 1'), S, COUNT),
  'extended, before an error': our => burst(run(our.insert), run('SELECT 1/0'), run('SELECT 1'), S, COUNT),
  'extended, in a transaction': our =>
    burst(
      run('BEGIN'),
      run(our.insert),
      S,
      COUNT,
      run(our.fail),
      S,
      run(our.ok),
      S,
      P(our.ok, 'again'),
      S,
      run('ROLLBACK'),
      S,
      COUNT,
    ),
  'extended, a name that is taken': our =>
    burst(
      P('SELECT 1', 's'),
      P(our.insert, 's'),
      S,
      B([], 's'),
      E(),
      S,
      C('s'),
      P(our.insert, 's'),
      P('SELECT 2', 's'),
      S,
      C('s'),
      P('SELECT 3', 's'),
      B([], 's'),
      E(),
      S,
      COUNT,
    ),
  'extended, a portal twice': our => burst(P(our.ok), B(), E(), E(), S, run('SELECT 1'), S),
  'extended, a portal that is gone': our =>
    burst(P(our.insert, 's'), B([], 's', 'p'), S, E('p'), S, B([], 's', 'p'), CP('p'), E('p'), S, COUNT),
  'extended, a portal of another': our =>
    burst(P(our.ok, 's'), B([], 's', 'p'), E('p'), CP('p'), P('SELECT 5', 'x'), B([], 'x', 'p'), E('p'), S),
  'extended, the unnamed portal of a cursor stays': our =>
    burst(
      Q('BEGIN; INSERT INTO t SELECT generate_series(20, 29)'),
      P('SELECT id FROM t', 'c'),
      B([], 'c'),
      E('', 2),
      P(our.ok, 'o'),
      B([], 'o', 'p'),
      E('p'),
      E('', 2),
      S,
      Q('ROLLBACK'),
    ),
  'extended, two statements at once': our => burst(P(`${our.ok}; SELECT 1`), S),
  'extended, parameters that it does not take': our => burst(P(our.ok, '', 23), DS(), B(['1']), E(), S),
  'extended, Flush': our => async client => {
    client.send(run(our.ok), run('SELECT 1'), H);
    const seen = await client.until(({type, body}) => type === 'C' && body.toString().startsWith('SELECT'));
    return [...seen, ...(await burst(S)(client))];
  },
  'behind an extended COPY': our => async client => {
    client.send(run(COPY), S, d('13\ta\n'), d('14\tb\n'), c, S, Q(our.ok), run(our.insert), S);
    const seen = await client.ready(3);
    client.send(run(COPY), S, d('x\n'), c, S, Q(our.ok), run(COPY), S, f, S, run(our.ok), S, Q('DELETE FROM t'));
    return [...seen, ...(await client.ready(5))];
  },
  'behind the data of a COPY that has failed, without its end': our =>
    burst(
      ...[Q(COPY), d('x\n'), Q(our.insert), Q(`SELECT 'a\\'; ${our.ok}`)],
      ...[Q(COPY), d('x\n'), run(our.ok), S, Q(COPY), d('x\n'), S, Q(our.show)],
      ...[Q(`${our.ok}; ${COPY}`), d('x\n'), S, Q('SELECT 1'), Q(`${our.ok}; ${COPY}`), d('x\n'), S, run(our.ok), S],
      Q('DELETE FROM t'),
    ),
  'behind COPY data that nobody wants': our =>
    burst(Q('COPY missing FROM STDIN'), d('1\n'), c, Q(our.ok), d('2\n'), run(our.ok), S, f, Q(our.ok)),
  'extended, between Queries': our =>
    // Not Query right behind ours without Sync: 18.4 itself fails there with XX000.
    burst(run(our.ok), S, Q('SELECT 1'), run(our.insert), S, Q(our.ok), Q('DELETE FROM t')),
  'a string as one transaction block': our =>
    steps(
      Q(`SET LOCAL application_name = 'x'; DECLARE a CURSOR FOR SELECT 1; FETCH a; ${our.ok}`),
      Q(`${our.ok}; COMMIT; ${our.ok}`),
      Q(`${our.ok}; SAVEPOINT s`),
    ),
  'prepared and replaced by DISCARD': our =>
    burst(P(our.insert, 's'), S, Q('DISCARD ALL'), B([], 's'), E(), S, P('SELECT 1', 's'), B([], 's'), E(), S),
  'a string that takes away the unnamed portal, also where it fails': our =>
    burst(
      Q('BEGIN'),
      P('SELECT 1'),
      B(),
      Q(`${our.ok}; SELECT 1`),
      E(),
      S,
      Q('ROLLBACK'),
      Q('BEGIN'),
      Q(`${our.ok}; SELECT 1/0`),
      E(),
      S,
      Q('ROLLBACK'),
    ),
  'what the parser has to say': our =>
    steps(
      Q(`SELECT 1; ${our.ok}; SELECT 2 AS ${'x'.repeat(70)}`),
      Q(`SELECT 1 AS ${'y'.repeat(70)}; ${our.ok}; SELEC`),
      Q('SET standard_conforming_strings = off'),
      Q(`SELECT 1; ${our.ok}; SELECT 'a\\\\'`),
    ),
  'an error in each position of a string': our =>
    steps(...everyFailure(our).flatMap(statements => [Q(statements.join('; ')), COUNT, Q('DELETE FROM t')])),
  'an error in each position of a string in a transaction': our =>
    steps(
      ...everyFailure(our).flatMap(statements => [
        Q('BEGIN; SAVEPOINT s'),
        Q(statements.join('; ')),
        Q('ROLLBACK TO s'),
        COUNT,
        Q('COMMIT'),
      ]),
    ),
  'an error in each position of a pipeline': our =>
    burst(
      ...everyFailure(our).flatMap(statements => [
        ...statements.map(statement => run(statement)),
        S,
        COUNT,
        Q('DELETE FROM t'),
      ]),
    ),
  'between the fetches of a cursor': our =>
    steps(
      Q('BEGIN; DECLARE a CURSOR FOR SELECT generate_series(1, 9); FETCH 1 a'),
      Q(our.ok),
      Q('FETCH 1 a'),
      [run(our.show), run('FETCH 1 a'), run(our.insert), run('FETCH 1 a'), S],
      Q(`FETCH 1 a; ${our.notice}; FETCH 1 a; CLOSE a`),
      Q('DECLARE h CURSOR WITH HOLD FOR SELECT generate_series(1, 3); FETCH 1 h'),
      Q('COMMIT'),
      Q(our.ok),
      Q(`FETCH 1 h; ${our.ok}; FETCH 1 h`),
      Q('CLOSE h; DELETE FROM t'),
    ),
  'with notifications': our =>
    steps(
      Q("LISTEN a; NOTIFY a, 'one'"),
      Q(`NOTIFY a, 'two'; ${our.ok}; NOTIFY a, 'three'`),
      Q(`NOTIFY a, 'four'; SELECT 1; ${our.ok}`),
      [run("NOTIFY a, 'five'"), run(our.ok), S],
      Q(`BEGIN; NOTIFY a, 'six'; ${our.insert}`),
      Q(our.fail),
      Q('COMMIT'),
      Q(`UNLISTEN a; ${our.ok}; NOTIFY a, 'seven'`),
    ),
  'a string with a long COPY to the client': our =>
    burst(
      Q(`${our.ok}; COPY (SELECT repeat('x', 1000) FROM generate_series(1, 20000)) TO STDOUT; ${our.notice}; SELECT 2`),
    ),
  'in LATIN1': our =>
    burst(
      Q("SET client_encoding = 'LATIN1'"),
      Q(latin1(`SELECT 'ä'; ${our.ok}; SELECT 'ä', x`)),
      Q(latin1(`SELECT 'ä'; ${our.show}; SELECT 'ä' AS ö`)),
      run('SELECT 1'),
      P(latin1(`${our.ok} /* ä */`)),
      B(),
      D(),
      E(),
      S,
    ),
  'behind settings that decide how it is read': our =>
    burst(
      Q('SET escape_string_warning = off'),
      Q('SET standard_conforming_strings = off'),
      Q(`SELECT 'a\\'; SELECT x'; ${our.ok}`),
      Q('SET standard_conforming_strings = on'),
      Q(`SELECT 'a\\'; ${our.ok}; SELECT 'b'`),
      Q("SET client_encoding = 'LATIN1'"),
      Q(latin1(`SELECT 'ä'; ${our.ok}`)),
      Q("SET client_encoding = 'UTF8'"),
      Q(`SELECT 'ä'; ${our.ok}`),
      Q('BEGIN; SET LOCAL standard_conforming_strings = off'),
      Q(`SELECT 'a\\'; SELECT x'; ${our.ok}`),
      Q('ROLLBACK'),
      Q(`SELECT 'a\\'; ${our.ok}; SELECT 'b'`),
    ),
  'a string whose COPY the client leaves in the middle': our => async client => {
    client.send(Q(`${our.insert}; COPY t FROM STDIN; SELECT 1`), d('31\ta\n'));
    const seen = await client.until(({type}) => type === 'G');
    return [...seen, ...(await client.end())];
  },
  'beside text that is not ASCII': our => burst(Q(`SELECT 'ä€😀'; ${our.ok}; SELECT 'ä€😀', x`)),
};

/** As bytes that are no UTF-8. */
const latin1 = (text: string): Buffer => Buffer.from(text, 'latin1');

/** Three statements, of which one fails: each kind of failure in each place, among statements of ours and others. */
function everyFailure(our: Statements): string[][] {
  const failures = ['SELEC', 'SELECT 1/0', 'SELECT missing FROM t', our.fail, our.duplicate];
  const others = [
    [our.insert, 'SELECT 1'],
    ["INSERT INTO t VALUES (5, 'a')", our.ok],
  ];
  return failures.flatMap(failure =>
    others.flatMap(([first, second]) => [
      [failure, first, second],
      [first, failure, second],
      [first, second, failure],
    ]),
  );
}

/** A pipeline of 15 is no transaction block. */
const ONLY_18: ReadonlySet<string> = new Set(['a string as one transaction block']);

describe.each([18, 15] as const)('PostgreSQL %i: ours behave as a statement of PostgreSQL', version => {
  let world: GatewayWorld;
  beforeAll(async () => (world = await GatewayWorld.open(version, SETUP)));
  afterAll(async () => await world[Symbol.asyncDispose]());

  const conversations = Object.entries(CONVERSATIONS).filter(([name]) => version === 18 || !ONLY_18.has(name));
  test.each(conversations)('%s', async (_, conversation) => {
    await using direct = await RawClient.connect(world.direct);
    await using through = await RawClient.connect(world.through);
    const theirs = transcript(await conversation(THEIRS)(direct), {withOurs: true});
    const ours = transcript(await conversation(OURS)(through), {withOurs: true});
    expect(theirs.length).toBeGreaterThan(1);
    expect(ours).toEqual(theirs);
  });

  /** What the client gets while, amid `frames`, OURS WAIT sends it a notification and then does as told. */
  async function notified(end: () => void, readies: number, ...frames: Buffer[]): Promise<string> {
    await using client = await RawClient.connect(world.through);
    const other = new pg.Client({connectionString: world.superuser});
    await other.connect();
    world.outside = async () => {
      await other.query('NOTIFY a');
      end();
    };
    try {
      client.send(Q('LISTEN a'));
      await client.ready();
      client.send(...frames);
      return (await client.ready(readies)).map(({type}) => type).join('');
    } finally {
      await other.end();
    }
  }
  const fails = () => {
    throw new SqlError('58000', 'failed');
  };

  test('a notification comes behind the error of ours, not between it and what came before', async () => {
    expect(await notified(fails, 1, Q(`${OURS.notice}; ${OURS.wait}`))).toBe('NCEAZ');
    expect(await notified(fails, 1, run(OURS.notice), run(OURS.wait), S)).toMatch(/^12nNC12nE(AZ|ZA)$/);
    const inBlock = [Q('BEGIN'), Q(`${OURS.wait}; SELECT 1`), Q('ROLLBACK')];
    expect(await notified(fails, 3, ...inBlock)).toBe('CZEZCAZ');
  });

  test('a notification comes behind a whole string, also if a transaction ends within it', async () => {
    const text = `${OURS.wait}; COMMIT; ${OURS.notice}; SELECT 1; ROLLBACK AND CHAIN`;
    expect(await notified(() => undefined, 2, Q('BEGIN'), Q(text))).toBe('CZCCNCTDCEAZ');
  });

  test('beyond ASCII in an encoding that we do not write: refused, and theirs beside it too', async () => {
    await using client = await RawClient.connect(world.through);
    const sjis = (text: string) => Buffer.from(text.replaceAll('ソ', '\x83\\'), 'latin1');
    client.send(
      Q("SET client_encoding = 'SJIS'"),
      Q(sjis(`SELECT 'ソ'; ${OURS.insert}`)),
      P(sjis(`${OURS.insert} /* ソ */`)),
      S,
    );
    client.send(Q(sjis("COPY t TO '/tmp/ソ'")), Q(sjis("SELECT 'ソ'; SELECT 'OURS FAIL'")), Q(OURS.ok), COUNT);
    const seen = transcript(await client.ready(7)).filter(line => /^[CEZ]/.test(line));
    const refused = expect.stringContaining('C0A000 / Mstatements of Sluice need client_encoding UTF8') as string;
    expect(seen).toEqual([
      ...['C SET', 'Z I', refused, 'Z I', refused, 'Z I', refused, 'Z I'],
      ...['C SELECT 1', 'C SELECT 1', 'Z I', 'C OURS', 'Z I', 'C SELECT 1', 'Z I'],
    ]);
  });
});
