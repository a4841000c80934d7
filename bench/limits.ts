import {spawn} from 'node:child_process';
import {closeSync, openSync} from 'node:fs';
import {once} from 'node:events';
import {toFigures, type Figures} from './result.ts';
import {Watch, type Servers} from './watch.ts';

/** What the change stream can give: the same messages with the same options as ours, read by PostgreSQL's own program. */
export async function receiveToNowhere(options: {
  readonly url: string;
  readonly slot: string;
  readonly publication: string;
  readonly end: string;
  readonly rows: number;
  readonly servers: Servers;
}): Promise<Figures> {
  const plugin = {
    proto_version: '2',
    publication_names: `"${options.publication}"`,
    binary: 'true',
    streaming: 'on',
  };
  const args = [
    ...['--dbname', options.url, '--slot', options.slot, '--start', '--endpos', options.end],
    ...['--file', '-', '--fsync-interval', '0', '--no-loop'],
    ...Object.entries(plugin).flatMap(([name, value]) => ['--option', `${name}=${value}`]),
  ];
  return toNowhere('pg_recvlogical', args, options);
}

/** What reading the table can give. */
export async function copyToNowhere(options: {
  readonly url: string;
  readonly table: string;
  readonly rows: number;
  readonly servers: Servers;
}): Promise<Figures> {
  const command = `COPY ${options.table} TO STDOUT (FORMAT binary)`;
  return toNowhere('psql', ['--quiet', '--no-psqlrc', options.url, '--command', command], options);
}

/** Runs a command with its output to nowhere, from its start to its end. */
async function toNowhere(
  command: string,
  args: readonly string[],
  {rows, servers}: {readonly rows: number; readonly servers: Servers},
): Promise<Figures> {
  const nowhere = openSync('/dev/null', 'w');
  try {
    const from = Date.now();
    const startedAt = performance.now();
    const child = spawn(command, args, {stdio: ['ignore', nowhere, 'inherit']});
    await once(child, 'spawn');
    const watch = new Watch([child.pid!], servers);
    const [code] = (await once(child, 'exit')) as [number | null];
    const seconds = (performance.now() - startedAt) / 1000;
    watch.stop();
    if (code !== 0) throw new Error(`${command} ended with ${code}`);
    return toFigures({rows, seconds, ...watch.used(from, Date.now())});
  } finally {
    closeSync(nowhere);
  }
}
