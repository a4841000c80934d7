import {execFile} from 'node:child_process';
import {promisify} from 'node:util';
import {afterAll, beforeAll, expect, test} from 'vitest';
import type {PostgresVersion} from '../../scripts/postgres/binaries.ts';
import {describeFailure} from '../../src/cli/report-error.ts';
import {planUninstall, uninstall} from '../../src/cli/uninstall.ts';
import {connect} from '../../src/engine/connect.ts';
import {catalogSnapshot} from './attached-catalog.ts';
import {AttachedWorld} from './attached-world.ts';

/** A database with habits of its own. */
const THEIRS = `
CREATE TABLE plain (id int PRIMARY KEY, body text);
CREATE TABLE by_index (id int NOT NULL, body text);
CREATE UNIQUE INDEX by_index_key ON by_index (id);
ALTER TABLE by_index REPLICA IDENTITY USING INDEX by_index_key;
CREATE TABLE nothing (id int, body text);
ALTER TABLE nothing REPLICA IDENTITY NOTHING;
CREATE TABLE whole (id int, body text);
ALTER TABLE whole REPLICA IDENTITY FULL;
CREATE TABLE parted (id int NOT NULL, body text) PARTITION BY RANGE (id);
CREATE TABLE parted_1 PARTITION OF parted FOR VALUES FROM (0) TO (100);
CREATE UNIQUE INDEX parted_1_key ON parted_1 (id);
ALTER TABLE parted_1 REPLICA IDENTITY USING INDEX parted_1_key;
CREATE TABLE log (at timestamptz DEFAULT now(), tag text);
CREATE FUNCTION note() RETURNS event_trigger LANGUAGE plpgsql SET search_path = public AS $$ BEGIN INSERT INTO log (tag) VALUES (tg_tag); END $$;
CREATE PUBLICATION theirs FOR TABLE plain, by_index WHERE (id > 3);
`;
const TABLES = ['plain', 'by_index', 'nothing', 'whole', 'parted'];

export function describeUninstall(version: PostgresVersion): void {
  let world: AttachedWorld;
  let before: Record<string, unknown[]>;
  let dumped: string;

  beforeAll(async () => {
    world = await AttachedWorld.open(version);
    await world.admin.query(`SET ROLE ${world.app}; ${THEIRS.replace(/CREATE PUBLICATION.*/, '')}; RESET ROLE`);
    await world.admin.query(/CREATE PUBLICATION.*/.exec(THEIRS)![0]);
    await world.admin.query(
      `CREATE EVENT TRIGGER theirs ON ddl_command_end WHEN TAG IN ('CREATE SEQUENCE') EXECUTE FUNCTION note()`,
    );
    await world.admin.query(
      `SELECT pg_create_logical_replication_slot('theirs_' || oid, 'test_decoding') FROM pg_database WHERE datname = current_database()`,
    );
    before = await catalogSnapshot(world.admin);
    dumped = await dump();
  }, 300_000);
  afterAll(() => world[Symbol.asyncDispose](), 60_000);

  /** As pg_dump sees it; Debian's reads servers up to its own version. */
  async function dump(): Promise<string> {
    if (version !== 15) return '';
    const {stdout} = await promisify(execFile)('pg_dump', ['--schema-only', world.database.url]);
    // A number of its own in every dump.
    return stdout.replaceAll(/^\\(un)?restrict .*$/gm, '');
  }

  async function expectNoTrace(): Promise<void> {
    expect(await catalogSnapshot(world.admin)).toEqual(before);
    expect(await dump()).toBe(dumped);
  }

  async function install() {
    const sluice = await world.start(['--internal-listen', '127.0.0.1:0']);
    const [, port] = await sluice.says(
      /"port":(\d+),"msg":"administrators can connect"|administrators can connect[^]*?port[^\d]*(\d+)/,
    );
    const boss = await world.connect(Object.assign(new URL(world.database.url), {port}).href);
    await boss.query(`GRANT CREATE ON CLUSTER quickstart TO ${world.app}`);
    const client = await world.through(sluice, world.app);
    await world.createSinks(client, TABLES);
    return {sluice, client};
  }

  /** Resolves with what is printed, or with what the error says. */
  async function run(flags: {readonly yes?: boolean; readonly force?: boolean} = {}): Promise<string> {
    let printed = '';
    const config = {postgres: world.database.url, yes: false, force: false, ...flags};
    try {
      const done = await uninstall({config, out: {write: text => (printed += text)}});
      expect(done).toBe(config.yes || printed.startsWith('There is nothing'));
      return printed;
    } catch (error) {
      return describeFailure(error);
    }
  }

  test('refuses while a Sluice runs, says what it would do, survives being cut off after each step, and leaves no trace', async () => {
    expect(await run({yes: true})).toBe('There is nothing of Sluice in this database.\n');
    const {sluice, client} = await install();
    // DDL and TRUNCATE while sinks look on.
    await client.query(
      `INSERT INTO parted SELECT n, 'x' FROM generate_series(1, 9) AS n; INSERT INTO plain VALUES (1, 'a')`,
    );
    await client.query('CREATE TABLE parted_2 PARTITION OF parted FOR VALUES FROM (100) TO (200)');
    await client.query('ALTER TABLE parted_2 REPLICA IDENTITY FULL');
    await client.query('DROP TABLE parted_2; TRUNCATE plain, parted');

    const refused = await run({yes: true});
    expect(refused).toContain('a Sluice is running on this database');
    expect(refused).toContain('sluice supervisor (pid ');
    await sluice.end();

    const said = (await run()).split('\n');
    expect(said.at(-2)).toBe('Nothing has been done yet: add --yes to do it.');
    expect(said[0]).toMatch(/^drop replication slot "sluice_\d+_u1"$/);
    expect(said[1]).toMatch(/^drop publication "sluice_\d+_u1"$/);
    for (const table of [...TABLES, 'parted_1'])
      expect(said).toContain(`restore the replica identity of public.${table}`);
    expect(said).toContain('drop event trigger sluice_after_ddl');
    expect(said).toContain('drop schema mz_catalog, mz_internal, mz_sluice with everything in it');

    // Cut off after every single step.
    for (let left = 100; left > 0; left--) {
      const connection = await connect(world.database.address, {applicationName: 'sluice uninstall'});
      const [step] = await planUninstall(connection);
      await step?.run(connection);
      await connection.end();
      if (step === undefined) break;
    }
    await expectNoTrace();
    expect(await run({yes: true})).toBe('There is nothing of Sluice in this database.\n');
  }, 300_000);

  test('takes nothing of the user along; with --force also beside a Sluice that goes on trying', async () => {
    const {sluice} = await install();
    await world.admin.query(
      'CREATE VIEW mine AS SELECT name FROM mz_catalog.mz_sinks; CREATE TABLE also_mine (n mz_catalog.uint8)',
    );
    expect(await run({yes: true, force: true})).toMatch(
      /objects of your own depend on the catalog of Sluice[^]*column n of table public.also_mine[^]*on view public.mine/,
    );
    const slots = await world.admin.query('SELECT FROM pg_replication_slots WHERE database = current_database()');
    expect(slots.rowCount).toBe(2);
    await world.admin.query('DROP VIEW mine; DROP TABLE also_mine');

    const forced = await world.command(['uninstall', '--postgres', world.database.url, '--yes', '--force']);
    expect(await forced.ended()).toBe('code 0');
    expect(await forced.printed()).toContain('Sluice is uninstalled.');
    await sluice.end();
    await expectNoTrace();
  }, 300_000);
}
