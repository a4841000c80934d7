import {execFile} from 'node:child_process';
import {existsSync} from 'node:fs';
import {join} from 'node:path';
import {promisify} from 'node:util';
import {fetchedDirectory} from '../../scripts/process/fetched.ts';

export const run = promisify(execFile);

const FOLDER = import.meta.dirname;

/** What a program found out, by the name of the check: `ok`, or what went wrong. */
export type Findings = ReadonlyMap<string, string>;

/** Compiles the program on JDBC into `directory` and runs it. */
export async function runJavaProgram(environment: NodeJS.ProcessEnv, directory: string): Promise<Findings> {
  const jars = join(fetched('jdbc-driver', 'pom.xml'), '*');
  await run('javac', ['-cp', jars, '-d', directory, join(FOLDER, 'ClientProgram.java')]);
  const args = ['-XX:TieredStopAtLevel=1', '-cp', `${directory}:${jars}`, 'ClientProgram'];
  return findings(await run('java', args, {env: environment}));
}

export async function runPythonProgram(environment: NodeJS.ProcessEnv): Promise<Findings> {
  const python = join(fetched('psycopg', 'requirements.txt'), 'bin/python');
  return findings(await run(python, [join(FOLDER, 'client_program.py')], {env: environment}));
}

/** Where `scripts/setup` has put what this file names. */
function fetched(name: string, file: string): string {
  const path = fetchedDirectory(name, join(FOLDER, '../../scripts/clients', file));
  if (!existsSync(path)) throw new Error(`there is no ${path}: run scripts/setup`);
  return path;
}

function findings({stdout}: {readonly stdout: string}): Findings {
  const lines = stdout.trimEnd().split('\n');
  return new Map(
    lines.map(line => {
      const match = /^(?:(ok) (.*)|failed ([^:]*): (.*))$/.exec(line);
      if (match === null) throw new Error(`a program said: ${line}`);
      return match[1] === undefined ? [match[3], match[4]] : [match[2], 'ok'];
    }),
  );
}
