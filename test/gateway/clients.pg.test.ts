import {execFile} from 'node:child_process';
import {mkdtemp, rm, writeFile} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {promisify} from 'node:util';
import pg from 'pg';
import {afterAll, beforeAll, describe, expect, test} from 'vitest';
import {poll} from '../../scripts/process/poll.ts';
import {GatewayWorld} from './gateway-world.ts';
import {psqlEnvironment} from './psql-environment.ts';

const run = promisify(execFile);

let world: GatewayWorld;
beforeAll(async () => {
  world = await GatewayWorld.open(
    18,
    `CREATE TABLE t (id int PRIMARY KEY, name text); INSERT INTO t VALUES (1, 'eins'), (2, 'zwei');`,
  );
});
afterAll(async () => await world[Symbol.asyncDispose]());

describe('psql', () => {
  let directory: string;
  beforeAll(async () => (directory = await mkdtemp(join(tmpdir(), 'sluice-psql-'))));
  afterAll(async () => await rm(directory, {recursive: true, force: true}));

  const psql = async (url: string, script: string): Promise<string> => {
    const file = join(directory, 'script.sql');
    await writeFile(file, script);
    const {stdout, stderr} = await run('psql', ['-X', '-q', '-f', file], {env: psqlEnvironment(url), cwd: directory});
    return `${stdout}${stderr}`.replaceAll(directory, '');
  };

  test('a script of meta-commands, COPY, cursors and errors reads as it does directly', async () => {
    const script = String.raw`
\set VERBOSITY verbose
\d t
\dt
\l nothing
SELECT * FROM t \gdesc
SELECT id, name FROM t ORDER BY id \gx
\copy t to 'rows.csv' csv
BEGIN;
DELETE FROM t;
\copy t from 'rows.csv' csv
SELECT count(*) FROM t;
\set FETCH_COUNT 1
SELECT * FROM t ORDER BY id;
\unset FETCH_COUNT
ROLLBACK;
SELECT 1 AS a \; SELECT 2 AS b;
SELECT $1, $2 \bind 'x' 'y' \g
SELECT missing FROM t;
COPY t TO STDOUT;
COPY t FROM STDIN;
x
\.
`;
    expect(await psql(world.through, script)).toBe(await psql(world.direct, script));
  });

  test('ours, with notices and a caret', async () => {
    const output = await psql(
      world.through,
      'OURS SHOW;\nOURS NOTICE;\nBEGIN; OURS RUN DELETE FROM t; ROLLBACK;\nOURS SYNTAX;\n',
    );
    expect(output).toContain(' 2 | b');
    expect(output).toContain('NOTICE:  something to know');
    expect(output).toMatch(/LINE 1: OURS SYNTAX;?\n +\^/);
  });
});

describe('node pg', () => {
  let client: pg.Client;
  beforeAll(async () => {
    client = new pg.Client({connectionString: world.through});
    await client.connect();
  });
  afterAll(async () => await client.end());

  test('parameters, prepared statements and ours between them', async () => {
    const named = {name: 'by id', text: 'SELECT name FROM t WHERE id = $1'};
    expect((await client.query({...named, values: [1]})).rows).toEqual([{name: 'eins'}]);
    expect((await client.query('OURS RUN INSERT INTO t VALUES (3)')).command).toBe('OURS');
    expect((await client.query({name: 'ours', text: 'OURS RUN UPDATE t SET name = id::text'})).command).toBe('OURS');
    expect((await client.query({name: 'ours', text: 'OURS RUN UPDATE t SET name = id::text'})).command).toBe('OURS');
    expect((await client.query({...named, values: [3]})).rows).toEqual([{name: '3'}]);
    const shown = await client.query({text: 'OURS SHOW WHERE id = $1', values: [2]});
    expect(shown.rows).toEqual([{id: 2, name: 'b'}]);
  });

  test('errors of ours carry code, detail and hint', async () => {
    await expect(client.query('OURS FAIL')).rejects.toMatchObject({
      code: '42704',
      severity: 'ERROR',
      detail: 'None.',
      hint: 'Make it.',
    });
    await expect(client.query('OURS CATCH SELECT 1/0')).rejects.toMatchObject({code: 'P0001', message: 'caught'});
    await expect(client.query('OURS RUN SELECT 1/0')).rejects.toMatchObject({code: '22012', where: undefined});
  });

  test('a listener hears others', async () => {
    const heard: (string | undefined)[] = [];
    const listener = new pg.Client({connectionString: world.through});
    await listener.connect();
    listener.on('notification', ({payload}) => heard.push(payload));
    await listener.query('LISTEN channel');
    await client.query("NOTIFY channel, 'hello'");
    await poll('the notification', 30_000, () => heard.length === 1);
    expect(heard).toEqual(['hello']);
    await listener.end();
  });
});

describe('pgbench', () => {
  beforeAll(async () => {
    await run('pgbench', ['-i', '-s', '1', '-q'], {env: psqlEnvironment(world.through)});
  });

  test.each(['simple', 'extended', 'prepared'])('%s', async mode => {
    const {stdout} = await run('pgbench', ['-n', '-M', mode, '-c', '4', '-t', '25'], {
      env: psqlEnvironment(world.through),
    });
    expect(stdout).toContain('number of transactions actually processed: 100/100');
    expect(stdout).toContain('number of failed transactions: 0');
  });

  test('pipelines', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'sluice-pgbench-'));
    const file = join(directory, 'pipeline.sql');
    await writeFile(
      file,
      '\\startpipeline\n' + 'SELECT abalance FROM pgbench_accounts WHERE aid = 1;\n'.repeat(20) + '\\endpipeline\n',
    );
    const options = ['-n', '-M', 'prepared', '-c', '4', '-t', '25', '-f', file];
    const {stdout} = await run('pgbench', options, {env: psqlEnvironment(world.through)});
    await rm(directory, {recursive: true});
    expect(stdout).toContain('number of transactions actually processed: 100/100');
  });
});
