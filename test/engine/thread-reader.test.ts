import {execFile} from 'node:child_process';
import {once} from 'node:events';
import fs from 'node:fs';
import net from 'node:net';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {setImmediate as nextTurn} from 'node:timers/promises';
import tls from 'node:tls';
import {fileURLToPath} from 'node:url';
import {promisify} from 'node:util';
import {setFlagsFromString} from 'node:v8';
import {runInNewContext} from 'node:vm';
import {afterAll, afterEach, beforeAll, describe, expect, test, vi} from 'vitest';
import {poll} from '../../scripts/process/poll.ts';
import {ThreadReader} from '../../src/engine/thread-reader.ts';
import {randomFrom} from '../changes/random-writers.ts';
import {selfSignedCertificate} from '../setup/certificate.ts';
import {readersRunning} from './readers-running.ts';

const ADDON = fileURLToPath(new URL('../../native/build/stream-reader.node', import.meta.url));
const LIMIT_MS = 60_000;
/** As much as the reader's ring and the sockets hold, and more. */
const MORE_THAN_FITS = 8 * 1024 * 1024;

/** What the server sends, again and again: no two places near each other look the same, nor do the same places of two rounds of the ring. */
const PATTERN = Buffer.alloc(1_000_003);
for (let i = 0; i + 4 <= PATTERN.length; i += 4) PATTERN.writeUInt32LE(Math.imul(i, 2654435761) >>> 0, i);

function patternAt(at: number, length: number): Buffer {
  const parts: Buffer[] = [];
  for (let done = 0; done < length; done += parts.at(-1)!.length) {
    const start = (at + done) % PATTERN.length;
    parts.push(PATTERN.subarray(start, Math.min(PATTERN.length, start + length - done)));
  }
  return parts.length === 1 ? parts[0] : Buffer.concat(parts);
}

/** Takes what arrives and compares it with what was sent. */
class Expected {
  bytes = 0;
  readonly take = (chunk: Buffer): void => {
    if (!chunk.equals(patternAt(this.bytes, chunk.length))) throw new Error(`other bytes from ${this.bytes} on`);
    this.bytes += chunk.length;
  };
}

/** A connection whose near end is as that of a change stream: it reads into one buffer, and is paused. */
interface Pair {
  readonly near: net.Socket;
  readonly far: net.Socket;
  /** What Node.js itself has read at the near end. */
  readonly readByNode: Buffer[];
}

/** Of the test that runs. */
const opened: net.Socket[] = [];

async function connectTo(server: net.Server): Promise<Pair> {
  const readByNode: Buffer[] = [];
  const address = server.address();
  const target = typeof address === 'string' ? {path: address} : {port: address!.port, host: '127.0.0.1'};
  const buffer = Buffer.alloc(64 * 1024);
  const near = net.connect({
    ...target,
    onread: {buffer, callback: bytes => readByNode.push(Buffer.from(buffer.subarray(0, bytes))) > 0},
  });
  const [[far]] = (await Promise.all([once(server, 'connection'), once(near, 'connect')])) as [[net.Socket], unknown];
  near.pause();
  for (const socket of [near, far]) socket.on('error', () => undefined);
  opened.push(near, far);
  return {near, far, readByNode};
}

/** Also by an error, which `once` would throw. */
async function closed(socket: net.Socket): Promise<void> {
  if (!socket.closed) await new Promise(resolve => void socket.once('close', resolve));
}

async function destroy(...sockets: net.Socket[]): Promise<void> {
  for (const socket of sockets) {
    socket.destroy();
    await closed(socket);
  }
}

/** One that has been joined is still listed for a moment. */
const noReaders = (): Promise<unknown> => poll('the threads to end', LIMIT_MS, () => readersRunning() === 0);

const descriptors = (): number => fs.readdirSync('/proc/self/fd').length;

async function write(socket: net.Socket, bytes: Buffer): Promise<void> {
  if (!socket.write(bytes)) await once(socket, 'drain');
}

