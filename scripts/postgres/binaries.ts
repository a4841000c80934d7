import {existsSync} from 'node:fs';
import {findBinaries} from '../../src/engine/binaries.ts';
import {chooseServerUser} from '../../src/engine/server-user.ts';

export type PostgresVersion = 15 | 18;

/** Where Debian's postgresql-15 lies. */
const DEBIAN_15 = '/usr/lib/postgresql/15/bin';

/** The folder with initdb and postgres: 18 is the one that Sluice brings, 15 Debian's. */
export async function postgresBinaries(version: PostgresVersion): Promise<string> {
  if (version === 18) return (await findBinaries(chooseServerUser())).directory;
  if (!existsSync(DEBIAN_15)) throw new Error(`no PostgreSQL 15 in ${DEBIAN_15}: run scripts/setup --for test`);
  return DEBIAN_15;
}
