import {execFile} from 'node:child_process';
import {randomBytes} from 'node:crypto';
import fs from 'node:fs/promises';
import {join} from 'node:path';
import {promisify} from 'node:util';
import pg from 'pg';
import {SqlError} from '../base/sql-error.ts';
import type {EngineAddress} from './address.ts';
import {connect} from './connect.ts';
import type {DataDirectory} from './data-directory.ts';
import {writeDurably} from './durable-file.ts';
import {scramVerifier} from './scram-verifier.ts';
import {DEFAULT_DATABASE, DEFAULT_USER, SUPERUSER} from './server-settings.ts';

const run = promisify(execFile);

/**
 * Makes an empty cluster in PGDATA, not yet durable: `syncCluster` does that while the server already starts. What an
 * unfinished attempt has left is removed first.
 */
export async function initialiseCluster(directory: DataDirectory, binaries: string): Promise<void> {
  const {dataDirectory, passwordFile, user} = directory;
  for (const name of await fs.readdir(dataDirectory)) await fs.rm(join(dataDirectory, name), {recursive: true});
  const password = randomBytes(24).toString('base64url');
  await writeDurably(passwordFile, password, 0o600);
  // initdb takes the password from a file that the server's user can read; that file gets only the verifier.
  const verifierFile = join(directory.logDirectory, '..', 'config', 'verifier');
  await fs.rm(verifierFile, {force: true});
  await fs.writeFile(verifierFile, scramVerifier(password), {mode: 0o600, flag: 'wx'});
  if (user !== undefined) await fs.chown(verifierFile, user.uid, user.gid);
  const args = ['-D', dataDirectory, '-U', SUPERUSER, '-A', 'scram-sha-256', `--pwfile=${verifierFile}`, '--no-sync'];
  // The provider that is part of PostgreSQL: no locale of the operating system can change the order of an index.
  args.push('-E', 'UTF8', '--locale=C', '--locale-provider=builtin', '--builtin-locale=C.UTF-8');
  try {
    await run(join(binaries, 'initdb'), args, {cwd: dataDirectory, env: initEnvironment(), ...user});
  } catch (error) {
    const said = (error as {stderr?: string}).stderr?.trim();
    throw new SqlError('58000', 'PostgreSQL could not create its data directory', {
      detail: said === undefined || said === '' ? (error as Error).message : said,
      cause: error,
    });
  } finally {
    await fs.rm(verifierFile, {force: true});
  }
}

export async function syncCluster(directory: DataDirectory, binaries: string): Promise<void> {
  const {dataDirectory, user} = directory;
  const args = ['-D', dataDirectory, '--sync-only', '--sync-method=fsync'];
  await run(join(binaries, 'initdb'), args, {cwd: dataDirectory, env: initEnvironment(), ...user});
}

function initEnvironment(): NodeJS.ProcessEnv {
  return {PATH: process.env['PATH'], LANG: 'C', TZ: 'UTC'};
}

/** The user and the database that clients expect, where they are missing; and the password, where one is demanded. */
export async function ensureDefaultUser(superuser: EngineAddress, password: string | undefined): Promise<void> {
  const client = await connect({...superuser, database: 'postgres'}, {applicationName: 'sluice engine'});
  try {
    const {rows} = await client.query<{role: boolean; database: boolean}>(
      `SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1) AS role,
        EXISTS (SELECT FROM pg_database WHERE datname = $2) AS database`,
      [DEFAULT_USER, DEFAULT_DATABASE],
    );
    const {role, database} = rows[0];
    if (!role) await client.query(`CREATE ROLE ${DEFAULT_USER} LOGIN CREATEROLE`);
    if (!database) await client.query(`CREATE DATABASE ${DEFAULT_DATABASE} OWNER ${DEFAULT_USER}`);
    if (password !== undefined) {
      await client.query(`ALTER ROLE ${DEFAULT_USER} PASSWORD ${pg.escapeLiteral(scramVerifier(password))}`);
    }
  } finally {
    await client.end();
  }
}