describe.runIf(process.platform === 'linux')('the thread that reads ahead', () => {
  const directory = fs.mkdtempSync(join(tmpdir(), 'sluice-reader-'));
  const server = net.createServer({allowHalfOpen: true});
  beforeAll(async () => {
    server.listen(join(directory, 'socket'));
    await once(server, 'listening');
  });
  afterEach(async () => {
    vi.unstubAllEnvs();
    await destroy(...opened.splice(0));
    await noReaders();
  });
  afterAll(() => {
    server.close();
    fs.rmSync(directory, {recursive: true});
  });

  test('every byte once and in order, through many rounds of the ring, whatever the pauses', async () => {
    const seed = Math.floor(Math.random() * 2 ** 31);
    const random = randomFrom(seed);
    const {near, far, readByNode} = await connectTo(server);
    const expected = new Expected();
    let failure: unknown;
    let held: {chunk: Buffer; copy: Buffer} | undefined;
    const resume = (): void => {
      // It is still what it was.
      if (held !== undefined && !held.chunk.equals(held.copy)) failure = new Error('a chunk changed while it was held');
      held = undefined;
      reader.resume();
    };
    const reader = ThreadReader.open(near, chunk => {
      try {
        expected.take(chunk);
      } catch (error) {
        failure ??= error;
      }
      const dice = random();
      if (dice < 0.3) {
        reader.pause();
        held = {chunk, copy: Buffer.from(chunk)};
        if (dice < 0.05) resume();
        else if (dice < 0.15) setImmediate(resume);
        else setTimeout(resume, dice * 30);
      } else if (dice < 0.4) {
        // For nothing, and twice.
        reader.resume();
        reader.resume();
      } else if (dice < 0.5) {
        setImmediate(() => {
          reader.pause();
          setTimeout(resume, 2);
        });
      }
    })!;
    reader.resume();
    let sent = 0;
    while (sent < 8 * MORE_THAN_FITS) {
      const length = 1 + Math.floor(random() ** 4 * 1024 * 1024);
      await write(far, patternAt(sent, length));
      sent += length;
      if (random() < 0.2) await nextTurn();
    }
    far.end();
    await closed(near);
    expect(failure, `seed ${seed}`).toBeUndefined();
    expect({bytes: expected.bytes, readByNode, seed}).toEqual({bytes: sent, readByNode: [], seed});
  });

  test('an end right behind the bytes, and a lone byte long after others, are always seen', async () => {
    const seed = Math.floor(Math.random() * 2 ** 31);
    const random = randomFrom(seed);
    for (let i = 0; i < 300; i++) {
      const {near, far} = await connectTo(server);
      const expected = new Expected();
      const reader = ThreadReader.open(near, expected.take)!;
      reader.resume();
      let sent = 0;
      for (let writes = Math.floor(random() * 4); writes > 0; writes--) {
        const length = 1 + Math.floor(random() * 100);
        far.write(patternAt(sent, length));
        sent += length;
        if (random() < 0.5) await nextTurn();
        if (random() < 0.2) await poll('all of it', LIMIT_MS, () => expected.bytes === sent, 1);
      }
      if (random() < 0.5) await nextTurn();
      far.end();
      await closed(near);
      expect([expected.bytes, near.errored, i, seed]).toEqual([sent, null, i, seed]);
      await destroy(far);
    }
  });

  test('while it is paused it fills its ring, and after it the server waits; an end is seen behind all of it', async () => {
    const {near, far, readByNode} = await connectTo(server);
    const expected = new Expected();
    const reader = ThreadReader.open(near, expected.take)!;
    let written = 0;
    const writing = (async () => {
      for (; written < MORE_THAN_FITS; written += 64 * 1024) {
        await new Promise(resolve => far.write(patternAt(written, 64 * 1024), resolve));
      }
      far.end();
    })();
    await poll('the ring to be full', LIMIT_MS, () => written >= 2 * 1024 * 1024);
    expect([expected.bytes, far.writableEnded]).toEqual([0, false]);
    reader.resume();
    await closed(near);
    await writing;
    expect([expected.bytes, near.errored, readByNode]).toEqual([MORE_THAN_FITS, null, []]);
  });

  test('an error comes behind all bytes, and says what it is', async () => {
    const {near, far} = await connectTo(server);
    const expected = new Expected();
    const reader = ThreadReader.open(near, expected.take)!;
    far.pause();
    near.write('never read, so that the close is a reset');
    await write(far, patternAt(0, 100_000));
    await poll('the bytes at the far end', LIMIT_MS, () => far.bytesWritten === 100_000 && far.writableLength === 0);
    const errors: unknown[] = [];
    near.on('error', error => errors.push(error));
    await destroy(far);
    reader.resume();
    await closed(near);
    expect(expected.bytes).toBe(100_000);
    expect(errors).toMatchObject([{code: 'ECONNRESET', errno: -104, syscall: 'read'}]);
  });

  test('closed in the middle, also by its listener, it gives the socket back', async () => {
    for (const inside of [true, false]) {
      const {near, far, readByNode} = await connectTo(server);
      const expected = new Expected();
      const reader: ThreadReader = ThreadReader.open(near, chunk => {
        expected.take(chunk);
        if (inside && expected.bytes > 3_000_000) reader.close();
      })!;
      reader.resume();
      far.write(patternAt(0, MORE_THAN_FITS));
      await poll('the middle', LIMIT_MS, () => expected.bytes > 3_000_000, 1);
      reader.close();
      reader.close();
      const heard = expected.bytes;
      reader.pause();
      reader.resume();
      near.resume();
      far.end('the end');
      await once(near, 'end');
      expect(expected.bytes).toBe(heard);
      expect(Buffer.concat(readByNode).subarray(-7).toString()).toBe('the end');
    }
  });

  test('a socket that is destroyed without a word takes its reader with it', async () => {
    for (const paused of [true, false]) {
      const {near, far} = await connectTo(server);
      const reader = ThreadReader.open(near, () => undefined)!;
      if (!paused) reader.resume();
      far.resume();
      near.destroy();
      await once(far, 'end');
      await noReaders();
      await destroy(far);
    }
  });

  test('200 readers leave no descriptor, thread or memory behind', async () => {
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const once200 = async (rounds: number): Promise<void> => {
      for (let i = 0; i < rounds; i++) {
        const {near, far} = await connectTo(server);
        const reader = ThreadReader.open(near, () => undefined)!;
        expect(readersRunning()).toBeGreaterThan(0);
        far.write('x');
        if (i % 2 === 0) reader.resume();
        if (i % 3 === 0) reader.close();
        await destroy(near, far);
      }
    };
    await once200(3);
    const before = descriptors();
    await once200(200);
    await poll('the descriptors to be gone', LIMIT_MS, () => descriptors() <= before);
    await poll('the rings to be gone', LIMIT_MS, async () => {
      collect();
      await nextTurn();
      return process.memoryUsage().arrayBuffers < 50 * 1024 * 1024;
    });
  });

  test('not where Node.js has read ahead or reads, where TLS decrypts, or where it is not wanted', async () => {
    const {near, far} = await connectTo(server);
    near.resume();
    expect(ThreadReader.open(near, () => undefined)).toBeUndefined();
    near.pause();
    vi.stubEnv('SLUICE_STREAM_READER', 'typescript');
    expect(ThreadReader.open(near, () => undefined)).toBeUndefined();
    vi.unstubAllEnvs();
    near.unshift(Buffer.from('x'));
    expect(ThreadReader.open(near, () => undefined)).toBeUndefined();
    await destroy(near, far);
    expect(ThreadReader.open(near, () => undefined)).toBeUndefined();

    const {certificate, key} = selfSignedCertificate(directory);
    const secure = tls.createServer({cert: fs.readFileSync(certificate), key: fs.readFileSync(key)});
    secure.listen(0, '127.0.0.1');
    await once(secure, 'listening');
    const arrival = once(secure, 'secureConnection') as Promise<[tls.TLSSocket]>;
    const client = tls.connect({port: (secure.address() as net.AddressInfo).port, rejectUnauthorized: false});
    const [[served]] = await Promise.all([arrival, once(client, 'secureConnect')]);
    client.pause();
    expect(ThreadReader.open(client, () => undefined)).toBeUndefined();
    await destroy(client, served);
    secure.close();
  });

  test.each([
    ['with nothing else to do', ''],
    ['by process.exit, amid a flood', 'setTimeout(() => process.exit(0), 50);'],
    ['that ends a worker thread', 'worker'],
  ])('a process ends %s while a reader is open', async (_, how) => {
    const path = server.address() as string;
    server.once('connection', far => {
      far.on('error', () => undefined);
      opened.push(far);
      if (how !== '') far.write(patternAt(0, MORE_THAN_FITS));
    });
    const program = `
      const {open, take} = require(${JSON.stringify(ADDON)});
      const ring = Buffer.allocUnsafeSlow(65536);
      const buffer = Buffer.alloc(1024);
      const socket = require('net').connect({path: ${JSON.stringify(path)}, onread: {buffer, callback: () => true}}, () => {
        socket.pause();
        const reader = open(socket._handle.fd, ring, () => console.log('heard of', take(reader, 65536) > 0));
        ${how === 'worker' ? '' : how}
      });`;
    const inWorker = `
      const {Worker} = require('worker_threads');
      const worker = new Worker(${JSON.stringify(`${program}setInterval(() => undefined, 1000);`)}, {eval: true});
      worker.stdout.once('data', () => worker.terminate());`;
    // Rejects with the code or the signal.
    await promisify(execFile)(process.execPath, ['-e', how === 'worker' ? inWorker : program]);
  });
});
