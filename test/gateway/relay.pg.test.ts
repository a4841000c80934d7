import {mkdtemp, rm} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {afterAll, beforeAll, describe, expect, test} from 'vitest';
import {ClientTls} from '../../src/gateway/client-tls.ts';
import {selfSignedCertificate} from '../setup/certificate.ts';
import {burst, steps} from './conversation.ts';
import type {Conversation} from './conversation.ts';
import {GatewayWorld} from './gateway-world.ts';
import {B, C, CP, D, DS, E, F, H, P, Q, S, X, c, d, f, run} from './messages.ts';
import {RawClient} from './raw-client.ts';
import {transcript} from './transcript.ts';

const SETUP = `
CREATE TABLE t (id int PRIMARY KEY, name text);
INSERT INTO t SELECT i, 'row ' || i FROM generate_series(1, 20) i;
CREATE TABLE later (id int REFERENCES t DEFERRABLE INITIALLY DEFERRED);
CREATE FUNCTION noisy() RETURNS int LANGUAGE plpgsql AS $$BEGIN RAISE NOTICE 'noise'; RAISE WARNING 'more'; RETURN 1; END$$;`;

const untilEnd =
  (...frames: Buffer[]): Conversation =>
  async client => {
    const before = await burst(Q('SELECT 0'))(client);
    client.send(...frames);
    return [...before, ...(await client.until(() => false))];
  };

const COPY = 'COPY t FROM STDIN';

