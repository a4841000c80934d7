/** What psql and pgbench need of the environment to log in at `url` as a role of the gateway's tests, and nothing of ours beside it. */
export function psqlEnvironment(url: string): Record<string, string> {
  const {hostname, port, username, pathname} = new URL(url);
  return {
    PATH: process.env['PATH'] ?? '',
    PGHOST: hostname,
    PGPORT: port,
    PGUSER: username,
    PGPASSWORD: 'secret',
    PGDATABASE: pathname.slice(1),
    LANG: 'C.UTF-8',
  };
}
