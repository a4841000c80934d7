/** How to reach the PostgreSQL that Sluice runs on. Passed to child processes as JSON in an environment variable, never as an argument. */
export interface EngineAddress {
  /** Host name, or the directory of the Unix socket (then it begins with a slash). */
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
  readonly password?: string | undefined;
  /** What TLS to ask for; `disable` on a Unix socket. As libpq's sslmode. */
  readonly sslmode: 'disable' | 'prefer' | 'require' | 'verify-ca' | 'verify-full';
  readonly sslrootcert?: string | undefined;
}
