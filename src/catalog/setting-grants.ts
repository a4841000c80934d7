import type pg from 'pg';
import {SESSION_VARIABLES} from '../sql/variables.ts';

/**
 * Lets every role that may say ALTER ROLE … SET say it of our variables too: of parameters that it does not know PostgreSQL lets only
 * superusers, unless they grant it. The role has to be a superuser. For the whole server, so not for one that is not ours.
 */
export async function grantSettings(client: pg.Client): Promise<void> {
  const {rows} = await client.query<{name: string}>(
    `SELECT name FROM unnest($1::text[]) AS name WHERE NOT has_parameter_privilege('public', name, 'SET')`,
    [Object.keys(SESSION_VARIABLES).map(name => `sluice.${name}`)],
  );
  if (rows.length === 0) return;
  await client.query(`GRANT SET ON PARAMETER ${rows.map(({name}) => name).join(', ')} TO PUBLIC`);
}
