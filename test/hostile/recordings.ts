import {once} from 'node:events';
import net from 'node:net';
import tls from 'node:tls';
import pg from 'pg';
import {FRONTEND} from '../../src/gateway/frontend-messages.ts';
import {REQUEST_CODE, writeStartupPacket} from '../../src/gateway/startup-packet.ts';
import {B, C, D, DS, E, F, H, P, Q, S, X, c, d, f, run} from '../gateway/messages.ts';
import {RawClient} from '../gateway/raw-client.ts';
import type {Recording} from './mutation.ts';

/** Where to connect, as whom. `trusted` comes in without a password. */
export interface Users {
  readonly port: number;
  readonly trusted: string;
  readonly withPassword: string;
  readonly password: string;
  /** A value that no log may show. */
  readonly secret: string;
}

/** What real clients send in real sessions through the gateway at this port. */
export async function record(users: Users): Promise<Recording[]> {
  const recorder = await Recorder.open(users.port);
  const url = (user: string) => `postgres://${user}:${users.password}@127.0.0.1:${recorder.port}/materialize`;
  const trusted = url(users.trusted);
  const raw = async (...frames: readonly Buffer[]) => {
    const client = await RawClient.connect(trusted);
    const answers = frames.filter(({0: type}) => 'QSF'.includes(String.fromCharCode(type))).length;
    client.send(...frames);
    await client.ready(answers);
    client.send(X);
    await client.end();
  };
  try {
    await library(trusted);
    recorder.cost = 'login';
    await library(url(users.withPassword));
    recorder.cost = 'session';
    await raw(Q('SELECT 1'), Q('SELECT 1/0'), Q(''), Q('BEGIN; SELECT 1; ROLLBACK'));
    await raw(run('SELECT $1::text', 'a'), run('SELECT 2'), S, P('SELECT 3', 's'), DS('s'), B([], 's'), E(), C('s'), S);
    await raw(P('SELECT generate_series(1, 10)'), B(), D(), E('', 3), H, E('', 3), S);
    await raw(Q('CREATE TEMP TABLE t (a int); COPY t FROM STDIN'), d('1\n2\n'), c, Q('COPY t TO STDOUT'));
    await raw(Q('CREATE TEMP TABLE t (a int)'), Q('COPY t FROM STDIN'), d('x\n'), f, Q('SELECT 1'));
    await raw(F(1, 2), Q('LISTEN a; NOTIFY a'), Q('DECLARE c CURSOR WITH HOLD FOR SELECT 1; FETCH c'));
    await raw(
      Q('SET client_encoding TO LATIN1'),
      Q("SELECT 'ä'"),
      Q('SET standard_conforming_strings TO off'),
      Q("SHOW x'"),
    );
    recorder.cost = 'ours';
    await raw(Q('SHOW CLUSTERS'), Q('SHOW SINKS'), run('SHOW OBJECTS'), S, Q("SET cluster TO 'quickstart'"));
    await raw(Q(`CREATE SECRET IF NOT EXISTS fuzz.s AS '${users.secret}'`), Q('DROP SECRET IF EXISTS fuzz.none'));
    await raw(Q(`SELECT 1; ALTER SECRET fuzz.s AS '${users.secret}'; SHOW SECRETS`), run('CREATE SINK s FROM x'), S);
    await raw(
      Q(
        "CREATE CONNECTION fuzz.c TO KAFKA (BROKER 'localhost:1', SECURITY PROTOCOL PLAINTEXT) WITH (VALIDATE = false)",
      ),
    );
    await raw(
      Q('BEGIN; DROP CONNECTION IF EXISTS fuzz.none; SELECT 1/0'),
      Q('SHOW CREATE CONNECTION fuzz.c'),
      Q('ROLLBACK'),
    );
  } finally {
    await recorder.close();
  }
  const {sessions} = recorder;
  const [startup] = sessions[0].frames;
  const newer = Buffer.from(startup);
  newer.writeUInt16BE(2, 6);
  const asks = (code: number) => Buffer.from([0, 0, 0, 8, ...int32(code)]);
  const cancel = Buffer.from([0, 0, 0, 16, ...int32(REQUEST_CODE.cancel), ...int32(4711), ...int32(42)]);
  const user: [string, string] = ['user', users.trusted];
  const many = Array.from({length: 400}, (_, i): [string, string] => [`a.p${i}`, 'x']);
  const options: [string, string] = ['options', '-c search_path=a\\ b --cluster=x -z'];
  const opening = (protocol: number, ...parameters: [string, string][]) => [
    writeStartupPacket({protocol, parameters: [user, ...parameters]}),
    Q('SELECT 1'),
    X,
  ];
  const login = [
    [cancel],
    [asks(REQUEST_CODE.tls), await clientHello()],
    [await clientHello()],
    [asks(REQUEST_CODE.gss), asks(REQUEST_CODE.tls), startup],
    opening(0x20000),
    opening(0x30000, options),
    opening(0x30000, ['user', 'mz_system']),
    opening(0x30000, ['replication', 'database']),
    opening(0x30000, ['database', 'none']),
  ];
  const session = [
    [newer, Q('SELECT 1'), X],
    [asks(REQUEST_CODE.gss), startup, Q('SELECT 1'), X],
    opening(0x30000, ...many),
    opening(0x30000, ['replication', 'off']),
  ];
  return [
    ...sessions,
    ...login.map((frames): Recording => ({frames, cost: 'login'})),
    ...session.map((frames): Recording => ({frames, cost: 'session'})),
  ];
}

