import {writeFile} from 'node:fs/promises';
import {join} from 'node:path';
import {readFileSync} from 'node:fs';
import pg from 'pg';
import postgres from 'postgres';
import {afterAll, beforeAll, describe, expect, test, vi} from 'vitest';
import {poll} from '../../scripts/process/poll.ts';
import {connectionSql} from '../setup/kafka.ts';
import {BlackHole} from './black-hole.ts';
import {ClientWorld} from './client-world.ts';
import {run, runJavaProgram, runPythonProgram, type Findings} from './programs.ts';

// Several waits of a minute each may follow one another on a busy machine.
vi.setConfig({testTimeout: 300_000, hookTimeout: 300_000});

let world: ClientWorld;
let hole: BlackHole;
let watcher: pg.Client;
beforeAll(async () => {
  hole = await BlackHole.open();
  world = await ClientWorld.start();
  watcher = new pg.Client({connectionString: world.url});
  await watcher.connect();
  await watcher.query(`CREATE CONNECTION public.hole TO KAFKA
    (BROKER '${hole.address}', SECURITY PROTOCOL 'PLAINTEXT') WITH (VALIDATE = false)`);
});
afterAll(async () => {
  await watcher.end();
  await world[Symbol.asyncDispose]();
  await hole[Symbol.asyncDispose]();
});

/** A statement of ours that waits until the broker is given up, which is after ten seconds. */
const WAITING = 'VALIDATE CONNECTION public.hole';

/**
 * Runs it, cancels it as soon as it waits, and gives the SQLSTATE that it ends with. On a machine so busy that the broker is given up before
 * that, it is run again.
 */
async function cancelled(
  applicationName: string,
  start: () => Promise<unknown>,
  cancel: () => unknown,
): Promise<string | undefined> {
  for (;;) {
    let ended = false;
    const outcome = start()
      .then(
        () => undefined,
        (error: unknown) => (error as {code?: string}).code,
      )
      .finally(() => (ended = true));
    await poll('the wait for the broker', 60_000, async () => {
      const waits = "SELECT FROM pg_stat_activity WHERE application_name = $1 AND wait_event = 'advisory'";
      return ended || (await watcher.query(waits, [applicationName])).rowCount === 1;
    });
    if (!ended) await cancel();
    const code = await outcome;
    if (code !== '58000') return code;
  }
}

const CONNECTION = connectionSql();
const SINK =
  "CREATE SINK items_sink FROM items INTO KAFKA CONNECTION kafka (TOPIC 'of-clients') KEY (id) FORMAT JSON ENVELOPE UPSERT";
const WRONG_SINK =
  "CREATE SINK s FROM items INTO KAFKA CONNECTION kafka (TOPIC 't', TOPPIC 'u') FORMAT JSON ENVELOPE UPSERT";
const WRONG_SINK_ERROR = {
  code: '42704',
  severity: 'ERROR',
  message: 'unknown option "TOPPIC" for Kafka sinks',
  detail: expect.stringContaining('TOPIC CONFIG'),
  hint: 'Remove the option or check its spelling.',
  position: String(WRONG_SINK.indexOf('TOPPIC') + 1),
};

/** What each of the programs in other languages has to have found. */
const CHECKS = [
  'connects without a password',
  'connects with a password',
  'is refused with a wrong one',
  'runs simple and prepared queries',
  'has our statements in a transaction',
  'copies in and out',
  'sees every field of an error',
  'cancels',
  'cancels a statement of ours',
  'hears notifications',
  'reads metadata',
  'reads a large result in portions',
  'verifies the certificate',
];

describe.each([
  ['JDBC', () => runJavaProgram(world.environment, world.directory)],
  ['psycopg', () => runPythonProgram(world.environment)],
] as const)('%s', (_, start) => {
  let found: Findings;
  beforeAll(async () => {
    found = await start();
  });

  test.each(CHECKS)('%s', check => expect(found.get(check)).toBe('ok'));
  test('there are no other checks', () => expect([...found.keys()]).toEqual(CHECKS));
});

