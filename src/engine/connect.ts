import type {Socket} from 'node:net';
import pg from 'pg';
import {SqlError} from '../base/sql-error.ts';
import type {EngineAddress} from './address.ts';
import {errorCode} from './connection-errors.ts';
import {tlsSettings} from './tls-settings.ts';

export interface ConnectOptions {
  /** Shown in `pg_stat_activity`; every connection of ours has a name that says what it is for. */
  readonly applicationName: string;
  readonly connectTimeoutMs?: number | undefined;
  /** Further settings for this session, on top of `SESSION_SETTINGS`; undefined leaves one of those to the server. */
  readonly settings?: Readonly<Record<string, string | undefined>> | undefined;
  /** `database`: a walsender that also takes SQL by the simple protocol. See `connectReplication`. */
  readonly replication?: 'database' | undefined;
  /** The socket to connect where there is no TLS. */
  readonly plainSocket?: (() => Socket) | undefined;
}

/**
 * What our SQL relies on. Sent as start-up options, which win over ALTER ROLE … SET, ALTER DATABASE … SET and postgresql.conf.
 * `synchronous_commit` because the slot is confirmed only after our own rows are durable.
 */
const SESSION_SETTINGS: Readonly<Record<string, string>> = {
  client_encoding: 'UTF8',
  TimeZone: 'UTC',
  DateStyle: 'ISO, MDY',
  IntervalStyle: 'postgres',
  bytea_output: 'hex',
  extra_float_digits: '3',
  search_path: 'pg_catalog',
  standard_conforming_strings: 'on',
  row_security: 'on',
  statement_timeout: '0',
  lock_timeout: '0',
  idle_in_transaction_session_timeout: '0',
  idle_session_timeout: '0',
  default_transaction_isolation: 'read committed',
  default_transaction_read_only: 'off',
  default_transaction_deferrable: 'off',
  synchronous_commit: 'on',
};

const CONNECT_TIMEOUT_MS = 10_000;
/** After so long without a word the other machine is asked whether it is still there. */
export const KEEP_ALIVE_DELAY_MS = 10_000;

/** `options` start-up parameter; blanks and backslashes of a value are escaped by a backslash (libpq's rule). */
function startupOptions(settings: Readonly<Record<string, string | undefined>>): string {
  return Object.entries(settings)
    .filter((setting): setting is [string, string] => setting[1] !== undefined)
    .map(([name, value]) => `-c ${name}=${value.replace(/[\\ ]/g, '\\$&')}`)
    .join(' ');
}

function describeAddress(address: EngineAddress): string {
  return address.host.startsWith('/') ? `the socket in ${address.host}` : `${address.host}:${address.port}`;
}

/**
 * pg reports a lost connection and the use of a dead client as errors without a code; these get SQLSTATEs (08006, 08003),
 * so that callers can classify them. Must be called before `client.connect()`.
 */
function codeConnectionLoss(client: pg.Client): void {
  let ending = false;
  const end = client.end.bind(client) as (...args: unknown[]) => unknown;
  client.end = ((...args: unknown[]) => {
    ending = true;
    return end(...args);
  }) as typeof client.end;
  client.connection.once('end', () => {
    // pg's own listener comes after this one and finds no query left to fail.
    if (!ending) client.connection.emit('error', new SqlError('08006', 'the connection to PostgreSQL was lost'));
  });
  const query = client.query.bind(client) as (...args: unknown[]) => unknown;
  const refuse = () => {
    client.query = ((...args: unknown[]) => {
      // Only plain calls can be answered by a promise; a query object is told by pg itself.
      if (typeof args[0] === 'object' && args[0] !== null && 'submit' in args[0]) return query(...args);
      return Promise.reject(new SqlError('08003', 'the connection to PostgreSQL is closed'));
    }) as typeof client.query;
  };
  // With a listener, because without one the loss of an idle connection would end the process; who needs to know listens to
  // `end`. From here on pg itself would refuse queries, with an error that has no code.
  client.on('error', refuse);
  client.once('end', refuse);
}

interface UnlistedConfig extends pg.ClientConfig {
  readonly replication?: 'database' | undefined;
}

/** A client that is set up but not connected. */
async function newClient(address: EngineAddress, options: ConnectOptions): Promise<pg.Client> {
  const timeoutMs = options.connectTimeoutMs ?? CONNECT_TIMEOUT_MS;
  const ssl = await tlsSettings(address, timeoutMs);
  const config: UnlistedConfig = {
    host: address.host,
    port: address.port,
    database: address.database,
    user: address.user,
    // A function, because pg would look for a missing password in the environment and in ~/.pgpass.
    password: () => {
      if (address.password !== undefined) return address.password;
      throw new SqlError('28P01', `PostgreSQL asks for a password of role "${address.user}" and none was given`, {
        hint: 'Put it into the URL or into the environment variable PGPASSWORD.',
      });
    },
    ssl,
    ...(ssl === false && options.plainSocket !== undefined ? {stream: options.plainSocket} : {}),
    application_name: options.applicationName,
    options: startupOptions({...SESSION_SETTINGS, ...options.settings}),
    connectionTimeoutMillis: timeoutMs,
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEP_ALIVE_DELAY_MS,
    replication: options.replication,
  };
  const client = new pg.Client(config);
  codeConnectionLoss(client);
  return client;
}

/** The server's own errors stay as they are; everything else becomes 08001 with the cause kept. */
function connectFailure(address: EngineAddress, error: unknown): unknown {
  if (error instanceof pg.DatabaseError || (error instanceof SqlError && error.code === '28P01')) return error;
  const reason =
    error instanceof Error && error.message !== '' ? error.message : (errorCode(error) ?? 'unknown reason');
  return new SqlError('08001', `could not connect to PostgreSQL at ${describeAddress(address)}: ${reason}`, {
    cause: error,
  });
}

/** Opens a client of which nothing else is known yet; `prepare` may listen before the first byte arrives. */
export async function openClient(
  address: EngineAddress,
  options: ConnectOptions,
  prepare: (client: pg.Client) => void = () => undefined,
): Promise<pg.Client> {
  let client: pg.Client | undefined;
  try {
    client = await newClient(address, options);
    prepare(client);
    await client.connect();
    return client;
  } catch (error) {
    // pg leaves the connection open when the log-in fails on our side.
    client?.connection.stream.destroy();
    throw connectFailure(address, error);
  }
}

/**
 * A connection with the settings above. Its loss makes running and later queries fail with an error for which
 * `isConnectionError` holds; an idle client only emits `end`. Throws the server's error, or `SqlError` 08001.
 */
export async function connect(address: EngineAddress, options: ConnectOptions): Promise<pg.Client> {
  const client = await openClient(address, options);
  if (options.replication === undefined) {
    // Exists from PostgreSQL 17 on, where an older server would refuse the start-up option.
    await client.query(`SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'transaction_timeout'`);
  }
  return client;
}
