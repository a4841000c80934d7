import fs from 'node:fs';
import {join, resolve} from 'node:path';
import {SqlError} from '../base/sql-error.ts';
import type {EngineAddress} from './address.ts';
import {DEFAULT_DATABASE, SOCKET_PORT, SUPERUSER} from './server-settings.ts';

/**
 * The embedded engine of a Sluice that runs on this data directory, for its administrator; nothing is locked or started. Throws
 * `SqlError` 55000 where there is no such directory. Whether the engine answers is found out by connecting.
 */
export function runningEngine(dataDir: string): EngineAddress {
  const read = (name: string) => {
    try {
      return fs.readFileSync(join(dataDir, name), 'utf8');
    } catch (cause) {
      throw new SqlError('55000', `"${dataDir}" is no data directory of a running Sluice`, {
        cause,
        hint: 'Give the directory of sluice start with --data-dir, or the URL of your own PostgreSQL with --postgres.',
      });
    }
  };
  const {socketDirectory} = JSON.parse(read('sluice.json')) as {socketDirectory: string};
  return {
    host: resolve(dataDir, socketDirectory),
    port: SOCKET_PORT,
    database: DEFAULT_DATABASE,
    user: SUPERUSER,
    password: read('superuser-password').trim(),
    sslmode: 'disable',
  };
}
