import pg from 'pg';
import {expect, test} from 'vitest';
import {briefTransaction} from '../../src/cluster/brief-transaction.ts';
import {createTestDatabase} from '../setup/postgres.ts';

test('all or nothing; it does not wait for a lock that somebody keeps, and its connection is good afterwards', async () => {
  await using database = await createTestDatabase();
  const client = new pg.Client({connectionString: database.url});
  const other = new pg.Client({connectionString: database.url});
  await client.connect();
  await other.connect();
  try {
    const add = (value: string) =>
      briefTransaction(client, async () => {
        await client.query('INSERT INTO kept VALUES (1)');
        await client.query(`UPDATE taken SET a = ${value}`);
      });
    await client.query('CREATE TABLE kept (a int); CREATE TABLE taken (a int); INSERT INTO taken VALUES (1)');
    await other.query('BEGIN; UPDATE taken SET a = 2');
    expect(await add('3')).toBe(false);
    await other.query('ROLLBACK');
    await expect(add('1/0')).rejects.toMatchObject({code: '22012'});
    expect(await add('3')).toBe(true);
    const {rows} = await client.query('SELECT (SELECT count(*)::int FROM kept) AS kept, a FROM taken');
    expect(rows).toEqual([{kept: 1, a: 3}]);
  } finally {
    await client.end();
    await other.end();
  }
});
