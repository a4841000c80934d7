import {once} from 'node:events';
import net from 'node:net';
import fc from 'fast-check';
import {afterAll, beforeAll, describe, expect, test} from 'vitest';
import {poll} from '../../scripts/process/poll.ts';
import {BACKEND, commandComplete, frameOf} from '../../src/gateway/backend-messages.ts';
import {NativeRelay} from '../../src/gateway/native-relay.ts';
import type {Recalled} from '../../src/gateway/native-relay.ts';
import {PLAIN_WORDS, isPlain} from '../../src/gateway/plain-text.ts';
import {B, C, D, E, H, P, Q, S, X, d, run} from './messages.ts';

const relay = NativeRelay.shared();
const READY = (status: string): Buffer => frameOf(BACKEND.readyForQuery, Buffer.from(status));
const IDLE = 0x49;

/** Two connections, of which the relay is lent the near ends. */
class Pair implements AsyncDisposable {
  readonly client: net.Socket;
  readonly engine: net.Socket;
  readonly returned: Promise<void>;
  recalled: Recalled | undefined;
  /** What the two ends have got. */
  readonly atEngine: Buffer[] = [];
  readonly atClient: Buffer[] = [];
  readonly #near: readonly net.Socket[];
  readonly #recall: () => Recalled;

  private constructor(client: readonly [net.Socket, net.Socket], engine: readonly [net.Socket, net.Socket]) {
    this.client = client[0];
    this.engine = engine[0];
    this.#near = [client[1], engine[1]];
    for (const socket of [...client, ...engine]) socket.on('error', () => undefined);
    for (const socket of this.#near) socket.on('data', () => undefined);
    this.client.on('data', bytes => this.atClient.push(bytes));
    this.engine.on('data', bytes => this.atEngine.push(bytes));
    let wanted: (() => void) | undefined;
    this.returned = new Promise(resolve => (wanted = resolve));
    const loan = relay!.lend(client[1], engine[1], IDLE, () => wanted?.());
    if (loan === undefined) throw new Error('not lent');
    this.#recall = () => loan.recall();
  }

  static async open(server: net.Server): Promise<Pair> {
    const connect = async (): Promise<[net.Socket, net.Socket]> => {
      const far = net.connect({port: (server.address() as net.AddressInfo).port, host: '127.0.0.1'});
      const [near] = (await once(server, 'connection')) as [net.Socket];
      if (far.connecting) await once(far, 'connect');
      return [far, near];
    };
    return new Pair(await connect(), await connect());
  }

  get toEngine(): Buffer {
    return Buffer.concat(this.atEngine);
  }

  get toClient(): Buffer {
    return Buffer.concat(this.atClient);
  }

  recall(): Recalled {
    return (this.recalled ??= this.#recall());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.recall();
    for (const socket of [this.client, this.engine, ...this.#near]) {
      if (socket.destroyed) continue;
      socket.destroy();
      await once(socket, 'close');
    }
  }
}

describe.runIf(process.platform === 'linux')('the native relay', () => {
  let server: net.Server;
  beforeAll(async () => {
    server = net.createServer({allowHalfOpen: true, noDelay: true}).listen(0, '127.0.0.1');
    await once(server, 'listening');
  });
  afterAll(() => server.close());

  const settled = (what: string, condition: () => boolean): Promise<unknown> => poll(what, 60_000, condition, 1);

  test('passes on what is plain, and nothing else', async () => {
    const word = fc.constantFrom(...PLAIN_WORDS, 'create', 'selects', 'deallocated', '');
    const cased = fc.tuple(word, fc.boolean()).map(([text, upper]) => (upper ? text.toUpperCase() : text));
    const rest = fc.array(
      fc.constantFrom(
        ';',
        ' ',
        '\n',
        '\f',
        's',
        'SECRET',
        'sEcre',
        't',
        '1',
        '\0',
        '\\',
        '\xe4',
        '\x53\xb3',
        'uSer',
        'ser()',
        '(',
        ')',
        '()',
      ),
      {maxLength: 6},
    );
    const space = fc.constantFrom('', ' ', '\v\r\n', '(', '\0', '\x01');
    const text = fc.tuple(space, cased, rest).map(([before, begin, parts]) => before + begin + parts.join(''));
    await fc.assert(
      fc.asyncProperty(text, fc.boolean(), async (given, parsed) => {
        const bytes = Buffer.from(given, 'latin1');
        // A Parse ends its text at the first NUL.
        const end = parsed && bytes.includes(0) ? bytes.indexOf(0) : bytes.length;
        const frame = parsed ? Buffer.concat([P(bytes, 'name'), S]) : Q(bytes);
        await using pair = await Pair.open(server);
        pair.client.write(frame);
        if (isPlain(bytes, 0, end)) {
          await settled('it to arrive', () => pair.toEngine.length === frame.length);
          expect(pair.toEngine).toEqual(frame);
          expect(pair.recall().requests.toString()).toBe(parsed ? 'PS' : 'Q');
        } else {
          await pair.returned;
          const {client, requests, batches} = pair.recall();
          expect([client.unread, requests.length, batches]).toEqual([frame, 0, 0]);
          expect(pair.toEngine.length).toBe(0);
        }
      }),
      {numRuns: 200},
    );
  }, 600_000);

  test('however it is cut, not a byte of a client is lost, and whole batches go on', async () => {
    const batch = fc.constantFrom(
      ['Q', Q('SELECT 1')],
      ['PBDES', Buffer.concat([run('SELECT 1'), S])],
      ['S', S],
      ['BES', Buffer.concat([B(['x'.repeat(3000)], 's'), E(), S])],
      ['CS', Buffer.concat([C('s'), S])],
      // Foreign from here on.
      ['', Buffer.concat([D(), Q('SELECT 1')])],
      ['', Buffer.concat([run('SELECT 1'), H])],
      ['', Q('CREATE SINK')],
      ['', Buffer.concat([B(['x'.repeat(20_000)]), S])],
      ['', d('1')],
      ['', X],
      ['', Buffer.from([0x51, 0, 0, 0, 3])],
      ['', Buffer.from([0, 0, 0, 0, 4])],
    ) as fc.Arbitrary<[string, Buffer]>;
    const cuts = fc.array(fc.nat(), {maxLength: 4});
    await fc.assert(
      fc.asyncProperty(fc.array(batch, {maxLength: 8}), cuts, async (batches, at) => {
        const foreign = batches.findIndex(([types]) => types === '');
        const ours = foreign === -1 ? batches : batches.slice(0, foreign);
        const expected = Buffer.concat(ours.map(([, frames]) => frames));
        const sent = Buffer.concat(batches.map(([, frames]) => frames));
        await using pair = await Pair.open(server);
        const marks = [0, ...at.map(mark => mark % (sent.length + 1)).toSorted((a, b) => a - b), sent.length];
        for (let i = 1; i < marks.length; i++) {
          pair.client.write(sent.subarray(marks[i - 1], marks[i]));
          await new Promise<void>(resolve => setImmediate(resolve));
        }
        // A batch whose middle had come alone may have been given back, so no more than that is certain.
        let returned = false;
        void pair.returned.then(() => (returned = true));
        await settled('all to arrive', () => returned || (foreign === -1 && pair.toEngine.length === sent.length));
        const {client, requests} = pair.recall();
        let whole = 0;
        let types = '';
        for (const [of, frames] of ours) {
          if (types.length === requests.length) break;
          types += of;
          whole += frames.length;
        }
        expect(requests.toString()).toBe(types);
        await settled('what was passed on', () => pair.toEngine.length + client.passed.length === whole);
        expect(Buffer.concat([pair.toEngine, client.passed])).toEqual(expected.subarray(0, whole));
        // The unread bytes are what comes next, as far as they were read.
        const next = sent.subarray(whole);
        expect(client.unread).toEqual(next.subarray(0, client.unread.length));
      }),
      {numRuns: 120},
    );
  }, 600_000);

  test('answers end batches, and where it is recalled is said to the byte', async () => {
    await using pair = await Pair.open(server);
    pair.client.write(Buffer.concat([Q('SELECT 1'), run('SELECT 2'), S, run('SELECT 3'), S]));
    await settled('the requests', () => pair.toEngine.length > 0);
    const row = frameOf(BACKEND.dataRow, Buffer.alloc(100_000, 1));
    const answers = Buffer.concat([
      frameOf(BACKEND.rowDescription, Buffer.alloc(2)),
      row,
      commandComplete('SELECT 1'),
      READY('T'),
      frameOf(BACKEND.parseComplete, Buffer.alloc(0)),
      frameOf(BACKEND.bindComplete, Buffer.alloc(0)),
      row.subarray(0, 70_000),
    ]);
    pair.engine.write(answers);
    await settled('the answers', () => pair.toClient.length === answers.length);
    const {status, requests, answers: seen, rest, batches, client, engine} = pair.recall();
    expect(pair.toClient).toEqual(answers);
    expect([String.fromCharCode(status), requests.toString(), seen.toString(), rest, batches]).toEqual([
      'T',
      'PBDESPBDES',
      '12',
      row.length - 70_000,
      3,
    ]);
    expect([client.unread.length, client.failed, engine.unread.length, engine.failed]).toEqual([0, false, 0, false]);
  });

  test.each([
    ['a setting', frameOf(BACKEND.parameterStatus, Buffer.from('a\0b\0'))],
    ['COPY from the client', frameOf(BACKEND.copyIn, Buffer.alloc(3))],
    ['COPY to the client', frameOf(BACKEND.copyOut, Buffer.alloc(3))],
    ['a message that is too short', Buffer.from([0x44, 0, 0, 0, 3])],
    ['an unknown message', Buffer.from([0, 0, 0, 0, 4])],
    ['a ReadyForQuery too many', Buffer.concat([READY('I'), READY('I')])],
  ])('%s of the engine is not passed on', async (_, frame) => {
    await using pair = await Pair.open(server);
    pair.client.write(Q('SELECT 1'));
    await settled('the request', () => pair.toEngine.length > 0);
    const notice = frameOf(BACKEND.notice, Buffer.alloc(1));
    pair.engine.write(Buffer.concat([notice, frame]));
    await pair.returned;
    const {engine} = pair.recall();
    await settled('what came before', () => pair.toClient.length >= notice.length);
    const passed = Buffer.concat([pair.toClient, engine.passed]);
    expect(Buffer.concat([passed, engine.unread])).toEqual(Buffer.concat([notice, frame]));
    expect(engine.unread.length).toBe(frame[0] === BACKEND.readyForQuery ? 6 : frame.length);
  });

  test('who does not read stops the other side, and gets everything in the end', async () => {
    await using pair = await Pair.open(server);
    pair.client.pause();
    pair.client.write(Q('SELECT 1'));
    await settled('the request', () => pair.toEngine.length > 0);
    const row = frameOf(BACKEND.dataRow, Buffer.alloc(1024 * 1024, 7));
    for (let i = 0; i < 64; i++) pair.engine.write(row);
    await settled('the engine to be stopped', () => pair.engine.writableLength > 0);
    pair.client.resume();
    let got = 0;
    await settled('everything', () => {
      got += pair.atClient.splice(0).reduce((sum, {length}) => sum + length, 0);
      return got === 64 * row.length;
    });
    expect(pair.recall().rest).toBe(0);
  });

  test.each([
    ['the end of the client', (pair: Pair) => pair.client.end(), {client: false, engine: false}],
    ['the end of the engine', (pair: Pair) => pair.engine.end(), {client: false, engine: false}],
    ['a reset by the client', (pair: Pair) => pair.client.resetAndDestroy(), undefined],
    ['a reset by the engine', (pair: Pair) => pair.engine.resetAndDestroy(), undefined],
  ])('%s is left to whoever takes over', async (_, leave, failed) => {
    await using pair = await Pair.open(server);
    leave(pair);
    await pair.returned;
    const {client, engine} = pair.recall();
    // A reset may be seen by its event before it is read.
    if (failed !== undefined) expect({client: client.failed, engine: engine.failed}).toEqual(failed);
    expect([client.unread.length, engine.unread.length]).toEqual([0, 0]);
  });

  test('an encrypted or busy socket is not lent, and nothing stays lent', async () => {
    const idle = net.connect({port: (server.address() as net.AddressInfo).port, host: '127.0.0.1'});
    idle.on('error', () => undefined);
    await once(idle, 'connect');
    // Nobody reads it.
    expect(relay!.lend(idle, idle, IDLE, () => undefined)).toBeUndefined();
    idle.destroy();
    expect(relay!.lend(idle, idle, IDLE, () => undefined)).toBeUndefined();
    expect(relay!.lent).toBe(0);
  });
});
