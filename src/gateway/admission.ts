import {isUtf8} from 'node:buffer';
import {SqlError} from '../base/sql-error.ts';
import type {FactsHere, LoginDesk, LoginFacts, LoginQuestion} from './login-desk.ts';
import {DEFAULT_DATABASE, asksForReplication, withoutCatalog} from './startup-options.ts';
import type {StartupPacket} from './startup-packet.ts';

/** PostgreSQL cuts longer names of users. */
const NAME_BYTES = 63;

/** Of our own; the internal address takes it. */
const INTERNAL_USER = 'mz_system';

/** Who begins a session, and where; `here` is undefined in a database without our schemas. */
export interface Admission {
  readonly user: string;
  readonly database: string;
  readonly here: FactsHere | undefined;
}

/**
 * Throws `SqlError` for what this address does not let in; the password is the engine's to ask for. `settings`: what the client sets
 * by itself.
 */
export async function admit(
  startup: StartupPacket,
  settings: ReadonlyMap<string, string>,
  desk: LoginDesk,
  takesAdministrators: boolean,
): Promise<Admission> {
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
  const database = given('database').toString('utf8') || DEFAULT_DATABASE;
  const path = settings.get('search_path');
  const {superuser, here} = await factsFor(desk, {
    role: user,
    database,
    cluster: settings.get('sluice.cluster'),
    searchPath: path === undefined ? undefined : withoutCatalog(path),
  });
  if (!takesAdministrators && superuser) throw administrator(user);
  return {user, database, here};
}

async function factsFor(desk: LoginDesk, question: LoginQuestion): Promise<LoginFacts> {
  try {
    return await desk.facts(question);
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
