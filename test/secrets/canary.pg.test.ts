import {randomBytes} from 'node:crypto';
import fs from 'node:fs';
import net from 'node:net';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import pg from 'pg';
import {afterAll, beforeAll, describe, expect, test, vi} from 'vitest';
import {PostgresServer} from '../../scripts/postgres/server.ts';
import {poll} from '../../scripts/process/poll.ts';
import {AesSecretBox} from '../../src/catalog/aes-secret-box.ts';
import {secretKey} from '../../src/catalog/secret-key.ts';
import {parse} from '../../src/gateway/frontend-messages.ts';
import {REQUEST_CODE} from '../../src/gateway/startup-packet.ts';
import {B, D, E, H, P, Q, S, d, f} from '../gateway/messages.ts';
import {RawClient} from '../gateway/raw-client.ts';
import type {Message} from '../gateway/raw-client.ts';
import {Canary} from './canary.ts';
import {SluiceCommand, processTree, readProc} from './sluice-command.ts';

// Processes are started on a machine that has other things to do.
vi.setConfig({testTimeout: 300_000, hookTimeout: 300_000});

/** Everything that PostgreSQL can be told to write down about statements. */
const TALKATIVE = {
  log_statement: 'all',
  log_min_duration_statement: '0',
  log_duration: 'on',
  log_parameter_max_length: '-1',
  log_parameter_max_length_on_error: '-1',
  log_min_messages: 'debug1',
  log_min_error_statement: 'debug5',
  log_error_verbosity: 'verbose',
  debug_print_parse: 'on',
  debug_print_rewritten: 'on',
  shared_preload_libraries: 'pg_stat_statements',
  'pg_stat_statements.track': 'all',
  'pg_stat_statements.track_utility': 'on',
  track_activity_query_size: '65536',
};

type Send = (client: RawClient, canary: string, name: string) => Promise<Message[]>;

const simple =
  (text: (canary: string, name: string) => string | Buffer): Send =>
  async (client, canary, name) => {
    client.send(Q(text(canary, name)));
    return await client.ready();
  };
const extended =
  (...frames: readonly ((canary: string, name: string) => Buffer)[]): Send =>
  async (client, canary, name) => {
    client.send(...frames.map(frame => frame(canary, name)), S);
    return await client.ready();
  };
const hex = (text: string) => Buffer.from(text).toString('hex');
const escapes = (text: string) => hex(text).replace(/../g, '\\x$&');

