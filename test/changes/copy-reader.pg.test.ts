import {expect, test} from 'vitest';
import {readCopy} from '../../src/changes/copy-reader.ts';
import {connect} from '../../src/engine/connect.ts';
import {ReusingSocket} from '../../src/engine/reusing-socket.ts';
import {locateCopy} from '../../src/types/tuple.ts';
import {createTestDatabase} from '../setup/postgres.ts';

test.each([
  ['into one buffer', {plainSocket: () => new ReusingSocket()}],
  ['into new buffers', {}],
])('rows that are cut by the ends of chunks arrive whole, whatever follows them, read %s', async (_name, options) => {
  await using database = await createTestDatabase();
  const client = await connect(database.address, {applicationName: 'copy reader test', ...options});
  // Of every size around that of a chunk: some chunks end one row and begin the next with nothing between.
  const row = (n: number) => String.fromCharCode(97 + (n % 26)).repeat((n * 7919) % 100_000);
  const seen: boolean[] = [];
  const starts = new Int32Array(2);
  const lengths = new Int32Array(2);
  const query = `COPY (SELECT n, repeat(chr(97 + n % 26), (n * 7919) % 100000) FROM generate_series(0, 999) AS n) TO STDOUT (FORMAT binary)`;
  for await (const rows of readCopy(client, query)) {
    for (let i = 0; i < rows.count; i++) {
      locateCopy(rows.bytes, rows.offsets[i], starts, lengths);
      const n = rows.bytes.readInt32BE(starts[0]);
      seen.push(n === seen.length && rows.bytes.toString('latin1', starts[1], starts[1] + lengths[1]) === row(n));
    }
  }
  await client.end();
  expect(seen.length).toBe(1000);
  expect(seen.indexOf(false)).toBe(-1);
});
