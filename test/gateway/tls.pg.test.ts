import {execFile} from 'node:child_process';
import {once} from 'node:events';
import fs from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import tls from 'node:tls';
import {promisify} from 'node:util';
import pg from 'pg';
import {afterAll, beforeAll, describe, expect, test} from 'vitest';
import {poll} from '../../scripts/process/poll.ts';
import {PostgresServer} from '../../scripts/postgres/server.ts';
import {chooseServerUser} from '../../src/engine/server-user.ts';
import type {EngineAddress} from '../../src/engine/address.ts';
import {ClientTls} from '../../src/gateway/client-tls.ts';
import {GatewayServer} from '../../src/gateway/gateway-server.ts';
import type {GatewayOptions} from '../../src/gateway/gateway-server.ts';
import {writeStartupPacket} from '../../src/gateway/startup-packet.ts';
import {selfSignedCertificate} from '../setup/certificate.ts';
import type {CertificateFiles} from '../setup/certificate.ts';
import {addressOf} from '../setup/postgres.ts';
import {BARE_GATEWAY} from './bare-gateway.ts';
import {cancelRequest} from './cancel-request.ts';
import {Q, d, c} from './messages.ts';
import {RawClient} from './raw-client.ts';
import {BareConnection, GSS_REQUEST as GSS, SSL_REQUEST as SSL, scramLogin} from './scram-login.ts';
import {transcript} from './transcript.ts';

const execute = promisify(execFile);
/** SASLprep makes an ordinary blank of the no-break one, and one sign of the accent. */
const PASSWORD = 'gehe\u00A0im e\u0301';

let folder: string;
let files: CertificateFiles;
let engine: PostgresServer;
const gateways: GatewayServer[] = [];

beforeAll(async () => {
  folder = fs.mkdtempSync(join(tmpdir(), 'sluice-gateway-tls-'));
  fs.chmodSync(folder, 0o711);
  files = selfSignedCertificate(folder);
  const engineFiles = selfSignedCertificate(folder, 'engine');
  const user = chooseServerUser();
  if (user !== undefined) fs.chownSync(engineFiles.key, user.uid, user.gid);
  engine = await PostgresServer.start({
    settings: {ssl: 'on', ssl_cert_file: engineFiles.certificate, ssl_key_file: engineFiles.key},
  });
  const admin = new pg.Client({connectionString: engine.url});
  await admin.connect();
  await admin.query(`CREATE ROLE alice LOGIN PASSWORD '${PASSWORD}'; CREATE ROLE trusting LOGIN;
    CREATE TABLE t (id int, name text); GRANT ALL ON t TO alice`);
  const rules = join(engine.directory, 'data', 'pg_hba.conf');
  fs.writeFileSync(rules, `host all trusting 127.0.0.1/32 trust\n${fs.readFileSync(rules, 'utf8')}`);
  await admin.query('SELECT pg_reload_conf()');
  await admin.end();
});
afterAll(async () => {
  for (const gateway of gateways) await gateway.close(0);
  await engine[Symbol.asyncDispose]();
  fs.rmSync(folder, {recursive: true});
});

/** Returns the port. */
async function serve(
  sslmode: EngineAddress['sslmode'],
  encrypts: boolean,
  options: Partial<GatewayOptions> = {},
): Promise<number> {
  const address = {...addressOf(new URL(engine.url)), sslmode};
  const gateway = new GatewayServer({
    ...BARE_GATEWAY,
    engine: address,
    connectControl: async () => {
      const client = new pg.Client({connectionString: engine.url});
      client.on('error', () => undefined);
      await client.connect();
      return client;
    },
    ...(encrypts ? {tls: new ClientTls(files)} : {}),
    ...options,
  });
  gateways.push(gateway);
  return (await gateway.listen()).port;
}

const urlOf = (port: number, more = '') =>
  `postgres://alice:${encodeURIComponent(PASSWORD)}@localhost:${port}/postgres?${more}`;

