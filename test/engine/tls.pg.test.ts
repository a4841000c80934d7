import {once} from 'node:events';
import fs from 'node:fs';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {afterAll, beforeAll, expect, test} from 'vitest';
import {PostgresServer} from '../../scripts/postgres/server.ts';
import type {EngineAddress} from '../../src/engine/address.ts';
import {connectReplication} from '../../src/engine/connect-replication.ts';
import {connect} from '../../src/engine/connect.ts';
import {chooseServerUser} from '../../src/engine/server-user.ts';
import {selfSignedCertificate} from '../setup/certificate.ts';
import {addressOf, createTestDatabase} from '../setup/postgres.ts';

let folder: string;
let certificate: string;
let server: PostgresServer;

beforeAll(async () => {
  folder = fs.mkdtempSync(join(tmpdir(), 'sluice-tls-'));
  fs.chmodSync(folder, 0o711);
  const files = selfSignedCertificate(folder);
  const {key} = files;
  certificate = files.certificate;
  const user = chooseServerUser();
  if (user !== undefined) fs.chownSync(key, user.uid, user.gid);
  server = await PostgresServer.start({settings: {ssl: 'on', ssl_cert_file: certificate, ssl_key_file: key}});
});
afterAll(async () => {
  await server[Symbol.asyncDispose]();
  fs.rmSync(folder, {recursive: true});
});

const addressWith = (other: Partial<EngineAddress>): EngineAddress => ({...addressOf(new URL(server.url)), ...other});

async function isEncrypted(address: EngineAddress): Promise<boolean> {
  const client = await connect(address, {applicationName: 'test'});
  try {
    const {rows} = await client.query<{ssl: boolean}>('SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()');
    return rows[0].ssl;
  } finally {
    await client.end();
  }
}

test.each([
  ['disable', {}, false],
  ['prefer', {}, true],
  ['require', {}, true],
  // The certificate names localhost only, and this mode does not look at names.
  ['verify-ca', {sslrootcert: 'server.pem'}, true],
  ['verify-full', {sslrootcert: 'server.pem', host: 'localhost'}, true],
] as const)('%s', async (sslmode, {sslrootcert, ...other}: {sslrootcert?: string; host?: string}, encrypted) => {
  const root = sslrootcert === undefined ? {} : {sslrootcert: join(folder, sslrootcert)};
  expect(await isEncrypted(addressWith({sslmode, ...root, ...other}))).toBe(encrypted);
});

test.each([
  ['verify-full with another name', {sslmode: 'verify-full', root: true}],
  ['verify-full with an unknown authority', {sslmode: 'verify-full', root: false, host: 'localhost'}],
  ['verify-ca with an unknown authority', {sslmode: 'verify-ca', root: false}],
] as const)('%s fails', async (_, {root, ...other}) => {
  const address = addressWith({...other, ...(root ? {sslrootcert: certificate} : {})});
  await expect(isEncrypted(address)).rejects.toMatchObject({code: '08001'});
});

test('a server without TLS: prefer goes on in plain text, require does not', async () => {
  await using database = await createTestDatabase();
  expect(await isEncrypted({...database.address, sslmode: 'prefer'})).toBe(false);
  await expect(isEncrypted({...database.address, sslmode: 'require'})).rejects.toMatchObject({code: '08001'});
});

test('the bare socket of a replication connection is the decrypted one', async () => {
  const connection = await connectReplication(addressWith({sslmode: 'require'}), {applicationName: 'test'});
  const query = Buffer.from('Q\0\0\0\0IDENTIFY_SYSTEM\0');
  query.writeInt32BE(query.length - 1, 1);
  connection.socket.write(query);
  connection.socket.resume();
  const [answer] = (await once(connection.socket, 'data')) as [Buffer];
  expect(String.fromCharCode(answer[0])).toBe('T');
  connection.close();
});