describe('node pg', () => {
  let client: pg.Client;
  const connect = async (connectionString: string) => {
    const connected = new pg.Client({connectionString});
    await connected.connect();
    return connected;
  };
  beforeAll(async () => {
    client = await connect(world.url);
    await client.query('CREATE SCHEMA of_pg');
    await client.query('SET search_path = of_pg');
    await client.query('CREATE TABLE items (id integer PRIMARY KEY, name text NOT NULL)');
  });
  afterAll(async () => await client.end());

  test('connects without a password, and with a wrong one not', async () => {
    await (await connect(world.openUrl)).end();
    const wrong = new URL(world.url);
    wrong.password = 'wrong';
    await expect(connect(wrong.href)).rejects.toMatchObject({code: '28P01'});
  });

  test('verifies the certificate', async () => {
    const url = new URL(world.url);
    url.hostname = 'localhost';
    const secure = new pg.Client({connectionString: url.href, ssl: {ca: readFileSync(world.authority)}});
    await secure.connect();
    expect((await secure.query('SHOW SINKS')).rows).toEqual([]);
    await secure.end();
  });

  test('runs simple and prepared queries', async () => {
    const insert = {name: 'insert', text: 'INSERT INTO items VALUES ($1, $2)'};
    for (let i = 1; i <= 10; i++) await client.query({...insert, values: [i, `item ${i}`]});
    const {rows} = await client.query('SELECT count(*)::int AS n FROM items');
    expect(rows).toEqual([{n: 10}]);
  });

  test('has our statements in a transaction', async () => {
    await client.query('BEGIN');
    await client.query(CONNECTION);
    await client.query({name: 'sink', text: SINK});
    expect((await client.query({name: 'sinks', text: 'SHOW SINKS'})).rows).toMatchObject([{name: 'items_sink'}]);
    const shown = await client.query('SHOW CREATE SINK items_sink');
    expect(shown.rows).toEqual([
      {name: 'materialize.of_pg.items_sink', create_sql: expect.stringContaining('INTO KAFKA')},
    ]);
    await client.query('ROLLBACK');
    expect((await client.query({name: 'sinks', text: 'SHOW SINKS'})).rows).toEqual([]);
  });

  test('sees every field of an error', async () => {
    await client.query(CONNECTION);
    await expect(client.query(WRONG_SINK)).rejects.toMatchObject(WRONG_SINK_ERROR);
    await expect(client.query({text: WRONG_SINK, name: 'wrong'})).rejects.toMatchObject(WRONG_SINK_ERROR);
    await client.query('DROP CONNECTION kafka');
  });

  test('is cancelled by another session', async () => {
    const sleeping = await connect(world.url);
    const pid = (await sleeping.query<{pid: number}>('SELECT pg_backend_pid() AS pid')).rows[0].pid;
    const end = expect(sleeping.query('SELECT pg_sleep(120)')).rejects.toMatchObject({code: '57014'});
    await poll('the sleep', 60_000, async () => {
      const asleep = "SELECT FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'PgSleep'";
      return (await client.query(asleep, [pid])).rowCount === 1;
    });
    await client.query('SELECT pg_cancel_backend($1)', [pid]);
    await end;
    await sleeping.end();
  });

  test.each(['cancelled by another session', 'ended by statement_timeout'])('a statement of ours is %s', async how => {
    const waiting = new pg.Client({connectionString: world.url, application_name: 'pg waits'});
    await waiting.connect();
    const {rows} = await waiting.query<{pid: number}>('SELECT pg_backend_pid() AS pid');
    if (how.startsWith('ended')) await waiting.query("SET statement_timeout = '500ms'");
    const code = await cancelled(
      'pg waits',
      () => waiting.query(WAITING),
      () => how.startsWith('ended') || client.query('SELECT pg_cancel_backend($1)', [rows[0].pid]),
    );
    expect(code).toBe('57014');
    expect((await waiting.query({name: 'one', text: 'SELECT 1 AS one'})).rows).toEqual([{one: 1}]);
    expect((await waiting.query("SHOW CONNECTIONS FROM public LIKE 'hole'")).rowCount).toBe(1);
    await waiting.end();
  });

  test('hears notifications', async () => {
    const heard: (string | undefined)[] = [];
    client.on('notification', ({payload}) => heard.push(payload));
    await client.query('LISTEN of_pg');
    const other = await connect(world.url);
    await other.query("NOTIFY of_pg, 'hello'");
    await other.end();
    await poll('the notification', 60_000, () => heard.length > 0);
    expect(heard).toEqual(['hello']);
  });

  test('reads a large result in portions', async () => {
    await client.query('BEGIN');
    await client.query('DECLARE portions CURSOR FOR SELECT n FROM generate_series(1, 20000) AS n');
    let sum = 0;
    for (;;) {
      const {rows} = await client.query<{n: number}>('FETCH 1000 FROM portions');
      if (rows.length === 0) break;
      for (const {n} of rows) sum += n;
    }
    await client.query('COMMIT');
    expect(sum).toBe(200_010_000);
  });
});

