import type {EngineAddress} from './address.ts';
import {connect} from './connect.ts';

/** The search_path of the server's configuration; undefined where a setting of Sluice's own role or of the database hides it. */
export async function readServerSearchPath(address: EngineAddress): Promise<string | undefined> {
  const client = await connect(address, {applicationName: 'sluice start', settings: {search_path: undefined}});
  try {
    const {rows} = await client.query<{path: string}>(
      `SELECT reset_val AS path FROM pg_catalog.pg_settings WHERE name = 'search_path' AND source NOT IN ('database', 'user', 'database user')`,
    );
    return rows[0]?.path;
  } finally {
    await client.end();
  }
}
