import pg from 'pg';
import {afterAll, beforeAll, describe, expect, test} from 'vitest';
import {migrate} from '../../src/catalog/migrate.ts';
import {planStatement} from '../../src/statements/plan.ts';
import {GatewayWorld} from './gateway-world.ts';
import {Q} from './messages.ts';
import type {Message} from './raw-client.ts';
import {BareConnection, scramLogin} from './scram-login.ts';
import {transcript} from './transcript.ts';

type Parameters = readonly (readonly [string, string])[];

describe.each([18, 15] as const)('PostgreSQL %i', version => {
  let world: GatewayWorld;
  let admin: pg.Client;
  let role: string;
  let database: string;

  beforeAll(async () => {
    world = await GatewayWorld.open(version, 'SELECT', {version: '1.2.3', plan: planStatement});
    const {username, pathname} = new URL(world.through);
    role = decodeURIComponent(username);
    database = pathname.slice(1);
    admin = new pg.Client({connectionString: world.superuser});
    await admin.connect();
    await migrate(admin);
    await admin.query(`CREATE SCHEMA "a,""b"; CREATE SCHEMA "$üser"; GRANT USAGE ON SCHEMA "a,""b", "$üser" TO PUBLIC`);
  });
  afterAll(async () => {
    await admin.end();
    await world[Symbol.asyncDispose]();
  });

  /** Everything up to ReadyForQuery, and the answer to `query`. */
  async function login(parameters: Parameters, query?: string, url = world.through): Promise<Message[]> {
    await using connection = await BareConnection.open(url);
    const given = [['user', role], ['database', new URL(url).pathname.slice(1)], ...parameters] as const;
    const seen = await scramLogin(connection, given, 'secret');
    expect(seen.at(-1)?.type).toBe('Z');
    if (query === undefined) return seen;
    connection.socket.write(Q(query));
    return [...seen, ...(await connection.until('Z'))];
  }

  /** SQLSTATE and message of each notice. */
  const noticesIn = (messages: readonly Message[]): string[] =>
    messages
      .filter(({type}) => type === 'N')
      .map(({body}) => {
        const fields = body.toString('utf8').split('\0');
        const of = (letter: string) => fields.find(field => field.startsWith(letter))?.slice(1);
        return `${of('C')} ${of('M')}`;
      });

  const codes = async (...parameters: Parameters): Promise<string[]> =>
    noticesIn(await login(parameters)).map(notice => notice.slice(0, 5));

  const options = (text: string): [string, string] => ['options', text];
  const path = (text: string): string => text.replaceAll(/[ \\]/g, '\\$&');

  test('one notice in front of the first ReadyForQuery, and nothing else is different', async () => {
    const through = await login([['application_name', 'a']]);
    expect(through.findIndex(({type}) => type === 'N')).toBe(through.length - 2);
    const {rows} = await admin.query<{id: string}>('SELECT mz_catalog.mz_environment_id() AS id');
    const processId = through.find(({type}) => type === 'K')!.body.readInt32BE(0);
    expect(noticesIn(through)).toEqual([
      `00000 connected to Sluice v1.2.3
  Environment: ${rows[0].id}
  User: ${role}
  Cluster: quickstart
  Database: ${database}
  Search path: "$user", public
  Process: ${processId}`,
    ]);
    const direct = await login([['application_name', 'a']], undefined, world.direct);
    const comparable = (messages: readonly Message[]) =>
      transcript(messages.filter(({type, body}) => type !== 'R' || ![11, 12].includes(body.readUInt32BE(0))));
    expect(comparable(through.filter(({type}) => type !== 'N'))).toEqual(comparable(direct));
  });

  test('the process is the backend', async () => {
    const messages = await login([], 'SELECT pg_backend_pid()');
    const row = messages.find(({type}) => type === 'D')!.body.toString('latin1', 6);
    expect(noticesIn(messages)[0]).toMatch(new RegExp(`Process: ${row}$`));
  });

  test.each<[string, Parameters]>([
    ['--welcome_message=off', [options('--welcome_message=off')]],
    ['-c welcome-message=F', [options('-c welcome-message=F')]],
    ['a parameter of its own', [['welcome_message', 'no']]],
    ['client_min_messages', [options('-c client_min_messages=Warning')]],
    ['client_min_messages as a parameter of its own', [['client_min_messages', 'error']]],
  ])('turned off by the client: %s', async (_, parameters) => expect(await codes(...parameters)).toEqual([]));

  test('turned off for a role, for a database, and on again by the client', async () => {
    const on = options('--welcome_message=on');
    const settings = async (setting: string) => {
      const reset = setting.replace(/SET (\S+) .*/, 'RESET $1');
      for (const whose of [`ROLE ${role}`, `ROLE ${role} IN DATABASE ${database}`, `DATABASE ${database}`]) {
        await admin.query(`ALTER ${whose} ${setting}`);
        expect(await codes(), whose).toEqual([]);
        await admin.query(`ALTER ${whose} ${reset}`);
      }
      expect(await codes()).toEqual(['00000']);
    };
    await settings('SET client_min_messages = warning');
    await settings('SET sluice.welcome_message = off');
    await admin.query(`ALTER ROLE ${role} SET sluice.welcome_message = off`);
    expect(await codes(on)).toEqual(['00000']);
    // What is said of the role in this database counts more.
    await admin.query(`ALTER ROLE ${role} IN DATABASE ${database} SET sluice.welcome_message = on`);
    expect(await codes()).toEqual(['00000']);
    await admin.query(`ALTER ROLE ${role} IN DATABASE ${database} RESET ALL; ALTER ROLE ${role} RESET ALL`);
  });

  test('the cluster of the session does not exist', async () => {
    const notices = noticesIn(await login([options('--cluster=of_nobody')]));
    expect(notices[0]).toContain('  Cluster: of_nobody\n');
    expect(notices[1]).toBe('MZ005 default cluster "of_nobody" does not exist');
    await admin.query(`ALTER ROLE ${role} SET sluice.cluster = of_role`);
    expect(await codes()).toEqual(['00000', 'MZ005']);
    expect(await codes(options('--cluster=quickstart'))).toEqual(['00000']);
    expect(await codes(options('--current_object_missing_warnings=off'))).toEqual(['00000']);
    await admin.query(`SELECT mz_internal.create_cluster('of_role', '25cc', 1)`);
    expect(await codes()).toEqual(['00000']);
    await admin.query(`ALTER ROLE ${role} RESET ALL`);
  });

  test.each<[string, string[]]>([
    ['nowhere', ['MZ008']],
    ['nowhere, "No Where"', ['MZ008']],
    ['"$user"', ['MZ008']],
    ['"PUBLIC"', ['MZ008']],
    ['nowhere, PUBLIC', []],
    ['nowhere,"a,""b"', []],
    ['"$üser"', []],
    ['pg_catalog', []],
    ['', []],
  ])('a search path of %j', async (given, expected) => {
    const quiet = options(`--welcome_message=off -c search_path=${path(Buffer.from(given).toString('latin1'))}`);
    const messages = await login([quiet], 'SELECT current_schema()');
    expect(noticesIn(messages).map(notice => notice.slice(0, 5))).toEqual(expected);
    // As PostgreSQL sees it; our own schema is behind every path.
    const row = messages.find(({type}) => type === 'D')!.body.toString('utf8', 6);
    expect(row === 'mz_catalog').toBe(expected.length > 0 || given === '');
  });

  test('the path of a role', async () => {
    await admin.query(`ALTER ROLE ${role} SET search_path = "No Where", nowhere`);
    const notices = noticesIn(await login([]));
    expect(notices[0]).toContain('  Search path: "No Where", nowhere\n');
    expect(notices[1]).toBe('MZ008 no schema on the search path exists: "No Where", nowhere');
    expect(await codes(['search_path', 'public'])).toEqual(['00000']);
    await admin.query(`CREATE SCHEMA "No Where"`);
    expect(await codes()).toEqual(['00000']);
    await admin.query(`DROP SCHEMA "No Where"; ALTER ROLE ${role} RESET ALL`);
  });

  test('a value that a setting does not take is left out and said, and the session begins', async () => {
    const given = options('--welcome_message=perhaps --max_query_result_size=lots -c work_mem=1MB');
    const messages = await login([given], 'SHOW welcome_message');
    expect(noticesIn(messages).slice(0, 2)).toEqual([
      '22023 startup setting welcome_message not set: parameter "welcome_message" requires a "boolean" value',
      '22023 startup setting max_query_result_size not set: parameter "max_query_result_size" requires a "integer" value',
    ]);
    expect(noticesIn(messages)[2]).toMatch(/^00000 connected/);
    expect(messages.find(({type}) => type === 'D')!.body.toString('latin1', 6)).toBe('on');
  });

  test('schema and booleans are kept as SET would keep them', async () => {
    const row = async (given: string, query: string) =>
      (await login([options(given)], query)).find(({type}) => type === 'D')!.body.toString('latin1', 6);
    expect(await row('--schema=pg_catalog', 'SELECT current_schema()')).toBe('pg_catalog');
    expect(await row('--welcome_message=FALSE', 'SHOW welcome_message')).toBe('off');
  });

  test('names that the encoding of the client lacks', async () => {
    const cluster = options(`--cluster=${Buffer.from('grün').toString('latin1')}`);
    const missing = async (encoding: string) => {
      const messages = await login([cluster, ['client_encoding', encoding]]);
      const notice = messages.findLast(({type}) => type === 'N')!;
      return /"(.*)"/.exec(notice.body.toString('latin1'))![1];
    };
    expect(await missing('LATIN1')).toBe('grün');
    expect(await missing('UTF8')).toBe(Buffer.from('grün').toString('latin1'));
    expect(await missing('SJIS')).toBe('gr?n');
  });

  test('a session in a database without our schemas begins as PostgreSQL begins it', async () => {
    const elsewhere = new URL(world.through);
    elsewhere.pathname = new URL(world.direct).pathname;
    expect(noticesIn(await login([options('--cluster=of_nobody')], undefined, elsewhere.href))).toEqual([]);
  });

  test('who is not let in is told nothing', async () => {
    await using connection = await BareConnection.open(world.through);
    const seen = await scramLogin(
      connection,
      [
        ['user', role],
        ['database', database],
      ],
      'wrong',
    );
    expect(seen.map(({type}) => type)).not.toContain('N');
    expect(seen.at(-1)?.type).toBe('E');
  });
});