describe('node postgres', () => {
  let sql: postgres.Sql;
  const connect = (url: string, options: postgres.Options<Record<string, postgres.PostgresType>> = {}) =>
    postgres(url, {onnotice: () => undefined, max: 3, connection: {search_path: 'of_postgres'}, ...options});
  beforeAll(async () => {
    sql = connect(world.url);
    await sql`CREATE SCHEMA of_postgres`;
    await sql`CREATE TABLE items (id integer PRIMARY KEY, name text NOT NULL)`;
  });
  afterAll(async () => await sql.end());

  test('connects without a password, and with a wrong one not', async () => {
    const open = connect(world.openUrl);
    expect(await open`SELECT 1 AS one`).toEqual([{one: 1}]);
    await open.end();
    const wrong = connect(world.url, {password: 'wrong'});
    await expect(wrong`SELECT 1`).rejects.toMatchObject({code: '28P01'});
    await wrong.end();
  });

  test('verifies the certificate', async () => {
    const secure = connect(world.url, {host: 'localhost', ssl: {ca: readFileSync(world.authority)}});
    expect(await secure`SHOW SINKS`).toEqual([]);
    await secure.end();
  });

  test('runs simple, prepared and pipelined queries', async () => {
    const rows = Array.from({length: 100}, (_, i) => ({id: i + 1, name: `item ${i + 1}`}));
    await sql`INSERT INTO items ${sql(rows)}`;
    const names = await Promise.all(rows.map(async ({id}) => await sql`SELECT name FROM items WHERE id = ${id}`));
    expect(names.flat()).toEqual(rows.map(({name}) => ({name})));
    expect(await sql.unsafe('SELECT 1 AS a; SELECT 2 AS b')).toEqual([[{a: 1}], [{b: 2}]]);
  });

  test('has our statements in a transaction', async () => {
    const rolledBack = sql.begin(async transaction => {
      await transaction.unsafe(CONNECTION);
      await transaction.unsafe(SINK, [], {prepare: true});
      expect(await transaction`SHOW SINKS`).toMatchObject([{name: 'items_sink'}]);
      expect(await transaction`SHOW CREATE SINK items_sink`).toMatchObject([
        {create_sql: expect.stringContaining('INTO KAFKA')},
      ]);
      throw new Error('rolled back');
    });
    await expect(rolledBack).rejects.toThrow('rolled back');
    expect(await sql`SHOW SINKS`).toEqual([]);
    expect(await sql`SHOW CONNECTIONS`).toEqual([]);
  });

  test('copies in and out', async () => {
    await sql`CREATE TABLE copied (LIKE items)`;
    const out = await sql`COPY items TO STDOUT`.readable();
    const parts: Buffer[] = [];
    for await (const part of out) parts.push(part as Buffer);
    const into = await sql`COPY copied FROM STDIN`.writable();
    await new Promise<void>((resolve, reject) => {
      into.on('error', reject).on('finish', resolve).end(Buffer.concat(parts));
    });
    expect(await sql`SELECT count(*)::int AS n FROM copied`).toEqual([{n: 100}]);
  });

  test('sees every field of an error', async () => {
    await sql.unsafe(CONNECTION);
    await expect(sql.unsafe(WRONG_SINK)).rejects.toMatchObject(WRONG_SINK_ERROR);
    await expect(sql.unsafe(WRONG_SINK, [], {prepare: true})).rejects.toMatchObject(WRONG_SINK_ERROR);
    await sql`DROP CONNECTION kafka`;
  });

  test('cancels', async () => {
    const sleeping = sql`SELECT pg_sleep(120)`.execute();
    const end = expect(sleeping).rejects.toMatchObject({code: '57014'});
    await poll('the sleep', 60_000, async () => {
      const asleep = await sql`SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND pid <> pg_backend_pid()`;
      return asleep.count === 1;
    });
    sleeping.cancel();
    await end;
  });

  test.each([false, true])('cancels a statement of ours, prepared: %s', async prepare => {
    const waiting = connect(world.url, {max: 1, connection: {application_name: 'postgres waits'}});
    let query: {cancel(): void};
    const code = await cancelled(
      'postgres waits',
      () => (query = waiting.unsafe(WAITING, [], {prepare}).execute()),
      () => {
        query.cancel();
      },
    );
    expect(code).toBe('57014');
    expect(await waiting`SELECT 1 AS one`).toEqual([{one: 1}]);
    expect(await waiting`SHOW CONNECTIONS FROM public LIKE 'hole'`).toHaveLength(1);
    await waiting.end();
  });

  test('hears notifications', async () => {
    const heard: string[] = [];
    const listening = await sql.listen('of_postgres', payload => heard.push(payload));
    await sql.notify('of_postgres', 'hello');
    await poll('the notification', 60_000, () => heard.length > 0);
    expect(heard).toEqual(['hello']);
    await listening.unlisten();
  });

  test('reads a large result in portions', async () => {
    let sum = 0;
    for await (const rows of sql<{n: number}[]>`SELECT n FROM generate_series(1, 20000) AS n`.cursor(1000)) {
      for (const {n} of rows) sum += n;
    }
    expect(sum).toBe(200_010_000);
  });
});