const CONVERSATIONS: Record<string, Conversation> = {
  'a row': burst(Q('SELECT * FROM t WHERE id < 4')),
  'no statement': burst(Q('')),
  'only a comment and semicolons': burst(Q('/* ; */ ;; -- ;')),
  'several statements': burst(
    Q("SELECT 1; UPDATE t SET name = 'x' WHERE id = 1; SELECT name FROM t WHERE id = 1; SELECT noisy()"),
  ),
  'an error in the middle of a string': burst(
    Q("INSERT INTO t VALUES (100, 'a'); SELECT 1/0; SELECT 2"),
    Q('SELECT count(*) FROM t'),
  ),
  'a syntax error at the end of a string': burst(Q('SELECT 1; SELECT 2; SELEC 3')),
  'an unterminated string': burst(Q("SELECT 'a; SELECT 2")),
  'Queries without waiting': burst(Q('SELECT 1'), Q('SELECT x'), Q('SELECT 3')),
  'parameters of the session': burst(Q("SET application_name = 'x'; SET TimeZone = 'Europe/Berlin'")),
  transactions: steps(
    Q('BEGIN'),
    Q('INSERT INTO t VALUES (101)'),
    Q('SAVEPOINT s'),
    Q('SELECT x'),
    Q('SELECT 1'),
    Q('ROLLBACK TO s'),
    Q('SELECT count(*) FROM t'),
    Q('COMMIT'),
    Q('COMMIT'),
    Q('BEGIN; SELECT 1/0; COMMIT'),
    Q('ROLLBACK'),
  ),
  'a commit that fails': steps(
    Q('INSERT INTO later VALUES (999)'),
    Q('BEGIN; INSERT INTO later VALUES (999); COMMIT'),
    [run('INSERT INTO later VALUES (999)'), S],
  ),
  'extended: one statement': burst(P('SELECT $1::int + 1 AS n', 's', 23), DS('s'), B(['41'], 's'), D(), E(), S),
  'extended: portals in parts': burst(P('SELECT * FROM t ORDER BY id'), B(), E('', 2), E('', 3), D(), S, E(), S),
  'extended: a named portal': burst(
    Q('BEGIN'),
    P('SELECT * FROM t ORDER BY id', 's'),
    B([], 's', 'p'),
    E('p', 2),
    S,
    E('p', 2),
    CP('p'),
    E('p', 2),
    S,
    Q('ROLLBACK'),
    C('s'),
    B([], 's'),
    S,
  ),
  'extended: no statement': burst(P(''), B(), D(), E(), S),
  'extended: a pipeline': burst(
    run("INSERT INTO t VALUES (102, 'a')"),
    run('SELECT count(*) FROM t'),
    run('DELETE FROM t WHERE id = 102'),
    S,
  ),
  'extended: a pipeline that fails is undone': burst(
    run("INSERT INTO t VALUES (103, 'a')"),
    run('SELECT 1/0'),
    run('SELECT 2'),
    S,
    run('SELECT count(*) FROM t WHERE id = 103'),
    S,
  ),
  'extended: several Syncs': burst(run('SELECT 1'), S, run('SELECT x'), S, run('SELECT 3'), S, S),
  'extended: Flush': async client => {
    client.send(run('SELECT 1'), H);
    const seen = await client.until(({type}) => type === 'C');
    return [...seen, ...(await burst(S)(client))];
  },
  'extended: an error in Parse': burst(P('SELEC'), B(), D(), E(), run('SELECT 1'), S, run('SELECT 2'), S),
  'extended: two statements in Parse': burst(P('SELECT 1; SELECT 2'), S),
  'extended: an error in Bind': burst(P('SELECT $1::int'), B(['x']), D(), E(), S, B([], 'missing'), E(), S),
  'extended: an error in Describe': burst(DS('missing'), run('SELECT 1'), S, D('missing'), S),
  'extended: an error in Execute': burst(E('missing'), run('SELECT 1'), S, run('SELECT 1/0'), S),
  'extended: a name that is taken': burst(
    P('SELECT 1', 's'),
    P('SELECT 2', 's'),
    S,
    C('s'),
    P('SELECT 3', 's'),
    B([], 's'),
    E(),
    S,
  ),
  'extended: Query behind an error is discarded': async client => {
    client.send(P('SELEC'), Q('SELECT 1'), S);
    return await client.ready(1);
  },
  'extended: Query in the middle of a pipeline': burst(
    run("INSERT INTO t VALUES (104, 'a')"),
    Q('SELECT count(*) FROM t'),
    run('SELECT 1/0'),
    S,
  ),
  'extended: the unnamed statement goes with a Query': burst(P('SELECT 1'), S, Q('SELECT 2'), B(), E(), S),
  'extended: in an aborted transaction': burst(
    Q('BEGIN; SELECT 1/0'),
    P('SELECT 1'),
    S,
    P(''),
    B(),
    E(),
    S,
    run('ROLLBACK'),
    S,
  ),
  'a function call': burst(F(40, 2), Q('SELECT 1')),
  'COPY to the client': burst(
    Q('COPY t TO STDOUT'),
    Q('SELECT 1; COPY (SELECT 1 AS a) TO STDOUT (FORMAT csv, HEADER); SELECT 2'),
  ),
  'COPY from the client': burst(Q(COPY), d('201\ta\n20'), d('2\tb\n'), c, Q('SELECT count(*) FROM t')),
  'COPY from the client, in a string': burst(
    Q(`SELECT 1; ${COPY}; SELECT 2; ${COPY}`),
    d('203\ta\n'),
    c,
    d('204\tb\n'),
    c,
    Q('SELECT count(*) FROM t'),
  ),
  'COPY that the client gives up': burst(Q(COPY), d('205\ta\n'), f, Q('SELECT count(*) FROM t')),
  'COPY with wrong data': burst(Q(COPY), d('206\ta\n'), d('x\n'), d('207\tb\n'), c, Q('SELECT count(*) FROM t')),
  'COPY that fails at once': burst(Q('COPY missing FROM STDIN'), d('1\n'), c, Q('SELECT 1')),
  'COPY data without COPY': burst(d('1\n'), c, f, Q('SELECT 1')),
  'extended COPY': async client => {
    client.send(run(COPY), S);
    const seen = await client.until(({type}) => type === 'G');
    client.send(d('208\ta\n'), H, d('209\tb\n'), c, S, Q('SELECT count(*) FROM t'));
    return [...seen, ...(await client.ready(2))];
  },
  'extended COPY without waiting': async client => {
    client.send(run(COPY), S, d('210\ta\n'), c, S, Q('SELECT 1'), run('SELECT 2'), S);
    return await client.ready(3);
  },
  'extended COPY with wrong data': async client => {
    client.send(run(COPY), S, d('x\n'), d('y\n'), c, run('SELECT 1'), S, Q('SELECT 1'), run('SELECT 2'), S);
    return await client.ready(3);
  },
  'something else during COPY': untilEnd(Q(COPY), d('211\ta\n'), Q('SELECT 1'), Q('SELECT 2')),
  'COPY and the client goes': async client => {
    client.send(Q(COPY), d('212\ta\n'));
    await client.until(({type}) => type === 'G');
    return await client.end();
  },
  cursors: steps(
    Q(
      'BEGIN; DECLARE a CURSOR FOR SELECT * FROM t ORDER BY id; DECLARE b BINARY CURSOR FOR SELECT id FROM t ORDER BY id',
    ),
    Q('FETCH 2 a; FETCH 2 b'),
    Q('MOVE 2 IN a; FETCH ALL a'),
    [run('FETCH 1 b'), S],
    Q('CLOSE a; COMMIT'),
  ),
  'prepared by SQL': steps(
    Q('PREPARE p AS SELECT * FROM t WHERE id = $1'),
    Q('EXECUTE p (3)'),
    Q('DEALLOCATE ALL'),
    Q('EXECUTE p (3)'),
    Q('DISCARD ALL'),
  ),
  notifications: burst(
    Q("LISTEN a; NOTIFY a, 'one'"),
    Q("SELECT 1; NOTIFY a, 'two'; SELECT 2"),
    run("NOTIFY a, 'three'"),
    S,
  ),
  'a statement timeout': steps(
    Q("SET statement_timeout = '30ms'"),
    Q('SELECT pg_sleep(10)'),
    Q('BEGIN; SELECT pg_sleep(10)'),
    Q('ROLLBACK'),
  ),
  'text beyond ASCII': burst(
    Q("SELECT 'ä€😀', e"),
    Q(Buffer.from("SELECT '\xe4'", 'latin1')),
    Q("SET client_encoding = 'LATIN1'"),
    Q(Buffer.from("SELECT '\xe4'; SELECT x", 'latin1')),
  ),
  'text in encodings whose second bytes are ASCII': burst(
    Q('SET standard_conforming_strings = off; SET escape_string_warning = off'),
    ...(
      [
        ['SJIS', 0x83, 0x5c],
        ['SHIFT_JIS_2004', 0x83, 0x5c],
        ['BIG5', 0xa5, 0x5c],
        ['GBK', 0x81, 0x5c],
        ['UHC', 0x81, 0x41],
        ['GB18030', 0x81, 0x5c],
        ['EUC_JP', 0xa4, 0xa2],
        ['JOHAB', 0xd9, 0x5c],
      ] as const
    ).flatMap(([encoding, ...character]) => [
      Q(`SET client_encoding = '${encoding}'`),
      Q(Buffer.from([...Buffer.from("SELECT '"), ...character, ...Buffer.from("'; SELECT 'x'")])),
      Q(
        Buffer.from([
          ...Buffer.from("SET application_name = '"),
          ...character,
          ...Buffer.from("'; SHOW application_name"),
        ]),
      ),
    ]),
  ),
  'backslashes in strings': burst(
    Q('SET standard_conforming_strings = off; SET escape_string_warning = off'),
    Q("SELECT 'a\\'; SELECT x'"),
    Q("SELECT 'a\\\\'; SELECT 1"),
  ),
  'a NUL in a Query': burst(Buffer.concat([Q('SELECT 1'), Buffer.from([0])]).fill(18 - 4, 4, 5), Q('SELECT 1')),
  'a message that is too short': untilEnd(Buffer.from([0x51, 0, 0, 0, 3]), Q('SELECT 1')),
  'a message that is too long': untilEnd(Buffer.from([0x53, 0x7f, 0, 0, 3]), Q('SELECT 1')),
  'a name that is too long for its message': untilEnd(E('p'.repeat(20_000)), Q('SELECT 1')),
  'an unknown message': untilEnd(Q('SELECT 1'), Buffer.from([0x01, 0, 0, 0, 4]), Q('SELECT 1')),
  'a password out of place': untilEnd(Buffer.from([0x70, 0, 0, 0, 5, 0]), Q('SELECT 1')),
  'a long statement in many pieces': async client => {
    const frame = Q(`SELECT length('${'x'.repeat(3_000_000)}'); SELECT 1`);
    for (let at = 0; at < frame.length; at += 70_001) client.socket.write(frame.subarray(at, at + 70_001));
    return await client.ready();
  },
  'a header in two pieces': async client => {
    const frame = Buffer.concat([Q('SELECT 1'), Q('SELECT 2')]);
    for (const byte of frame) {
      client.socket.write(Buffer.from([byte]));
      await new Promise<void>(resolve => setImmediate(resolve));
    }
    return await client.ready(2);
  },
  'a long parameter': burst(P('SELECT length($1)'), B(['x'.repeat(5_000_000)]), E(), S),
  'ended by its user': untilEnd(Q('SELECT pg_terminate_backend(pg_backend_pid())')),
  'Terminate behind a Query': untilEnd(Q('SELECT 1'), X),
  'half closed behind a Query': async client => {
    client.send(Q('SELECT pg_sleep(0.05)'));
    return await client.end();
  },
};

describe.each([
  [18, 'plain'],
  [15, 'plain'],
  [18, 'TLS'],
] as const)('PostgreSQL %i, %s: through the gateway everything is as it is directly', (version, channel) => {
  let world: GatewayWorld;
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'sluice-relay-'));
    const options = channel === 'TLS' ? {tls: new ClientTls(selfSignedCertificate(folder))} : {};
    world = await GatewayWorld.open(version, SETUP, options);
  });
  afterAll(async () => {
    await world[Symbol.asyncDispose]();
    await rm(folder, {recursive: true});
  });

  test.each(Object.entries(CONVERSATIONS))('%s', async (_, conversation) => {
    const seen: string[][] = [];
    for (const url of [world.direct, world.through]) {
      await using client = await RawClient.connect(url);
      seen.push(transcript(await conversation(client)));
    }
    expect(seen[0].length).toBeGreaterThan(0);
    expect(seen[1]).toEqual(seen[0]);
  });
});
