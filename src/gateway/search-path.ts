import type {ControlLink} from './control-link.ts';
import {DEFAULT_DATABASE} from './startup-options.ts';
import type {StartupPacket} from './startup-packet.ts';

/** ALTER ROLE … IN DATABASE, ALTER ROLE, ALTER DATABASE, ALTER ROLE ALL: the first of them that says something, as in PostgreSQL. */
const SETTING = `
SELECT (
  SELECT substr(c, length('search_path=') + 1) FROM pg_db_role_setting s CROSS JOIN unnest(s.setconfig) AS c
  WHERE starts_with(c, 'search_path=') AND s.setdatabase IN (0, d.oid)
    AND s.setrole IN (0, (SELECT oid FROM pg_roles WHERE rolname = $1))
  ORDER BY s.setrole <> 0 DESC, s.setdatabase <> 0 DESC LIMIT 1
) AS path
FROM pg_database d WHERE d.datname = current_database() AND d.datname = $2 AND to_regnamespace('mz_catalog') IS NOT NULL`;

/**
 * The search_path that PostgreSQL would give to the session of this client; `ofServer` is the one of postgresql.conf. Undefined for
 * another database than Sluice's, where our schemas are not.
 */
export async function defaultSearchPath(
  {parameters}: StartupPacket,
  control: ControlLink,
  ofServer: string,
): Promise<string | undefined> {
  const given = (wanted: string) => parameters.findLast(([name]) => name === wanted)?.[1];
  const decode = (text: string) => Buffer.from(text, 'latin1').toString('utf8');
  const connection = await control.connection();
  const {rows} = await connection.query(SETTING, [
    decode(given('user') ?? ''),
    decode(given('database') || DEFAULT_DATABASE),
  ]);
  const [row] = rows as {readonly path: string | null}[];
  return row === undefined ? undefined : Buffer.from(row.path ?? ofServer, 'utf8').toString('latin1');
}