describe('psql', () => {
  const psql = async (script: string, settings: NodeJS.ProcessEnv = {}) => {
    const file = join(world.directory, 'script.sql');
    await writeFile(file, script);
    const options = ['-X', '-q', '-A', '-t', '-v', 'VERBOSITY=verbose', '-f', file];
    const env = {...world.environment, PGOPTIONS: '--welcome_message=off', ...settings};
    const {stdout, stderr} = await run('psql', options, {env, cwd: world.directory});
    return `${stdout}${stderr}`.replaceAll(`psql:${file}:`, '');
  };
  beforeAll(async () => {
    const setUp = `CREATE SCHEMA of_psql; ALTER ROLE materialize SET search_path = of_psql, public;
      CREATE TABLE of_psql.items (id integer PRIMARY KEY, name text NOT NULL);
      INSERT INTO of_psql.items SELECT i, 'item ' || i FROM generate_series(1, 100) AS i;`;
    expect(await psql(setUp)).toBe('');
  });
  afterAll(async () => {
    await psql('ALTER ROLE materialize RESET search_path');
  });

  test('connects with and without a password, and verifies the certificate', async () => {
    const {OPEN_PORT, TLS_ROOT} = world.environment;
    expect(await psql('SELECT 1', {PGPORT: OPEN_PORT, PGPASSWORD: ''})).toBe('1\n');
    await expect(psql('SELECT 1', {PGPASSWORD: 'wrong'})).rejects.toThrow('password authentication failed');
    const secure = {PGSSLMODE: 'verify-full', PGSSLROOTCERT: TLS_ROOT};
    expect(await psql('\\conninfo', secure)).toContain('SSL connection (protocol: TLSv1.');
    await expect(psql('SELECT 1', {...secure, PGHOST: '127.0.0.1'})).rejects.toThrow('does not match host name');
  });

  test('shows how the session begins', async () => {
    const output = await psql('SELECT 1', {PGOPTIONS: '--cluster=of_nobody'});
    expect(output).toMatch(/NOTICE: {2}connected to Sluice v\d.*\n {2}Environment: /);
    expect(output).toContain('NOTICE:  default cluster "of_nobody" does not exist\n');
  });

  test('has our statements in a transaction', async () => {
    const output = await psql(
      `BEGIN; ${CONNECTION}; ${SINK};\nSHOW SINKS;\nSHOW CREATE SINK items_sink;\nROLLBACK;\n\\echo after\nSHOW SINKS;\n`,
    );
    const [within, after] = output.split('after\n');
    expect(within).toContain('items_sink|kafka|quickstart|\n');
    expect(within).toContain('materialize.of_psql.items_sink|CREATE SINK "materialize"."of_psql"."items_sink"');
    expect(after.split('\n')[0]).not.toContain('items_sink');
  });

  test('describes relations, schemas, roles and views of ours', async () => {
    const output = await psql('\\t off\n\\d items\n\\dt\n\\dn\n\\du\n\\d mz_internal.mz_sink_statuses\n');
    expect(output).toContain('id|integer||not null|');
    expect(output).toContain('"items_pkey" PRIMARY KEY, btree (id)');
    expect(output).toContain('of_psql|items|table|materialize');
    expect(output).toMatch(/^mz_internal\|/m);
    expect(output).toContain('materialize|Create role');
    expect(output).toContain('last_status_change_at|timestamp with time zone');
    expect(output).not.toContain('ERROR');
  });

  test('copies in and out, and pages through a large result', async () => {
    const output = await psql(`\\copy items to 'items.csv' csv
CREATE TABLE copied (LIKE items);
\\copy copied from 'items.csv' csv
SELECT count(*) FROM copied;
\\set FETCH_COUNT 1000
SELECT n FROM generate_series(1, 20000) AS n;
`);
    const lines = output.trimEnd().split('\n');
    expect(lines[0]).toBe('100');
    expect(lines.slice(1).reduce((sum, line) => sum + Number(line), 0)).toBe(200_010_000);
  });

  test('shows every field of an error, with a caret', async () => {
    const output = await psql(`${CONNECTION};\n${WRONG_SINK};\nDROP CONNECTION kafka;\n`);
    expect(output).toContain('ERROR:  42704: unknown option "TOPPIC" for Kafka sinks');
    expect(output).toMatch(/LINE 1: .*TOPPIC.*\n +\^\nDETAIL: .*TOPIC CONFIG.*\nHINT: {2}Remove the option/);
  });

  test('Ctrl-C cancels', async () => {
    const script = `SELECT pg_sleep(120);\nSELECT 'still here';\n`;
    const file = join(world.directory, 'sleep.sql');
    await writeFile(file, script);
    const running = run('psql', ['-X', '-q', '-A', '-t', '-f', file], {env: world.environment});
    await poll('the sleep', 60_000, async () => {
      const asleep = "SELECT FROM pg_stat_activity WHERE application_name = 'psql' AND wait_event = 'PgSleep'";
      return (await watcher.query(asleep)).rowCount === 1;
    });
    running.child.kill('SIGINT');
    await expect(running).rejects.toMatchObject({stderr: expect.stringContaining('canceling statement')});
  });

  test('Ctrl-C cancels a statement of ours', async () => {
    const options = ['-X', '-q', '-v', 'VERBOSITY=sqlstate', '-c', WAITING];
    let running: ReturnType<typeof run>;
    const code = await cancelled(
      'psql',
      async () => {
        running = run('psql', options, {env: world.environment});
        await running.catch((error: unknown) => {
          const {stderr} = error as {stderr: string};
          throw Object.assign(new Error(stderr), {code: /ERROR: {2}(\w{5})/.exec(stderr)?.[1]});
        });
      },
      () => running.child.kill('SIGINT'),
    );
    expect(code).toBe('57014');
  });
});

describe('pgbench', () => {
  const pgbench = async (...options: string[]) => {
    const {stdout, stderr} = await run('pgbench', options, {env: world.environment});
    return `${stdout}${stderr}`;
  };
  beforeAll(async () => {
    expect(await pgbench('-i', '-s', '1', '-q')).toContain('done in');
  });

  test.each(['simple', 'extended', 'prepared'])('%s', async protocol => {
    const said = await pgbench('-n', '-M', protocol, '-c', '4', '-j', '2', '-t', '50');
    expect(said).toContain('number of transactions actually processed: 200/200');
    expect(said).toContain('number of failed transactions: 0');
  });
});