async function psql(port: number, parameters: string, password = PASSWORD): Promise<string> {
  const {stdout, stderr} = await execute(
    'psql',
    [
      '-X',
      '-A',
      '-t',
      '-c',
      '\\conninfo',
      '-c',
      'SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()',
      `host=localhost hostaddr=127.0.0.1 port=${port} user=alice dbname=postgres ${parameters}`,
    ],
    {env: {PATH: process.env['PATH'] ?? '', PGPASSWORD: password, LANG: 'C.UTF-8'}, cwd: folder},
  );
  return stdout + stderr;
}

describe.each([
  ['plain', 'plain', false, 'disable'],
  ['TLS', 'plain', true, 'disable'],
  ['plain', 'TLS', false, 'require'],
  ['TLS', 'TLS', true, 'require'],
] as const)('client %s, engine %s', (_, __, encrypted, sslmode) => {
  let port: number;
  beforeAll(async () => (port = await serve(sslmode, encrypted)));

  const mode = encrypted ? 'sslmode=require' : 'sslmode=disable';
  // Without TLS pg says that it could bind channels, which an encrypted PostgreSQL takes for an attack.
  const saysThatItBinds = !encrypted && sslmode === 'require';
  const engineIsEncrypted = sslmode === 'require' ? 't' : 'f';

  test('psql', async () => {
    const output = await psql(port, mode);
    expect(output.includes('SSL connection (protocol: TLSv1.3')).toBe(encrypted);
    expect(output.trim().endsWith(`\n${engineIsEncrypted}`)).toBe(true);
  });

  test('psql: a wrong password', async () => {
    await expect(psql(port, mode, 'wrong')).rejects.toThrow('password authentication failed for user "alice"');
  });

  test('psql: channel binding that is required is refused in words', async () => {
    await expect(psql(port, `${mode} channel_binding=require`)).rejects.toThrow(/channel binding/i);
  });

  test('node pg', async () => {
    const ssl = encrypted ? {ca: fs.readFileSync(files.certificate)} : false;
    for (const enableChannelBinding of saysThatItBinds ? [false] : [false, true]) {
      const client = new pg.Client({connectionString: urlOf(port), ssl, enableChannelBinding});
      await client.connect();
      expect((await client.query('SELECT current_user AS me')).rows).toEqual([{me: 'alice'}]);
      await client.end();
    }
  });

  test('a session of every kind of message', async () => {
    await using client = await RawClient.connect(urlOf(port, encrypted ? 'sslmode=no-verify' : ''));
    client.send(
      Q('SELECT 1; SELEC'),
      Q("SELECT length(repeat('x', 3000000)), repeat('x', 3000000)"),
      Q('COPY t FROM STDIN'),
    );
    for (let row = 0; row < 100; row++) client.send(d(`${row}\t${'y'.repeat(100_000)}\n`));
    client.send(c, Q('COPY t TO STDOUT'), Q('DELETE FROM t'));
    const seen = await client.ready(5);
    expect(seen.filter(({type}) => type === 'd').reduce((sum, {body}) => sum + body.length, 0)).toBe(
      100 * 100_002 + 90 + 100,
    );
    expect(transcript(seen).filter(line => /^[CZ]/.test(line))).toEqual([
      'Z I',
      'C SELECT 1',
      'Z I',
      'C COPY 100',
      'Z I',
      'C COPY 100',
      'Z I',
      'C DELETE 100',
      'Z I',
    ]);
  });
});

test('a client without TLS that says that it could bind channels is refused by an engine with TLS, with a hint', async () => {
  const connectionString = urlOf(await serve('require', false));
  const client = new pg.Client({connectionString, ssl: false, enableChannelBinding: true});
  client.on('error', () => undefined);
  const hint = 'Without TLS between client and Sluice turn channel binding off in the client, or connect with TLS.';
  await expect(client.connect()).rejects.toMatchObject({code: '28000', severity: 'FATAL', hint});
});

