import {once} from 'node:events';
import pg from 'pg';
import {afterAll, beforeAll, describe, expect, test} from 'vitest';
import {poll} from '../../scripts/process/poll.ts';
import {writeStartupPacket} from '../../src/gateway/startup-packet.ts';
import {GatewayWorld} from './gateway-world.ts';
import {Q} from './messages.ts';
import type {Message} from './raw-client.ts';
import {BareConnection, GSS_REQUEST as GSS, SSL_REQUEST as SSL, scramLogin} from './scram-login.ts';
import {transcript} from './transcript.ts';

const credentials = (url: string): [string, string][] => {
  const {username, pathname} = new URL(url);
  return [
    ['user', username],
    ['database', pathname.slice(1)],
  ];
};

const startup = (url: string, more: [string, string][] = [], protocol = 0x30000): Buffer =>
  writeStartupPacket({protocol, parameters: [...credentials(url), ...more]});

/** SCRAM's server messages hold nonces. */
const comparable = (messages: readonly Message[]): string[] =>
  transcript(messages.filter(({type, body}) => type !== 'R' || ![11, 12].includes(body.readUInt32BE(0))));

describe.each([18, 15] as const)('PostgreSQL %i', version => {
  let world: GatewayWorld;
  beforeAll(async () => (world = await GatewayWorld.open(version, '')));
  afterAll(async () => await world[Symbol.asyncDispose]());

  const OPENINGS: Record<string, (url: string) => Buffer> = {
    'asks for a password': url => startup(url),
    'no user': () => writeStartupPacket({protocol: 0x30000, parameters: [['database', 'x']]}),
    'an unknown parameter': url => startup(url, [['no_such_parameter', 'x']]),
    'an unknown option': url => startup(url, [['options', '--no_such_parameter=x']]),
    'a newer minor version': url => startup(url, [['_pq_.unknown', 'x']], 0x3270f),
    'an unknown major version': url => startup(url, [], 0x40000),
    'protocol 2': () => Buffer.concat([Buffer.from([0, 0, 1, 0x28, 0, 2, 0, 0]), Buffer.alloc(0x120)]),
    'malformed parameters': () => Buffer.from([0, 0, 0, 12, 0, 3, 0, 0, 0x61, 0x62, 0x63, 0x64]),
    'too short': () => Buffer.from([0, 0, 0, 3, 0, 3, 0, 0]),
    'not our protocol': () => Buffer.from('GET / HTTP/1.1\r\n\r\n'),
    'a TLS handshake': () => Buffer.from([0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3, 0, 0, 0, 0, 0]),
  };
  test.each(Object.entries(OPENINGS))('%s', async (_, opening) => {
    const seen: Buffer[] = [];
    for (const url of [world.direct, world.through]) {
      await using connection = await BareConnection.open(url);
      connection.socket.write(opening(url));
      const messages = await connection.until('R', 'E');
      seen.push(Buffer.from(JSON.stringify(comparable(messages))));
    }
    expect(seen[1].toString()).toBe(seen[0].toString());
  });

  test.each([
    ['TLS', [SSL]],
    ['GSS', [GSS]],
    ['GSS, then TLS', [GSS, SSL]],
  ])('encryption is declined: %s', async (_, requests) => {
    await using connection = await BareConnection.open(world.through);
    for (const request of requests) {
      connection.socket.write(request);
      expect((await connection.take(1)).toString()).toBe('N');
    }
    const messages = await scramLogin(connection, credentials(world.through), 'secret');
    expect(messages.at(-1)?.type).toBe('Z');
  });

  test.each([
    ['3.0', 0x30000],
    ['3.2', 0x30002],
    ['3.9999', 0x3270f],
  ])('a login with protocol %s, and what is sent behind it at once', async (_, protocol) => {
    const seen: string[][] = [];
    for (const url of [world.direct, world.through]) {
      await using connection = await BareConnection.open(url);
      const login = await scramLogin(connection, [...credentials(url), ['application_name', 'a']], 'secret', protocol);
      connection.socket.write(Q('SELECT 1'));
      seen.push(comparable([...login, ...(await connection.until('Z'))]));
    }
    expect(seen[0].at(-1)).toBe('Z I');
    expect(seen[1]).toEqual(seen[0]);
  });

  const OPTIONS = [
    ...['', '-c', '-c x', '--x', '--', '-', 'garbage', '-e', '-ts', '-f s', '-d 2', '-S 100', '-W 0', '-B 5', '-p 1'],
    ...['-c work_mem=8MB', '--work-mem=8MB', '-cwork_mem=8MB', '-c work_mem=x', '-c work_mem', '-c a.b=c', '-c a.b'],
    ...['-c role=nobody', '-c log_statement=all', '-c shared_buffers=1', '-c standard_conforming_strings=off'],
    ...[
      '-c client_encoding=LATIN1',
      '-c application_name=a\\ b\\\\c',
      '-c geqo=off --geqo=on',
      '--no_such_parameter=x',
    ],
    ...['-c no-such=x', '-c =x', '-c  a', '-c a.b=c -c nosuch=1 -c work_mem=x'],
  ];
  test.each(OPTIONS)('the options %j', async options => {
    const seen: string[][] = [];
    for (const url of [world.direct, world.through]) {
      await using connection = await BareConnection.open(url);
      const login = await scramLogin(connection, [...credentials(url), ['options', options]], 'secret');
      connection.socket.write(Q('SHOW work_mem'));
      seen.push(comparable([...login, ...(await connection.until('Z'))]));
    }
    expect(seen[1]).toEqual(seen[0]);
  });

  test.each<[string, string][]>([
    [['TimeZone', 'nowhere']],
    [['client_encoding', 'nonsense']],
    [['client_encoding', 'SJIS']],
    [['DateStyle', 'German']],
    [['', 'x']],
    [['work_mem', 'x']],
    [['a.b', 'c']],
    [['no_such_parameter', 'x']],
    [
      ['application_name', 'a'],
      ['application_name', 'b'],
    ],
  ] as [string, string][][])('the parameters %j', async (...parameters) => {
    const seen: string[][] = [];
    for (const url of [world.direct, world.through]) {
      await using connection = await BareConnection.open(url);
      const login = await scramLogin(connection, [...credentials(url), ...parameters], 'secret');
      seen.push(comparable(login));
    }
    expect(seen[1]).toEqual(seen[0]);
  });

  test.each([0x30000, 0x30002])('a cancel request of protocol %i, and one with a wrong key', async protocol => {
    const {hostname, port} = new URL(world.through);
    const cancel = async (key: Buffer) => {
      await using connection = await BareConnection.open(`postgres://${hostname}:${port}`);
      const header = Buffer.alloc(8);
      header.writeUInt32BE(8 + key.length, 0);
      header.writeUInt32BE(80877102, 4);
      connection.socket.write(Buffer.concat([header, key]));
      expect(await connection.take(1)).toHaveLength(0);
    };
    await using connection = await BareConnection.open(world.through);
    const login = await scramLogin(connection, credentials(world.through), 'secret', protocol);
    const key = login.find(({type}) => type === 'K')!.body;
    expect(key).toHaveLength(version === 18 && protocol === 0x30002 ? 36 : 8);
    connection.socket.write(Q("SELECT 'under way'; SELECT pg_sleep(600)"));
    // The first answer comes with the second statement's error at the latest, so it is the server who says that it runs.
    const admin = new pg.Client({connectionString: world.superuser});
    await admin.connect();
    const runs = async () => {
      const {rowCount} = await admin.query("SELECT FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'PgSleep'", [
        key.readInt32BE(0),
      ]);
      return rowCount === 1;
    };
    await poll('the query to run', 30_000, runs);
    const wrong = Buffer.from(key);
    wrong[wrong.length - 1] ^= 1;
    await cancel(wrong);
    expect(await runs()).toBe(true);
    await cancel(key);
    expect(transcript(await connection.until('Z')).at(-2)).toContain('C57014');
    await admin.end();
  });

  test('a wrong password', async () => {
    const seen: string[][] = [];
    for (const url of [world.direct, world.through]) {
      await using connection = await BareConnection.open(url);
      seen.push(comparable(await scramLogin(connection, credentials(url), 'wrong')));
    }
    expect(seen[1]).toEqual(seen[0]);
    expect(seen[0].at(-1)).toContain('C28P01');
  });

  const refusal = async (url: string, parameters: [string, string][]) => {
    await using connection = await BareConnection.open(url);
    connection.socket.write(writeStartupPacket({protocol: 0x30000, parameters}));
    const last = (await connection.until('R', 'E')).at(-1);
    return /\0C(.{5})\0/.exec(last?.body.toString('latin1') ?? '')?.[1];
  };

  test('superusers and mz_system are refused, however they are written', async () => {
    const {username: superuser} = new URL(world.superuserThrough);
    const {username: user} = new URL(world.through);
    expect(await refusal(world.through, [['user', superuser]])).toBe('28000');
    expect(
      await refusal(world.through, [
        ['user', user],
        ['user', superuser],
      ]),
    ).toBe('28000');
    expect(await refusal(world.through, [['user', 'mz_system']])).toBe('28000');
    expect(
      await refusal(world.through, [
        ['user', superuser],
        ['user', user],
      ]),
    ).toBeUndefined();
  });

  test('a superuser whose name PostgreSQL would cut', async () => {
    const admin = new pg.Client({connectionString: world.superuser});
    await admin.connect();
    const name = 'x'.repeat(63);
    await admin.query(`CREATE ROLE ${name} SUPERUSER LOGIN`);
    try {
      expect(await refusal(world.through, [['user', `${name}yz`]])).toBe('28000');
    } finally {
      await admin.query(`DROP ROLE ${name}`);
      await admin.end();
    }
  });

  test('the internal address takes superusers', async () => {
    await using internal = await GatewayWorld.open(version, '', {takesAdministrators: true});
    const client = new pg.Client({connectionString: internal.superuserThrough});
    await client.connect();
    expect((await client.query('SELECT 1 AS one')).rows).toEqual([{one: 1}]);
    await client.end();
  });

  test.each(['database', 'true', '1'])('replication=%s is refused', async value => {
    const code = await refusal(world.through, [...credentials(world.through), ['replication', value]]);
    expect(code).toBe('0A000');
  });

  test('no database named: materialize', async () => {
    const {username} = new URL(world.through);
    await using connection = await BareConnection.open(world.through);
    const seen = await scramLogin(connection, [['user', username]], 'secret');
    expect(transcript(seen).at(-1)).toContain('database "materialize" does not exist');
  });

  test('variables of ours are kept, and mz_catalog is on the path but not in what is reported', async () => {
    const options = '--cluster=c1 -c welcome_message=off --transaction_isolation=strict\\ serializable -csearch_path=a';
    await using connection = await BareConnection.open(world.through);
    const login = await scramLogin(connection, [...credentials(world.through), ['options', options]], 'secret');
    const reported = transcript(login).filter(line => line.includes('search_path'));
    expect(reported).toEqual(version === 18 ? ['S search_path\0a\0'] : []);
    connection.socket.write(
      Q(`SELECT concat_ws('/', current_setting('sluice.cluster'), current_setting('sluice.welcome_message'),
        current_setting('sluice.transaction_isolation'), current_setting('search_path'))`),
    );
    const row = (await connection.until('Z')).find(({type}) => type === 'D');
    expect(row?.body.toString('latin1', 6)).toBe('c1/off/strict serializable/a, mz_catalog');
  });

  test('more clients than allowed', async () => {
    await using small = await GatewayWorld.open(version, '', {maxConnections: 1});
    const client = new pg.Client({connectionString: small.through});
    await client.connect();
    expect(await refusal(small.through, credentials(small.through))).toBe('53300');
    await using silent = await BareConnection.open(small.through);
    await using another = await BareConnection.open(small.through);
    expect(await another.message()).toBeUndefined();
    expect(silent.socket.destroyed).toBe(false);
    await client.end();
  });

  test('an engine that is not there', async () => {
    const engine = {host: '127.0.0.1', port: 1, database: 'x', user: 'x', sslmode: 'disable'} as const;
    await using orphan = await GatewayWorld.open(version, '', {engine});
    expect(await refusal(orphan.through, credentials(orphan.through))).toBe('57P03');
    await using connection = await BareConnection.open(orphan.through);
    connection.socket.write(Buffer.from([0, 0, 0, 16, 0x04, 0xd2, 0x16, 0x2e, 0, 0, 0, 1, 0, 0, 0, 1]));
    await once(connection.socket, 'close');
  });
});
