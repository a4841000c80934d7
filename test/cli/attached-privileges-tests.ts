import {execFile} from 'node:child_process';
import {readFile} from 'node:fs/promises';
import {promisify} from 'node:util';
import pg from 'pg';
import {afterAll, beforeAll, expect, test} from 'vitest';
import type {PostgresVersion} from '../../scripts/postgres/binaries.ts';
import {MIGRATIONS} from '../../src/catalog/migrate.ts';
import {examineServer, parseEngineUrl} from '../../src/engine/attached.ts';
import {eventTriggerStatements, EVENT_TRIGGERS} from '../../src/engine/attached-event-triggers.ts';
import {uninstall} from '../../src/cli/uninstall.ts';
import {catalogSnapshot} from './attached-catalog.ts';
import {AttachedWorld, type Command} from './attached-world.ts';

const PAGE = new URL('../../docs/attached-mode.md', import.meta.url);

/** The statements of the manual, for these roles and this database. */
async function manual(part: string, names: Readonly<Record<string, string>>): Promise<string> {
  const page = await readFile(PAGE, 'utf8');
  const block = new RegExp(`<!-- roles: ${part} -->\\s*\`\`\`sql\\n([^]*?)\`\`\``).exec(page);
  if (block === null) throw new Error(`the manual has no statements for "${part}"`);
  return block[1].replaceAll(/\b(sluice|shop|app)\b(?!\.)/g, name => names[name]);
}

const LAST_MIGRATION = MIGRATIONS.at(-1)!;
const MADE_BY_THE_LAST = [...LAST_MIGRATION.sql.matchAll(/^CREATE (TABLE|VIEW|FUNCTION) (\w+\.\w+)/gm)].map(
  ([, kind, name]) => ({kind, name}),
);
/** Takes the last migration back, as if an older Sluice had been here. Of one that changes what others have made this cannot be done so. */
const BEFORE_THE_LAST = [
  ...MADE_BY_THE_LAST.map(({kind, name}) => `DROP ${kind} ${name};`).reverse(),
  `DELETE FROM mz_sluice.migration WHERE version = ${LAST_MIGRATION.version}`,
].join('\n');