describe('encryption', () => {
  let port: number;
  beforeAll(async () => (port = await serve('disable', true)));

  const bare = () => BareConnection.open(`postgres://127.0.0.1:${port}`);
  const context = () => ({ca: fs.readFileSync(files.certificate), servername: 'localhost'});

  test('verify-full knows us, and another authority does not', async () => {
    expect(await psql(port, `sslmode=verify-full sslrootcert=${files.certificate}`)).toContain('SSL connection');
    const other = selfSignedCertificate(folder, 'other');
    await expect(psql(port, `sslmode=verify-full sslrootcert=${other.certificate}`)).rejects.toThrow(
      'certificate verify failed',
    );
  });

  test('psql takes TLS where it may choose, and does without where it must', async () => {
    expect(await psql(port, '')).toContain('SSL connection');
    expect(await psql(port, 'sslmode=disable')).not.toContain('SSL connection');
  });

  test('GSS is declined, then TLS is spoken, and a session goes on behind it', async () => {
    await using connection = await bare();
    connection.socket.write(GSS);
    expect((await connection.take(1)).toString()).toBe('N');
    connection.socket.write(SSL);
    expect((await connection.take(1)).toString()).toBe('S');
    await using secure = await connection.encrypt(context());
    const seen = await scramLogin(
      secure,
      [
        ['user', 'alice'],
        ['database', 'postgres'],
      ],
      'gehe im é',
    );
    expect(seen.at(-1)?.type).toBe('Z');
  });

  test('TLS from the first byte', async () => {
    await using connection = await bare();
    await using secure = await connection.encrypt({...context(), ALPNProtocols: ['postgresql']});
    const seen = await scramLogin(
      secure,
      [
        ['user', 'alice'],
        ['database', 'postgres'],
      ],
      'gehe im é',
      0x30002,
    );
    expect(seen.at(-1)?.type).toBe('Z');
    secure.socket.write(Q('SELECT 1'));
    expect((await secure.until('Z')).at(-1)?.body.toString()).toBe('I');
  });

  test('TLS from the first byte without naming the protocol, or with another name', async () => {
    await using connection = await bare();
    await using secure = await connection.encrypt(context());
    expect(await secure.message()).toBeUndefined();
    await using another = await bare();
    await expect(another.encrypt({...context(), ALPNProtocols: ['h2']})).rejects.toThrow();
  });

  test('plain text behind the request is refused', async () => {
    await using connection = await bare();
    connection.socket.write(
      Buffer.concat([SSL, writeStartupPacket({protocol: 0x30000, parameters: [['user', 'alice']]})]),
    );
    const seen = await connection.until('E');
    expect(transcript(seen).at(-1)).toContain('C08P01 / Mreceived unencrypted data after SSL request');
  });

  test('what is no handshake ends the connection', async () => {
    await using connection = await bare();
    connection.socket.write(SSL);
    await connection.take(1);
    connection.socket.write('GET / HTTP/1.1\r\n\r\n');
    await once(connection.socket, 'close');
  });

  test.each([[0x16], [0x16, 3, 1, 2, 0, 1]])(
    'a handshake that the client ends in its middle ends at once',
    async (...hello) => {
      await using connection = await bare();
      connection.socket.end(Buffer.from(hello));
      await once(connection.socket, 'close');
      // Not by the test's own limit.
      expect(connection.socket.readableEnded).toBe(true);
    },
  );

  test('older versions of TLS are refused', async () => {
    await using connection = await bare();
    connection.socket.write(SSL);
    await connection.take(1);
    const old = {...context(), minVersion: 'TLSv1.1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0'} as const;
    await expect(connection.encrypt(old)).rejects.toThrow();
  });

  test('a cancel request over TLS', async () => {
    await using client = await RawClient.connect(urlOf(port, 'sslmode=no-verify'));
    client.send(Q('SELECT pg_sleep(600)'));
    const admin = new pg.Client({connectionString: engine.url});
    await admin.connect();
    await poll('the query to run', 30_000, async () => {
      const {rowCount} = await admin.query("SELECT FROM pg_stat_activity WHERE pid = $1 AND wait_event = 'PgSleep'", [
        client.processId,
      ]);
      return rowCount === 1;
    });
    await admin.end();
    await using connection = await bare();
    connection.socket.write(SSL);
    await connection.take(1);
    await using secure = await connection.encrypt(context());
    secure.socket.write(cancelRequest(client));
    expect(transcript(await client.ready())[1]).toContain('C57014');
    // As with PostgreSQL there is no answer, only the end.
    expect(await secure.take(1)).toHaveLength(0);
  });

  test('a client that goes in the middle of the handshake or behind it leaves nothing', async () => {
    for (const sent of [SSL, Buffer.concat([Buffer.from([0x16, 3, 1, 2, 0, 1])])]) {
      await using connection = await bare();
      connection.socket.write(sent);
      if (sent === SSL) await connection.take(1);
      connection.socket.destroy();
    }
    await poll('the sessions to end', 30_000, () => gateways.at(-1)!.sessions === 0);
  });
});

