import {readdirSync} from 'node:fs';
import {join} from 'node:path';
import {afterAll, beforeAll, describe, expect, test} from 'vitest';
import {CatalogWorld, VERSIONS} from '../catalog/catalog-world.ts';
import {type Case, readCases, updating, writeCases} from '../sql/case-file.ts';
import {StatementSession} from './statement-session.ts';

const DIRECTORY = join(import.meta.dirname, '../cases/statements');

// A file is one session of the database's owner, in one fresh database, which the files call "materialize".
describe.each(VERSIONS)('PostgreSQL %i', version => {
  describe.each(readdirSync(DIRECTORY))('%s', name => {
    const file = join(DIRECTORY, name);
    const cases = readCases(file);
    const answers: Case[] = [];
    let world: CatalogWorld;
    let session: StatementSession;
    beforeAll(async () => {
      world = await CatalogWorld.open(version);
      session = new StatementSession(await world.session(world.owner));
    });
    afterAll(async () => {
      await world[Symbol.asyncDispose]();
      // A part of the file, picked by name, is not written.
      if (updating && version === VERSIONS[0] && answers.length === cases.length) writeCases(file, answers);
    });

    test.each(cases)('line $line: $input', async one => {
      const database = world.database.address.database;
      const input = one.input.replaceAll(/\bmaterialize\b/g, database).replaceAll('the_owner', world.owner);
      const expected = (await session.transcript(input))
        .replaceAll(database, 'materialize')
        .replaceAll(world.owner, 'the_owner')
        .replaceAll('\n\n', '\n(empty line)\n');
      answers.push({...one, expected});
      if (!updating) expect(expected).toBe(one.expected);
    });
  });
});