/** Ways in which the value of a secret can arrive, the well-formed first. */
const ARRIVALS: Readonly<Record<string, Send>> = {
  simple: simple((canary, name) => `CREATE SECRET ${name} AS '${canary}'`),
  'simple, as hexadecimal digits': simple((canary, name) => `CREATE SECRET ${name} AS '\\x${hex(canary)}'`),
  'simple, as base64': simple(
    (canary, name) => `CREATE SECRET ${name} AS decode('${Buffer.from(canary).toString('base64')}', 'base64')`,
  ),
  'simple, as escapes': simple((canary, name) => `CREATE SECRET ${name} AS E'${escapes(canary)}'`),
  'simple, in dollars and pieces': simple(
    (canary, name) => `CREATE /* a */ SECRET ${name} AS $q$${canary}$q$ || convert_to('x' || '${canary}', 'utf8')`,
  ),
  'ALTER SECRET': simple((canary, name) => `CREATE SECRET ${name} AS 'x'; ALTER SECRET ${name} AS '${canary}'`),
  'ALTER of one that is not there': simple((canary, name) => `ALTER SECRET ${name} AS '${canary}'`),
  'twice the same name': simple((c, name) => `CREATE SECRET ${name} AS '${c}'; CREATE SECRET ${name} AS '${c}'`),
  extended: extended(
    (canary, name) => P(`CREATE SECRET ${name} AS '${canary}'`),
    () => B(),
    () => D(),
    () => E(),
  ),
  'prepared twice': extended(
    (canary, name) => P(`CREATE SECRET ${name} AS '${canary}'`, 'p1'),
    (canary, name) => P(`CREATE SECRET ${name} AS '${canary}'`, 'p1'),
    () => B([], 'p1'),
    () => E(),
  ),
  'prepared, and named in EXECUTE': async (client, canary, name) => {
    client.send(P(`CREATE SECRET ${name} AS '${canary}'`, 'p2'), S, Q('EXECUTE p2'));
    return await client.ready(2);
  },
  'with a parameter': extended(
    (_, name) => P(`CREATE SECRET ${name} AS $1`),
    canary => B([canary]),
    () => E(),
  ),
  'with a parameter too many': extended(
    (canary, name) => P(`CREATE SECRET ${name} AS '${canary}'`),
    canary => B([canary]),
    () => E(),
  ),
  'behind an error, before Sync': extended(
    () => P('SELEC'),
    (canary, name) => P(`CREATE SECRET ${name} AS '${canary}'`),
    (canary, name) => Q(`CREATE SECRET ${name} AS '${canary}'`),
  ),
  'executed in pieces': extended(
    (canary, name) => P(`CREATE SECRET ${name} AS '${canary}'`),
    () => H,
    () => B(),
    () => H,
    () => E(),
  ),
  'among other statements': simple(
    (canary, name) => `SELECT 1; CREATE SECRET ${name} AS '${canary}'; SELECT count(*) FROM pg_class`,
  ),
  'in a transaction that fails': async (client, canary, name) => {
    client.send(Q('BEGIN'), Q(`CREATE SECRET ${name} AS '${canary}'`), Q('SELECT 1/0'), Q('COMMIT'));
    return await client.ready(4);
  },
  'in a transaction that has failed': async (client, canary, name) => {
    client.send(Q('BEGIN; SELECT 1/0'), Q(`CREATE SECRET ${name} AS '${canary}'; SELECT 1`), Q('ROLLBACK'));
    return await client.ready(3);
  },
  'a syntax error of PostgreSQL behind it': simple((canary, name) => `CREATE SECRET ${name} AS '${canary}'; SELEC 1`),
  'a syntax error of ours behind it': simple((canary, name) => `CREATE SECRET ${name} AS '${canary}'; CREATE SINK 1`),
  'an error behind it': simple((canary, name) => `CREATE SECRET ${name} AS '${canary}'; SELECT 1/0`),
  'a syntax error in it': simple((canary, name) => `CREATE SECRET ${name} = '${canary}'`),
  'without quotes': simple((canary, name) => `CREATE SECRET ${name} AS ${canary}`),
  'as the name of a function': simple((canary, name) => `CREATE SECRET ${name} AS ${canary}('x')`),
  'as an unknown encoding': simple((canary, name) => `CREATE SECRET ${name} AS decode('x', '${canary}')`),
  'as an escape character': simple((canary, name) => `CREATE SECRET ${name} AS U&'x' UESCAPE '${canary}'`),
  'as bytes that are no UTF-8': simple((canary, name) => `CREATE SECRET ${name} AS E'${escapes(canary)}\\xff'`),
  'malformed bytea': simple((canary, name) => `CREATE SECRET ${name} AS 'a\\${canary}'`),
  'without the closing quote': simple((canary, name) => `CREATE SECRET ${name} AS '${canary}`),
  'without the closing quote, extended': extended((canary, name) => P(`CREATE SECRET ${name} AS '${canary}`)),
  'behind a quote that is not closed': simple((canary, name) => `SELECT '; CREATE SECRET ${name} AS '${canary}'`),
  'without a semicolon in front': simple((canary, name) => `SELECT 1\nCREATE SECRET ${name} AS '${canary}'`),
  'without a semicolon in front, mixed': simple(
    (canary, name) => `ROLLBACK; SELECT 1 CREATE SECRET ${name} AS '${canary}'`,
  ),
  'within PREPARE': simple((canary, name) => `PREPARE q AS CREATE SECRET ${name} AS '${canary}'`),
  'within EXPLAIN': simple((canary, name) => `EXPLAIN (VERBOSE) CREATE SECRET ${name} AS '${canary}'`),
  'OR REPLACE': simple((canary, name) => `CREATE OR REPLACE SECRET ${name} AS '${canary}'`),
  'in bytes that are no UTF-8': simple((canary, name) =>
    Buffer.concat([Buffer.from(`CREATE SECRET ${name} AS '${canary}`), Buffer.from([0xff]), Buffer.from("'")]),
  ),
  'in bytes that are no UTF-8, extended': extended((canary, name) =>
    parse(
      '',
      Buffer.concat([Buffer.from(`CREATE SECRET ${name} AS '${canary}`), Buffer.from([0xff]), Buffer.from("'")]),
    ),
  ),
  'in another encoding': async (client, canary, name) => {
    client.send(Q('SET client_encoding TO LATIN1'));
    await client.ready();
    client.send(Q(Buffer.from(`CREATE SECRET ${name} AS '${canary}ä'`, 'latin1')), Q("SET client_encoding TO 'UTF8'"));
    return await client.ready(2);
  },
  'with backslashes that escape': async (client, canary, name) => {
    client.send(Q('SET standard_conforming_strings TO off'));
    await client.ready();
    client.send(Q(`CREATE SECRET ${name} AS '\\'${canary}'; CREATE SECRET ${name} AS '${canary}\\'`));
    client.send(Q('SET standard_conforming_strings TO on'));
    return await client.ready(2);
  },
  'with a zero byte': simple((canary, name) => `CREATE SECRET ${name} AS '${canary}'\0`),
  'very long': simple((canary, name) => `CREATE SECRET ${name} AS '${canary.repeat(9000)}'`),
  'too long': simple((canary, name) => `CREATE SECRET ${name} AS '${canary.repeat(20_000)}'`),
  'nested too deeply': simple((canary, name) => `CREATE SECRET ${name} AS ${'('.repeat(500)}'${canary}'`),
  'amid COPY': async (client, canary, name) => {
    client.send(Q('COPY t FROM STDIN'), d('1\n'), Q(`CREATE SECRET ${name} AS '${canary}'`), f, S);
    return await client.ready(1);
  },
};