describe('clients on other machines', () => {
  let port: number;
  beforeAll(async () => (port = await serve('disable', true, {isTrusted: () => false})));

  test('have to encrypt', async () => {
    await expect(psql(port, 'sslmode=disable')).rejects.toThrow(
      'a client on another machine has to encrypt its connection',
    );
    await using connection = await BareConnection.open(`postgres://127.0.0.1:${port}`);
    const seen = await scramLogin(connection, [['user', 'alice']], PASSWORD);
    expect(transcript(seen).at(-1)).toContain('C28000');
    expect(await psql(port, 'sslmode=require')).toContain('SSL connection');
  });

  test('have to log in by password, also where PostgreSQL does not ask for one', async () => {
    const client = new pg.Client({
      connectionString: `postgres://trusting@localhost:${port}/postgres?sslmode=no-verify`,
    });
    client.on('error', () => undefined);
    await expect(client.connect()).rejects.toMatchObject({code: '28000', severity: 'FATAL'});
    const here = await serve('disable', true);
    const local = new pg.Client({connectionString: `postgres://trusting@localhost:${here}/postgres?sslmode=no-verify`});
    await local.connect();
    await local.end();
  });
});

describe('the files', () => {
  const withFiles = (other: Partial<CertificateFiles>) => () => new ClientTls({...files, ...other});
  const written = (name: string, text: string, mode = 0o600) => {
    const file = join(folder, name);
    fs.writeFileSync(file, text, {mode});
    return file;
  };

  test('what is wrong with them is said', () => {
    const other = selfSignedCertificate(folder, 'third');
    expect(withFiles({key: join(folder, 'missing')})).toThrow(/cannot read the TLS key ".*missing"/);
    expect(withFiles({certificate: files.key})).toThrow(/server.key" holds no certificate/);
    expect(withFiles({key: written('empty.key', '')})).toThrow(/empty.key" holds no private key/);
    expect(withFiles({key: other.key})).toThrow(/does not belong to the certificate/);
    fs.chmodSync(other.key, 0o644);
    expect(withFiles({key: other.key})).toThrow(/can be read or written by others/);
  });

  test('a key that is locked by a passphrase', async () => {
    const locked = join(folder, 'locked.key');
    await execute('openssl', ['ec', '-in', files.key, '-aes256', '-passout', 'pass:x', '-out', locked]);
    fs.chmodSync(locked, 0o600);
    expect(withFiles({key: locked})).toThrow(/not encrypted|holds no private key/);
  });

  test('are read again, and stay what they were if they are wrong', async () => {
    const mine = selfSignedCertificate(folder, 'mine');
    const encryption = new ClientTls(mine);
    const port = await serve('disable', true, {tls: encryption});
    const fingerprint = async () => {
      await using connection = await BareConnection.open(`postgres://127.0.0.1:${port}`);
      await using secure = await connection.encrypt({rejectUnauthorized: false, ALPNProtocols: ['postgresql']});
      const {socket} = secure;
      return socket instanceof tls.TLSSocket ? socket.getPeerCertificate().fingerprint256 : undefined;
    };
    const first = await fingerprint();
    selfSignedCertificate(folder, 'mine');
    expect(await fingerprint()).toBe(first);
    encryption.reload();
    const second = await fingerprint();
    expect(second).not.toBe(first);
    fs.writeFileSync(mine.key, 'nothing');
    expect(() => encryption.reload()).toThrow(/no private key/);
    expect(await fingerprint()).toBe(second);
  });
});
