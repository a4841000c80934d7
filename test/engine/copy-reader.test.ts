import {once} from 'node:events';
import {mkdtemp, rm} from 'node:fs/promises';
import net from 'node:net';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {setImmediate as nextTurn} from 'node:timers/promises';
import type pg from 'pg';
import {describe, expect, test} from 'vitest';
import {poll} from '../../scripts/process/poll.ts';
import {readCopy, type CopyRows} from '../../src/changes/copy-reader.ts';
import {ReusingSocket} from '../../src/engine/reusing-socket.ts';
import {locateCopy} from '../../src/types/tuple.ts';

const LIMIT_MS = 60_000;

function frame(type: string, ...body: Buffer[]): Buffer {
  const head = Buffer.alloc(5);
  head.write(type, 'latin1');
  head.writeInt32BE(4 + body.reduce((sum, part) => sum + part.length, 0), 1);
  return Buffer.concat([head, ...body]);
}

/** A tuple of one text. */
function tuple(text: string): Buffer {
  const head = Buffer.alloc(6);
  head.writeInt16BE(1, 0);
  head.writeInt32BE(Buffer.byteLength(text), 2);
  return Buffer.concat([head, Buffer.from(text)]);
}

/** What a server answers to COPY … TO STDOUT (FORMAT binary): the first row comes with the header. */
function answer(texts: readonly string[]): Buffer {
  const header = Buffer.concat([Buffer.from('PGCOPY\n\xff\r\n\0', 'latin1'), Buffer.alloc(8)]);
  return Buffer.concat([
    frame('H', Buffer.from([1, 0, 1, 0, 1])),
    ...texts.map((text, i) => frame('d', ...(i === 0 ? [header] : []), tuple(text))),
    frame('d', Buffer.from([0xff, 0xff])),
    frame('c'),
    frame('C', Buffer.from(`COPY ${texts.length}\0`)),
    frame('Z', Buffer.from('I')),
  ]);
}

/** All different, and so is what follows them in memory. */
const ROWS = ['one', '', 'three and more', 'ä', 'fünf', '0123456789'.repeat(3)];

const starts = new Int32Array(1);
const lengths = new Int32Array(1);

function textsOf({bytes, offsets, count}: CopyRows): string[] {
  return Array.from({length: count}, (_, i) => {
    locateCopy(bytes, offsets[i], starts, lengths);
    return bytes.toString('utf8', starts[0], starts[0] + lengths[0]);
  });
}

/** Reads them only after others have had their turn, as a target does that waits for room. */
async function collect(rows: AsyncIterable<CopyRows>): Promise<string[]> {
  const texts: string[] = [];
  for await (const some of rows) {
    for (let turn = 0; turn < 3; turn++) await nextTurn();
    texts.push(...textsOf(some));
  }
  return texts;
}

/** A client as far as `readCopy` needs it, and the far end of its connection. */
interface Link extends AsyncDisposable {
  readonly client: pg.Client;
  readonly near: net.Socket;
  readonly far: net.Socket;
  /** What pg's own reader has got: the very chunks. */
  readonly heard: Buffer[];
}

async function link(near: net.Socket): Promise<Link> {
  const directory = await mkdtemp(join(tmpdir(), 'sluice-copy-'));
  const server = net.createServer();
  const path = join(directory, 'socket');
  await once(server.listen(path), 'listening');
  near.connect(path);
  const [[far]] = (await Promise.all([once(server, 'connection'), once(near, 'connect')])) as [[net.Socket], unknown];
  for (const socket of [near, far]) socket.on('error', () => undefined);
  const heard: Buffer[] = [];
  near.on('data', (chunk: Buffer) => heard.push(chunk));
  const client = {connection: {stream: near, query: () => undefined}} as unknown as pg.Client;
  return {
    client,
    near,
    far,
    heard,
    async [Symbol.asyncDispose]() {
      near.destroy();
      far.destroy();
      server.close();
      await rm(directory, {recursive: true, force: true});
    },
  };
}

/** So that each part comes as a chunk of its own. */
async function sendInParts({near, far}: Link, bytes: Buffer, cuts: readonly number[]): Promise<void> {
  const before = near.bytesRead;
  let from = 0;
  for (const cut of [...cuts, bytes.length]) {
    far.write(bytes.subarray(from, cut));
    from = cut;
    await poll('the bytes to arrive', LIMIT_MS, () => near.bytesRead === before + cut, 0);
  }
}

describe.each([
  ['into one buffer', () => new ReusingSocket()],
  ['into new buffers', () => new net.Socket()],
])('COPY that is read %s', (_name, open) => {
  test('gives the same rows wherever the chunks end', {timeout: LIMIT_MS}, async () => {
    await using connection = await link(open());
    const bytes = answer(ROWS);
    const everywhere = Array.from({length: bytes.length - 1}, (_, i) => i + 1);
    for (const cuts of [...everywhere.map(cut => [cut]), everywhere, []]) {
      const [texts] = await Promise.all([
        collect(readCopy(connection.client, 'COPY')),
        sendInParts(connection, bytes, cuts),
      ]);
      expect(texts, `cut at ${cuts.join()}`).toEqual(ROWS);
    }
  });

  test('waits while its consumer is busy, and leaves the rows alone', {timeout: LIMIT_MS}, async () => {
    await using connection = await link(open());
    const {near, far, client} = connection;
    const texts = Array.from({length: 40_000}, (_, i) => `${i} `.repeat(10));
    const rows = readCopy(client, 'COPY');
    far.write(answer(texts));
    const {value: first} = (await rows.next()) as {value: CopyRows};
    const shown = textsOf(first);
    expect(shown).toEqual(texts.slice(0, shown.length));
    let read: number;
    do {
      read = near.bytesRead;
      for (let turn = 0; turn < 100; turn++) await nextTurn();
    } while (read !== near.bytesRead);
    expect(read).toBeLessThan(1_000_000);
    expect(textsOf(first)).toEqual(shown);
    expect([...shown, ...(await collect(rows))]).toEqual(texts);
  });

  test('gives the socket back to pg, whose chunks stay as they are', {timeout: LIMIT_MS}, async () => {
    await using connection = await link(open());
    expect(
      (await Promise.all([collect(readCopy(connection.client, 'COPY')), sendInParts(connection, answer(ROWS), [])]))[0],
    ).toEqual(ROWS);
    expect(connection.heard).toEqual([]);
    for (const text of ['first', 'other']) await sendInParts(connection, Buffer.from(text), []);
    await poll('pg to hear', LIMIT_MS, () => connection.heard.length === 2);
    expect(connection.heard.map(String)).toEqual(['first', 'other']);
  });

  test('says that the connection was lost, and cuts it when its consumer stops', {timeout: LIMIT_MS}, async () => {
    await using lost = await link(open());
    const reading = collect(readCopy(lost.client, 'COPY'));
    lost.far.end(answer(ROWS).subarray(0, 60));
    await expect(reading).rejects.toMatchObject({code: '08006'});
    await expect(collect(readCopy(lost.client, 'COPY'))).rejects.toMatchObject({code: '08006'});

    await using stopped = await link(open());
    const rows = readCopy(stopped.client, 'COPY');
    stopped.far.write(answer(ROWS).subarray(0, -1));
    expect(((await rows.next()) as {value: CopyRows}).value.count).toBeGreaterThan(0);
    await rows.return(undefined);
    expect(stopped.near.destroyed).toBe(true);
  });
});