/** Simple, parameterized and prepared queries of a library that people use. */
async function library(connectionString: string): Promise<void> {
  const client = new pg.Client({connectionString});
  await client.connect();
  await client.query('SELECT 1; SELECT 2');
  await client.query('SELECT $1::int + 1 AS a', [1]);
  await client.query({name: 'q', text: 'SELECT $1::text', values: ['x']});
  await client.query({name: 'q', text: 'SELECT $1::text', values: ['y']});
  await client.query('SELECT 1/0').catch(() => undefined);
  await client.end();
}

const int32 = (value: number): Buffer => {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
};

/** The first bytes of a TLS handshake. */
async function clientHello(): Promise<Buffer> {
  const server = net.createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const connected = once(server, 'connection') as Promise<[net.Socket]>;
  const client = tls.connect({port: (server.address() as net.AddressInfo).port, host: '127.0.0.1'});
  client.on('error', () => undefined);
  const [socket] = await connected;
  const [hello] = (await once(socket, 'data')) as [Buffer];
  client.destroy();
  socket.destroy();
  server.close();
  return hello;
}

/** Stands between clients and the gateway and keeps what the clients send. */
class Recorder {
  readonly sessions: Recording[] = [];
  /** Of the sessions to come. */
  cost: Recording['cost'] = 'session';
  readonly #server: net.Server;

  private constructor(server: net.Server) {
    this.#server = server;
  }

  static async open(gatewayPort: number): Promise<Recorder> {
    const server = net.createServer(client => {
      const gateway = net.connect(gatewayPort, '127.0.0.1');
      const chunks: Buffer[] = [];
      const {cost} = recorder;
      client.on('data', chunk => chunks.push(chunk));
      client.pipe(gateway).pipe(client);
      client.on('error', () => undefined);
      gateway.on('error', () => undefined);
      client.once('close', () => recorder.sessions.push({frames: framesOf(Buffer.concat(chunks)), cost}));
    });
    const recorder = new Recorder(server);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return recorder;
  }

  get port(): number {
    return (this.#server.address() as net.AddressInfo).port;
  }

  /** Resolves when every session has ended. */
  async close(): Promise<void> {
    this.#server.close();
    await once(this.#server, 'close');
  }
}

function framesOf(bytes: Buffer): Buffer[] {
  const frames: Buffer[] = [];
  for (let at = 0; at + 5 <= bytes.length;) {
    const size = bytes[at] === 0 ? bytes.readUInt32BE(at) : 1 + bytes.readUInt32BE(at + 1);
    frames.push(bytes.subarray(at, at + size));
    at += size;
  }
  if (frames.at(-1)?.[0] !== FRONTEND.terminate) throw new Error('a recorded session has no end');
  return frames;
}
