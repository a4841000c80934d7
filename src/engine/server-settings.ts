/** The administrator of the embedded engine; the address for internal use lets nobody else in. */
export const SUPERUSER = 'mz_system';
/** The user that clients know, and the name of the database. */
export const DEFAULT_USER = 'materialize';
export const DEFAULT_DATABASE = 'materialize';
/** Only part of the socket's name: there is no TCP. */
export const SOCKET_PORT = 5432;

const MIB = 1024 * 1024;

export interface SettingsInput {
  /** Absolute paths. */
  readonly dataDirectory: string;
  readonly logDirectory: string;
  readonly binariesRelease: string;
  /** Of the machine, in bytes. */
  readonly totalMemory: number;
}

/** A value of a configuration file. */
function quoted(value: string): string {
  return `'${value.replace(/'/g, "''")}'`;
}

/**
 * Statements and error messages can carry secrets and rows, so neither gets into the log: messages of level ERROR are what a
 * statement of some user did wrong, and that user is told anyway.
 */
export function serverSettings(input: SettingsInput): string {
  const sharedBuffers = Math.min(Math.max(Math.floor(input.totalMemory / 32 / MIB), 128), 512);
  const settings: Readonly<Record<string, string>> = {
    max_connections: '200',
    superuser_reserved_connections: '40',
    shared_buffers: `${sharedBuffers}MB`,
    wal_level: 'logical',
    fsync: 'on',
    full_page_writes: 'on',
    synchronous_commit: 'on',
    max_wal_size: '2GB',
    max_wal_senders: '64',
    max_replication_slots: '64',
    max_prepared_transactions: '64',
    wal_sender_timeout: '60s',
    // The queries of a client that is gone, also when Sluice went with it.
    client_connection_check_interval: '10s',
    password_encryption: 'scram-sha-256',
    unix_socket_permissions: '0700',
    timezone: 'UTC',
    log_timezone: 'UTC',
    lc_messages: 'C',
    logging_collector: 'on',
    log_destination: 'stderr',
    log_directory: input.logDirectory,
    log_filename: 'postgresql-%a.log',
    log_file_mode: '0600',
    log_rotation_age: '1d',
    log_rotation_size: '0',
    log_truncate_on_rotation: 'on',
    log_line_prefix: '%m [%p] %u@%d %a ',
    log_statement: 'none',
    log_min_messages: 'log',
    log_min_error_statement: 'panic',
    log_min_duration_statement: '-1',
    log_error_verbosity: 'terse',
    cluster_name: 'sluice',
  };
  return [
    '# Written by sluice at each start. To change a setting: ALTER SYSTEM as mz_system, which wins over this file.',
    `# PostgreSQL ${input.binariesRelease}`,
    `include = ${quoted(`${input.dataDirectory}/postgresql.conf`)}`,
    ...Object.entries(settings).map(([name, value]) => `${name} = ${quoted(value)}`),
    '',
  ].join('\n');
}

/** Who may log in over the socket, whose directory only the server's user (and root) can enter. */
export function hostBasedAuthentication(passwords: boolean): string {
  return [
    '# Written by sluice at each start.',
    `local all         ${SUPERUSER} scram-sha-256`,
    `local replication ${SUPERUSER} scram-sha-256`,
    `local all         all       ${passwords ? 'scram-sha-256' : 'trust'}`,
    '',
  ].join('\n');
}

/** Where a setting decides who can reach the server, it stands on the command line: ALTER SYSTEM cannot change it. */
export function serverArguments(paths: {
  readonly dataDirectory: string;
  readonly configFile: string;
  readonly hbaFile: string;
  readonly socketDirectory: string;
}): readonly string[] {
  const settings: Readonly<Record<string, string>> = {
    config_file: paths.configFile,
    hba_file: paths.hbaFile,
    listen_addresses: '',
    // A list; the quotes keep a comma in the path from splitting it.
    unix_socket_directories: `"${paths.socketDirectory.replace(/"/g, '""')}"`,
    port: String(SOCKET_PORT),
  };
  return [
    '-D',
    paths.dataDirectory,
    ...Object.entries(settings).flatMap(([name, value]) => ['-c', `${name}=${value}`]),
  ];
}
