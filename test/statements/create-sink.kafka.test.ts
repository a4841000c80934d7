import {afterAll, beforeAll, describe, expect, test} from 'vitest';
import {CatalogWorld, VERSIONS} from '../catalog/catalog-world.ts';
import {createTopic, freshTopicName, kafkaAddress} from '../setup/kafka.ts';
import {planStatement} from '../../src/statements/plan.ts';
import {StatementSession} from './statement-session.ts';

describe.each(VERSIONS)('PostgreSQL %i', version => {
  let world: CatalogWorld;
  let session: StatementSession;
  const show = async (text: string) =>
    (await session.transcript(text)).replaceAll(world.database.address.database, 'materialize');

  beforeAll(async () => {
    world = await CatalogWorld.open(version);
    session = new StatementSession(await world.session(world.owner));
    await session.transcript(`
      CREATE TABLE t (id integer PRIMARY KEY, v text);
      CREATE TABLE p (id integer PRIMARY KEY, v text) PARTITION BY RANGE (id);
      CREATE TABLE p1 PARTITION OF p FOR VALUES FROM (0) TO (10);
      CREATE TABLE full_already (id integer PRIMARY KEY);
      ALTER TABLE full_already REPLICA IDENTITY FULL`);
    const connection = `CREATE CONNECTION k TO KAFKA (BROKER '${kafkaAddress()}', SECURITY PROTOCOL PLAINTEXT)`;
    expect(await session.transcript(connection)).toBe('CREATE CONNECTION');
  });
  afterAll(() => world[Symbol.asyncDispose]());

  test('VALIDATE CONNECTION answers when a broker does', async () => {
    expect(await show('VALIDATE CONNECTION k')).toBe('VALIDATE CONNECTION');
  });

  test('a sink is created, shown with the names of the moment, and dropped', async () => {
    const topic = await createTopic();
    expect(
      await show(
        `CREATE SINK IF NOT EXISTS s FROM t INTO KAFKA CONNECTION k (TOPIC '${topic}', COMPRESSION TYPE gzip, TOPIC METADATA REFRESH INTERVAL '1 min') KEY (id) FORMAT JSON ENVELOPE UPSERT WITH (SNAPSHOT = false)`,
      ),
    ).toBe(
      `NOTICE 00000: replica identity of table materialize.public.t will be set to FULL
DETAIL: The log then carries the whole old row of every UPDATE and DELETE.
HINT: Dropping the last sink on the table restores what was before.
CREATE SINK`,
    );
    await session.transcript('ALTER TABLE t RENAME TO renamed; ALTER TABLE renamed RENAME id TO key');
    expect(await show('SHOW CREATE SINK s')).toBe(
      `name | create_sql
materialize.public.s | CREATE SINK "materialize"."public"."s" IN CLUSTER "quickstart" FROM "materialize"."public"."renamed" INTO KAFKA CONNECTION "materialize"."public"."k" (TOPIC = '${topic}', COMPRESSION TYPE = 'gzip', TOPIC METADATA REFRESH INTERVAL = '1 min') KEY ("key") FORMAT JSON ENVELOPE UPSERT WITH (SNAPSHOT = false)
(1 rows)`,
    );
    expect(await show('SHOW REDACTED CREATE SINK s')).toContain(`(TOPIC = '<REDACTED>',`);
    expect(await show('SHOW SINKS IN CLUSTER quickstart')).toBe(
      'name | type | cluster | comment\ns | kafka | quickstart | \n(1 rows)',
    );
    const [{definition, cluster}] = await world.rows(
      `SELECT i.definition, s.cluster FROM mz_sluice.item i JOIN mz_sluice.sink s USING (id) WHERE i.name = 's'`,
    );
    expect(cluster).toBe('u1');
    expect(definition).toMatchObject({
      envelope: 'upsert',
      snapshot: false,
      keyEnforced: true,
      target: {topic, compression: 'gzip', metadataRefreshMs: 60_000, keyFormat: 'json', valueFormat: 'json'},
    });
    expect(await show('DROP CONNECTION k')).toContain(
      'ERROR 2BP01: cannot drop connection "k": still depended upon by sink "s"',
    );
    expect(await show('DROP SINK s; SHOW SINKS')).toBe('DROP SINK\nname | type | cluster | comment\n(0 rows)');
    await session.transcript('ALTER TABLE renamed RENAME key TO id; ALTER TABLE renamed RENAME TO t');
  });

  test('a topic that would not be compacted is worth a notice, one that is there is not', async () => {
    const options = (topic: string, config = '') => `INTO KAFKA CONNECTION k (TOPIC '${topic}'${config}) KEY (id)`;
    const fresh = freshTopicName();
    const notice = 'will be created without cleanup.policy=compact';
    const upsert = 'FORMAT JSON ENVELOPE UPSERT';
    expect(await show(`CREATE SINK n1 FROM full_already ${options(fresh)} ${upsert}`)).toContain(notice);
    const compact = `, TOPIC CONFIG MAP['cleanup.policy' => 'compact,delete']`;
    expect(await show(`CREATE SINK n2 FROM full_already ${options(fresh, compact)} ${upsert}`)).toBe('CREATE SINK');
    expect(await show(`CREATE SINK n3 FROM full_already ${options(fresh)} FORMAT JSON ENVELOPE DEBEZIUM`)).toBe(
      'CREATE SINK',
    );
    expect(await show(`CREATE SINK n4 FROM full_already ${options(await createTopic())} ${upsert}`)).toBe(
      'CREATE SINK',
    );
  });

  test('the leaves of a partitioned table decide about its replica identity', async () => {
    const topic = await createTopic();
    const create = (name: string) =>
      `CREATE SINK ${name} FROM p INTO KAFKA CONNECTION k (TOPIC '${topic}') KEY (id) FORMAT JSON ENVELOPE UPSERT`;
    expect(await show(create('p_first'))).toContain('replica identity of table materialize.public.p');
    await session.transcript('ALTER TABLE p1 REPLICA IDENTITY FULL');
    expect(await show(create('p_second'))).toBe('CREATE SINK');
  });

  test('ROLLBACK leaves nothing', async () => {
    const topic = await createTopic();
    await session.client.query('BEGIN');
    const plan = `CREATE SINK gone FROM t INTO KAFKA CONNECTION k (TOPIC '${topic}') KEY (id) FORMAT JSON ENVELOPE UPSERT`;
    const planned = planStatement(plan);
    if (planned?.kind !== 'run') throw new Error('expected a plan to run');
    await planned.run(session.context());
    expect((await session.client.query(`SELECT FROM mz_sinks WHERE name = 'gone'`)).rowCount).toBe(1);
    await session.client.query('ROLLBACK');
    expect(await show('SHOW CREATE SINK gone')).toContain('ERROR 42704');
  });
});
