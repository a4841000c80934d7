import {expect, test} from 'vitest';
import {publishRelation, withdrawRelation} from '../../src/changes/hand-over.ts';
import {World} from './world.ts';

/** Whichever comes first, while a transaction is open that has written to the table. */
async function publishBesideWriter(world: World, relation: number): Promise<'published' | 'waits'> {
  const writer = await world.connect();
  await writer.query('BEGIN; INSERT INTO t VALUES (1)');
  let heard: (whom: string) => void = () => undefined;
  const waits = new Promise<'waits'>(resolve => {
    heard = () => resolve('waits');
  });
  const published = publishRelation(await world.connect(), {
    publication: world.name,
    relation,
    waiting: whom => heard(whom),
  });
  const first = await Promise.race([waits, published.then(() => 'published' as const)]);
  await writer.query('COMMIT');
  await published;
  return first;
}

test('a second sink of a table waits for those who are writing', async () => {
  await using world = await World.open();
  await world.client.query('CREATE TABLE t (id int)');
  const relation = await world.oid('t');
  await publishRelation(world.client, {publication: world.name, relation, waiting: () => undefined});
  expect(await publishBesideWriter(world, relation)).toBe('waits');
});

test('the publication waits for those who are writing, also where the table needs nothing else', async () => {
  await using world = await World.open();
  await world.client.query('CREATE TABLE t (id int)');
  const relation = await world.oid('t');
  const options = {publication: world.name, relation, waiting: () => undefined};
  // As if for a sink of another cluster, so that identity and trigger are there.
  await publishRelation(world.client, options);
  await withdrawRelation(world.client, {...options, restoreIdentity: false});
  expect(await publishBesideWriter(world, relation)).toBe('waits');
});
