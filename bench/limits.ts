import {spawn} from 'node:child_process';
import {closeSync, openSync} from 'node:fs';
import {once} from 'node:events';

/** Runs a command with its output to nowhere; seconds from its start to its end. */
async function seconds(command: string, args: readonly string[]): Promise<number> {
  const nowhere = openSync('/dev/null', 'w');
  try {
    const startedAt = performance.now();
    const child = spawn(command, args, {stdio: ['ignore', nowhere, 'inherit']});
    const [code] = (await once(child, 'exit')) as [number | null];
    if (code !== 0) throw new Error(`${command} ended with ${code}`);
    return (performance.now() - startedAt) / 1000;
  } finally {
    closeSync(nowhere);
  }
}

/** What the change stream can give: the same messages with the same options as ours, read by PostgreSQL's own program. */
export async function receiveToNowhere(options: {
  readonly url: string;
  readonly slot: string;
  readonly publication: string;
  readonly end: string;
}): Promise<number> {
  const plugin = {
    proto_version: '2',
    publication_names: `"${options.publication}"`,
    binary: 'true',
    streaming: 'on',
  };
  return seconds('pg_recvlogical', [
    ...['--dbname', options.url, '--slot', options.slot, '--start', '--endpos', options.end],
    ...['--file', '-', '--fsync-interval', '0', '--no-loop'],
    ...Object.entries(plugin).flatMap(([name, value]) => ['--option', `${name}=${value}`]),
  ]);
}

/** What reading the table can give. */
export async function copyToNowhere(url: string, table: string): Promise<number> {
  return seconds('psql', ['--quiet', '--no-psqlrc', url, '--command', `COPY ${table} TO STDOUT (FORMAT binary)`]);
}
