import {isUtf8} from 'node:buffer';
import {SqlError} from '../base/sql-error.ts';
import type {LoginDesk} from './login-desk.ts';
import {DEFAULT_DATABASE, asksForReplication} from './startup-options.ts';
import type {StartupPacket} from './startup-packet.ts';

/** PostgreSQL cuts longer names of users. */
const NAME_BYTES = 63;

/** Of our own; the internal address takes it. */
const INTERNAL_USER = 'mz_system';

/**
 * Throws `SqlError` for what this address does not let in; the password is the engine's to ask for. Returns the search_path that the
 * session would have by the engine's catalog; null: by its configuration; undefined: in a database without our schemas.
 */
export async function admit(
  startup: StartupPacket,
  desk: LoginDesk,
  takesAdministrators: boolean,
): Promise<string | null | undefined> {
  if (startup.parameters.some(([name, value]) => name === 'replication' && asksForReplication(value))) {
    throw new SqlError('0A000', 'replication connections are not supported here', {
      hint: 'Connect to the PostgreSQL server itself.',
    });
  }
  // Given twice, the last one counts. Without a user PostgreSQL says what is missing.
  const given = (wanted: string) =>
    Buffer.from(startup.parameters.findLast(([name]) => name === wanted)?.[1] ?? '', 'latin1');
  const bytes = given('user').subarray(0, NAME_BYTES);
  const user = bytes.toString('utf8');
  if (!takesAdministrators && (!isUtf8(bytes) || user === INTERNAL_USER)) throw administrator(user);
  const {superuser, searchPath} = await facts(desk, user, given('database').toString('utf8') || DEFAULT_DATABASE);
  if (!takesAdministrators && superuser) throw administrator(user);
  return searchPath;
}

async function facts(desk: LoginDesk, user: string, database: string): ReturnType<LoginDesk['facts']> {
  try {
    return await desk.facts(user, database);
  } catch (cause) {
    throw unreachable(cause);
  }
}

export const unreachable = (cause?: unknown): SqlError =>
  new SqlError('57P03', 'the engine cannot be reached', {hint: 'Try again later.', cause});

const administrator = (user: string): SqlError =>
  new SqlError('28000', `role "${user}" is not permitted to log in here`, {
    detail: 'This address does not take administrators of the engine.',
    hint: 'Use the internal address.',
  });