/** A Sluice with no more rights than the manual asks for. */
export function describeLeastPrivileges(version: PostgresVersion): void {
  let world: AttachedWorld;
  let before: Record<string, unknown[]>;
  let role: string;
  let url: string;
  let sluice: Command;
  let client: pg.Client;
  let names: Readonly<Record<string, string>>;
  let orders: string;

  beforeAll(async () => {
    world = await AttachedWorld.open(version);
    await world.admin.query(`SET ROLE ${world.app};
      CREATE TABLE orders (id int PRIMARY KEY, amount int);
      CREATE TABLE parted (id int PRIMARY KEY) PARTITION BY RANGE (id);
      CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (100);
      CREATE TABLE fired (n int);
      CREATE FUNCTION fire() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN INSERT INTO fired VALUES (1); RETURN NULL; END $$;
      CREATE TRIGGER fire AFTER DELETE ON orders FOR EACH STATEMENT EXECUTE FUNCTION fire();
      RESET ROLE; CREATE TABLE others (id int PRIMARY KEY); GRANT SELECT ON others TO ${world.app}`);
    role = world.reserveRole();
    names = {sluice: role, shop: world.database.address.database, app: world.app};
    await world.admin.query((await manual('least', names)).replace("'secret'", "'pw'"));
    before = await catalogSnapshot(world.admin);
    url = world.urlOf(role);
    sluice = await world.start([], url);
    client = await world.through(sluice, world.app);
    // Nobody else owns the cluster, and the database is a superuser's.
    const owner = await world.through(sluice, role);
    await owner.query(`GRANT CREATE ON CLUSTER quickstart TO ${world.app}`);
  }, 300_000);
  afterAll(() => world[Symbol.asyncDispose](), 60_000);

  test('a sink of the user works: snapshot, changes, TRUNCATE', async () => {
    await client.query('INSERT INTO orders VALUES (1, 10), (2, 20), (3, 30)');
    const topic = (await world.createSinks(client, ['orders'])).get('orders')!;
    await client.query('UPDATE orders SET amount = 11 WHERE id = 1; DELETE FROM orders WHERE id = 2');
    await world.caughtUp('orders_sink');
    expect(await world.finalState(topic)).toEqual([
      {id: 1, amount: 11},
      {id: 3, amount: 30},
    ]);
    await client.query('TRUNCATE fired; TRUNCATE orders; INSERT INTO orders VALUES (4, 40)');
    await world.caughtUp('orders_sink');
    expect(await world.finalState(topic)).toEqual([{id: 4, amount: 40}]);
    // As the manual says: the user's trigger has seen the TRUNCATE.
    expect((await client.query('SELECT n FROM fired')).rowCount).toBe(1);
  }, 300_000);

  test('psql with a role of the user', async () => {
    const url = await world.urlThrough(sluice, world.app);
    const psql = async (...statements: readonly string[]) =>
      (
        await promisify(execFile)('psql', [
          '-XAtq',
          '-v',
          'ON_ERROR_STOP=1',
          ...statements.flatMap(text => ['-c', text]),
          url,
        ])
      ).stdout;
    expect(
      await psql('SELECT current_user', 'SHOW search_path', 'SELECT name FROM mz_sinks', 'SELECT count(*) FROM orders'),
    ).toBe(`${world.app}\n"$user", public\norders_sink\n1\n`);
    await expect(
      promisify(execFile)('psql', ['-w', '-c', 'SELECT 1', await world.urlThrough(sluice, world.app, 'wrong')]),
    ).rejects.toMatchObject({
      stderr: expect.stringContaining('password authentication failed'),
    });
  }, 300_000);

  test('what the rights are not enough for is refused with the statement that helps', async () => {
    const sink = (table: string) =>
      client.query(
        `CREATE SINK no FROM ${table} INTO KAFKA CONNECTION kafka (TOPIC 'no') KEY (id) NOT ENFORCED FORMAT JSON ENVELOPE UPSERT`,
      );
    await expect(sink('parted')).rejects.toMatchObject({
      code: '0A000',
      message: expect.stringContaining('without event triggers'),
    });
    const owner = new URL(world.database.url).username;
    await expect(sink('others')).rejects.toMatchObject({
      code: '42501',
      hint: `Run GRANT ${owner} TO ${role} as an administrator of PostgreSQL.`,
    });
    const stranger = await world.createRole(`LOGIN PASSWORD 'pw'`);
    await world.admin.query(`GRANT CREATE ON SCHEMA public TO ${stranger}`);
    await expect(
      (await world.through(sluice, stranger)).query(
        `CREATE CONNECTION theirs TO KAFKA (BROKER 'localhost:1', SECURITY PROTOCOL 'PLAINTEXT') WITH (VALIDATE = false)`,
      ),
    ).rejects.toMatchObject({
      code: '42501',
      hint: `Run GRANT ${stranger} TO ${role} as an administrator of PostgreSQL.`,
    });
  }, 300_000);

  test('rewritten values stall the sink, compaction and harmless DDL do not', async () => {
    await client.query('VACUUM FULL orders');
    await world.lookedAgain('orders_sink', 'orders');
    await client.query('ALTER TABLE orders ALTER amount SET STATISTICS 10');
    await world.lookedAgain('orders_sink', 'orders');
    expect((await world.until('orders_sink', () => true)).status).toBe('running');
    await client.query('ALTER TABLE orders ALTER amount TYPE int USING amount + 1');
    const {error, details} = await world.until('orders_sink', ({status}) => status === 'stalled');
    expect(error).toContain('ALTER TABLE may have rewritten column "amount"');
    expect(details).toMatchObject({code: 'SL007'});
    await client.query('DROP SINK orders_sink');
  }, 300_000);

  test('with what takes a superuser: partitions, and TRUNCATE that nobody notices', async () => {
    const troubles = async () =>
      (await examineServer(parseEngineUrl(url, {}))).flatMap(({check, status}) => (status === 'ok' ? [] : [check]));
    expect(await troubles()).toEqual(['event triggers', 'session_replication_role', 'tables']);
    const statements = await manual('event triggers', {});
    expect(statements.split(';\n').slice(0, -1)).toEqual(EVENT_TRIGGERS.flatMap(eventTriggerStatements));
    await world.admin.query(statements);
    await world.admin.query(await manual('quiet', names));
    expect(await troubles()).toEqual(['tables']);
    await sluice.end();
    sluice = await world.start([], url);
    client = await world.through(sluice, world.app);

    const topics = await world.createSinks(client, ['orders', 'parted']);
    orders = topics.get('orders')!;
    await client.query('CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM (100) TO (200)');
    await client.query('INSERT INTO parted VALUES (1), (150), (151); DELETE FROM parted WHERE id = 150');
    await client.query('TRUNCATE fired; TRUNCATE orders');
    await world.caughtUp('parted_sink');
    await world.caughtUp('orders_sink');
    expect(await world.finalState(topics.get('parted')!)).toEqual([{id: 1}, {id: 151}]);
    expect(await world.finalState(orders)).toEqual([]);
    expect((await client.query('SELECT n FROM fired')).rowCount).toBe(0);

    // Somebody takes them away again.
    await world.admin.query('ALTER EVENT TRIGGER sluice_after_ddl DISABLE');
    const {details} = await world.until('parted_sink', ({status}) => status === 'stalled');
    expect(details).toMatchObject({code: 'SL007'});
    await client.query('DROP TABLE parted_2');
  }, 300_000);

  test('a newer Sluice brings the state up to date with the same rights, and its sinks go on', async () => {
    await sluice.end();
    await world.admin.query(`ALTER EVENT TRIGGER sluice_after_ddl ENABLE ALWAYS; SET ROLE ${role}; ${BEFORE_THE_LAST}`);
    await world.admin.query('RESET ROLE');
    sluice = await world.start([], url);
    client = await world.through(sluice, world.app);
    const {rows} = await world.admin.query(
      `SELECT (SELECT max(version) FROM mz_sluice.migration) AS version, owner::regrole::text, count(*)::int AS made
       FROM (SELECT relowner, oid::regclass::text FROM pg_class UNION ALL SELECT proowner, oid::regproc::text FROM pg_proc) AS made (owner, name)
       WHERE name = ANY ($1) GROUP BY owner`,
      [MADE_BY_THE_LAST.map(({name}) => name)],
    );
    expect(rows).toEqual([{version: LAST_MIGRATION.version, owner: role, made: MADE_BY_THE_LAST.length}]);
    expect(MADE_BY_THE_LAST.length).toBeGreaterThan(0);
    await client.query('INSERT INTO orders VALUES (5, 50)');
    await world.caughtUp('orders_sink');
    expect(await world.finalState(orders)).toEqual([{id: 5, amount: 50}]);
  }, 300_000);

  test('uninstalled by the same role, with the event triggers of the superuser', async () => {
    await sluice.end();
    expect(await uninstall({config: {postgres: url, yes: true, force: false}, out: {write: () => true}})).toBe(true);
    await world.admin.query('ALTER TABLE orders ALTER amount SET STATISTICS -1');
    const now = await catalogSnapshot(world.admin);
    // ALTER COLUMN … TYPE has left a mark of the user's own.
    expect({...now, pg_attribute: [], pg_depend: [], pg_class: []}).toEqual({
      ...before,
      pg_attribute: [],
      pg_depend: [],
      pg_class: [],
    });
    const identities = (rows: unknown[]) =>
      (rows as {relname: string; relreplident: string}[]).map(row => [row.relname, row.relreplident]);
    expect(identities(now['pg_class'])).toEqual(identities(before['pg_class']));
  }, 300_000);
}
