import {isUtf8} from 'node:buffer';
import {SqlError} from '../base/sql-error.ts';
import type {ControlLink} from './control-link.ts';
import {asksForReplication} from './startup-options.ts';
import type {StartupPacket} from './startup-packet.ts';

/** PostgreSQL cuts longer names of users. */
const NAME_BYTES = 63;

/** Of our own; the internal address takes it. */
const INTERNAL_USER = 'mz_system';

/** Throws `SqlError` for what the main address does not let in; the password is the engine's to ask for. */
export async function admit(startup: StartupPacket, control: ControlLink, takesAdministrators: boolean): Promise<void> {
  if (startup.parameters.some(([name, value]) => name === 'replication' && asksForReplication(value))) {
    throw new SqlError('0A000', 'replication connections are not supported here', {
      hint: 'Connect to the PostgreSQL server itself.',
    });
  }
  // Given twice, the last one counts. Without one PostgreSQL says what is missing.
  const given = startup.parameters.findLast(([name]) => name === 'user')?.[1];
  if (given === undefined || takesAdministrators) return;
  const bytes = Buffer.from(given, 'latin1').subarray(0, NAME_BYTES);
  const user = bytes.toString('utf8');
  if (!isUtf8(bytes) || user === INTERNAL_USER || (await isSuperuser(user, control))) {
    throw new SqlError('28000', `role "${user}" is not permitted to log in here`, {
      detail: 'This address does not take administrators of the engine.',
      hint: 'Use the internal address.',
    });
  }
}

async function isSuperuser(user: string, control: ControlLink): Promise<boolean> {
  try {
    const connection = await control.connection();
    const {rowCount} = await connection.query('SELECT FROM pg_catalog.pg_roles WHERE rolname = $1 AND rolsuper', [
      user,
    ]);
    return rowCount !== 0;
  } catch (cause) {
    throw new SqlError('57P03', 'the engine cannot be reached', {hint: 'Try again later.', cause});
  }
}