/** The messages of a client whose statement waits for another one's transaction, and is cancelled then. */
async function cancelledWhileWaiting(url: string, canary: string, watcher: pg.Client): Promise<Message[]> {
  await using first = await RawClient.connect(url);
  await using second = await RawClient.connect(url);
  first.send(Q('BEGIN'), Q(`CREATE SECRET waits AS '${canary}'`));
  const seen = await first.ready(2);
  second.send(Q(`CREATE SECRET waits AS '${canary}'`));
  await poll('a session that waits', 30_000, async () => {
    const {rowCount} = await watcher.query("SELECT FROM pg_stat_activity WHERE pid = $1 AND wait_event_type = 'Lock'", [
      second.processId,
    ]);
    return rowCount === 1;
  });
  const {hostname, port} = new URL(url);
  const request = Buffer.alloc(16);
  [16, REQUEST_CODE.cancel, second.processId, second.secretKey].forEach((field, at) =>
    request.writeInt32BE(field, 4 * at),
  );
  net.connect(Number(port), hostname).end(request);
  seen.push(...(await second.ready()));
  first.send(Q('ROLLBACK'));
  return [...seen, ...(await first.ready())];
}

const KEY = randomBytes(32);

describe.each([18, 15] as const)('PostgreSQL %i', version => {
  const role = `r${randomBytes(4).toString('hex')}`;
  /** Must be nowhere; must be everywhere. */
  const secret = new Canary();
  const control = new Canary();
  let root: string;
  let server: PostgresServer;
  let sluice: SluiceCommand;
  let admin: pg.Client;
  let url: URL;
  let activity = '';
  const answers: {readonly arrival: string; readonly messages: readonly Message[]}[] = [];

  beforeAll(async () => {
    root = fs.mkdtempSync(join(tmpdir(), 'sluice-canary-'));
    server = await PostgresServer.start({version, settings: TALKATIVE});
    sluice = await SluiceCommand.run(
      [
        'start',
        '--postgres',
        server.url,
        '--data-dir',
        join(root, 'data'),
        '--listen',
        '127.0.0.1:0',
        '--log-level',
        'trace',
      ],
      {
        logFile: join(root, 'sluice.log'),
        environment: {
          SLUICE_SECRET_KEY: KEY.toString('hex'),
          // Nothing of ours; it shows that what lies in a report or an environment would be found.
          SLUICE_CONTROL: control.text,
          NODE_OPTIONS: `--report-on-signal --report-directory=${root}`,
        },
      },
    );
    url = await sluice.ready();
    admin = new pg.Client({connectionString: server.url});
    await admin.connect();
    await admin.query(`CREATE EXTENSION pg_stat_statements; CREATE ROLE ${role} LOGIN PASSWORD 'pw'`);
    await admin.query(`GRANT CREATE ON SCHEMA public TO ${role}; CREATE TABLE t (a int); GRANT ALL ON t TO ${role}`);
    url.username = role;
    url.password = 'pw';
  });
  afterAll(async () => {
    await admin.end();
    await sluice[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
    fs.rmSync(root, {recursive: true});
  });

  test('the value arrives in every way', async () => {
    const watcher = new pg.Client({connectionString: server.url});
    await watcher.connect();
    const watched = new AbortController();
    const watching = (async () => {
      const seen = new Set<string>();
      while (!watched.signal.aborted) {
        const {rows} = await watcher.query<{row: string}>('SELECT a::text AS row FROM pg_stat_activity AS a');
        for (const {row} of rows) seen.add(row);
      }
      return [...seen].join('\n');
    })();
    let number = 0;
    for (const [arrival, send] of Object.entries(ARRIVALS)) {
      await using client = await RawClient.connect(url.href);
      const messages = await send(client, secret.text, `s${number++}`);
      // What the session itself could look up afterwards.
      client.send(Q('ROLLBACK; SELECT p::text FROM pg_prepared_statements AS p; SELECT c::text FROM pg_cursors AS c'));
      answers.push({arrival, messages: [...messages, ...(await client.ready())]});
    }
    answers.push({
      arrival: 'cancelled while waiting',
      messages: await cancelledWhileWaiting(url.href, secret.text, admin),
    });
    await using client = await RawClient.connect(url.href);
    client.send(Q(`CREATE TABLE c AS SELECT '${control.text}' AS a; SELECT a AS "${control.text}" FROM c`));
    answers.push({arrival: 'control', messages: await client.ready()});
    client.send(Q(`SELECT pg_sleep(0.2) AS "${control.text}"`));
    await client.ready();
    watched.abort();
    activity = await watching;
    await watcher.end();
  });

  test('it has been kept, sealed', async () => {
    const {rows} = await admin.query<{secret: string; sealed: Buffer}>(
      'SELECT secret, sealed FROM mz_sluice.secret_value',
    );
    const box = new AesSecretBox(() => [secretKey(KEY)]);
    const opened = rows.map(({secret: id, sealed}) => box.open(id, sealed).toString());
    expect(opened.filter(value => value.includes(secret.text)).length).toBeGreaterThanOrEqual(9);
    expect(opened).toContain(secret.text);
  });

  test('each way has been answered, by ReadyForQuery or the end of the connection', () => {
    for (const {arrival, messages} of answers) {
      expect(messages.map(({type}) => type).join(''), arrival).toMatch(/[CE]/);
    }
  });

  test('no answer repeats it', () => {
    const repeating = answers.filter(({messages}) => messages.some(({body}) => secret.formsIn(body).length > 0));
    expect(repeating.map(({arrival}) => arrival)).toEqual([]);
    expect(answers.at(-1)!.messages.some(({body}) => control.formsIn(body).length > 0)).toBe(true);
  });

  test('it is not in pg_stat_activity and not in pg_stat_statements', async () => {
    expect(secret.formsIn(activity)).toEqual([]);
    expect(control.formsIn(activity)).toEqual(['as it is']);
    const {rows} = await admin.query<{row: string}>('SELECT s::text AS row FROM pg_stat_statements AS s');
    const statements = rows.map(({row}) => row).join('\n');
    expect(secret.formsIn(statements)).toEqual([]);
    expect(control.formsIn(statements)).toEqual(['as it is']);
  });

  test('it is in no log, no file of data and no log of changes', async () => {
    await admin.query('CHECKPOINT');
    expect(secret.filesIn(server.directory)).toEqual([]);
    const found = control.filesIn(server.directory).join('\n');
    for (const place of ['/server.log', '/pg_wal/', '/base/']) expect(found).toContain(place);
    expect(secret.filesIn(root)).toEqual([]);
    const levels = new Set([...sluice.output.matchAll(/"level":"(\w+)"/g)].map(([, level]) => level));
    expect(levels.size).toBeGreaterThan(0);
  });

  test('neither it nor the key is in a list of processes, an environment of a child, or a report of a crash', async () => {
    const pids = processTree(sluice.pid);
    expect(pids.length).toBeGreaterThan(1);
    const keyText = KEY.toString('hex');
    for (const pid of pids) {
      expect(secret.formsIn(readProc(`${pid}/cmdline`) + readProc(`${pid}/comm`))).toEqual([]);
      // The first process was given its environment by whoever started it.
      if (pid === sluice.pid) continue;
      const environment = readProc(`${pid}/environ`);
      expect(secret.formsIn(environment)).toEqual([]);
      expect(environment).not.toContain(keyText);
      expect(control.formsIn(environment)).toEqual(['as it is']);
    }
    sluice.signal('SIGUSR2');
    const report = await poll('a report', 30_000, () => {
      const name = fs.readdirSync(root).find(file => file.endsWith('.json'));
      const text = name === undefined ? '' : fs.readFileSync(join(root, name), 'utf8');
      return text.trimEnd().endsWith('}') ? text : undefined;
    });
    expect(secret.formsIn(report)).toEqual([]);
    expect(report).not.toContain(keyText);
    expect(control.formsIn(report)).toEqual(['as it is']);
  });
});
