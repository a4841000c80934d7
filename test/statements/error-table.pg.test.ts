import {readFileSync, writeFileSync} from 'node:fs';
import {join} from 'node:path';
import {afterAll, beforeAll, describe, expect, test} from 'vitest';
import {CatalogWorld, newSink, VERSIONS} from '../catalog/catalog-world.ts';
import {updating} from '../sql/case-file.ts';
import {StatementSession} from './statement-session.ts';

const FILE = join(import.meta.dirname, '../cases/error-table.txt');

/** A row of the table: what is wrong, and a statement that shows it, or why nothing here can. */
interface Row {
  readonly title: string;
  readonly statement: string | undefined;
  readonly why: string | undefined;
  readonly expected: string;
}

function readRows(): Row[] {
  return readFileSync(FILE, 'utf8')
    .trimEnd()
    .split(/\n\n(?=# )/)
    .map(block => {
      const [title, second, ...rest] = block.split('\n');
      const why = /^# not applicable: (.*)$/.exec(second)?.[1];
      const [statement, expected = ''] = [second, ...rest].join('\n').split('\n----');
      return {
        title: title.slice(2),
        why,
        statement: why === undefined ? statement : undefined,
        expected: expected.trim(),
      };
    });
}

const rows = readRows();

test('every condition that CREATE SINK checks is a row, in the order of the checks', () => {
  const numbers = rows.flatMap(({title}) => /^create sink (\d+):/.exec(title)?.slice(1).map(Number) ?? []);
  expect([...new Set(numbers)]).toEqual(Array.from({length: 32}, (_, n) => n));
  expect(new Set(rows.map(({title}) => title)).size).toBe(rows.length);
});

// Each row stands for itself: the statements change nothing.
describe.each(VERSIONS)('PostgreSQL %i', version => {
  const answers = new Map<string, string>();
  let world: CatalogWorld;
  let session: StatementSession;
  beforeAll(async () => {
    world = await CatalogWorld.open(version);
    const owner = await world.session(world.owner);
    session = new StatementSession(owner);
    await session.transcript(`
      CREATE TABLE t (id integer PRIMARY KEY, v text);
      CREATE VIEW v AS SELECT * FROM t;
      CREATE SECRET pw AS 'x';
      CREATE CONNECTION k TO KAFKA (BROKER '127.0.0.1:1', SECURITY PROTOCOL PLAINTEXT) WITH (VALIDATE = false)`);
    // As it will be stored one day; no statement makes one yet.
    await owner.query(
      `SELECT mz_internal.create_connection('{registry}', '{public}', false, '{"type": "confluent-schema-registry"}', '[]')`,
    );
    await newSink(owner, {name: ['public', 'z'], relation: ['public', 't'], connection: ['public', 'k']});
  });
  afterAll(async () => {
    await world[Symbol.asyncDispose]();
    if (!updating || version !== VERSIONS[0]) return;
    const blocks = rows.map(({title, why, statement}) =>
      why === undefined
        ? `# ${title}\n${statement}\n----\n${answers.get(title)}\n`
        : `# ${title}\n# not applicable: ${why}\n`,
    );
    writeFileSync(FILE, blocks.join('\n'));
  });

  test.each(rows.filter(({why}) => why === undefined))('$title', async ({title, statement, expected}) => {
    const shown = (await session.transcript(statement!)).replaceAll(world.database.address.database, 'materialize');
    answers.set(title, shown);
    if (!updating) expect(shown).toBe(expected);
  });
});
