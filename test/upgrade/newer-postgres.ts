import {execFile} from 'node:child_process';
import {chmod, mkdir, mkdtemp, readdir, rm} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {promisify} from 'node:util';
import {fetchedDirectory} from '../../scripts/process/fetched.ts';

const REQUIREMENTS = join(import.meta.dirname, '../../scripts/clients/postgres-requirements.txt');

/** A newer minor version of PostgreSQL 18 than the one that Sluice brings, with all its programs, where the server's user can run them. */
export class NewerPostgres implements AsyncDisposable {
  /** The folder with pg_upgrade, pg_dump, psql and the others. */
  readonly programs: string;
  readonly #directory: string;

  private constructor(directory: string) {
    this.#directory = directory;
    this.programs = join(directory, 'embedded_postgres/pginstall/bin');
  }

  static async copy(): Promise<NewerPostgres> {
    const lib = join(fetchedDirectory('postgresql', REQUIREMENTS), 'lib');
    const [python] = await readdir(lib);
    const packages = join(lib, python, 'site-packages');
    const directory = await mkdtemp(join(tmpdir(), 'sluice-newer-'));
    await chmod(directory, 0o755);
    await mkdir(join(directory, 'embedded_postgres'));
    const parts = ['embedded_postgres.libs', 'embedded_postgres/pginstall'].map(part => join(packages, part));
    await promisify(execFile)('cp', ['-r', parts[0], directory]);
    await promisify(execFile)('cp', ['-r', parts[1], join(directory, 'embedded_postgres')]);
    return new NewerPostgres(directory);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await rm(this.#directory, {recursive: true});
  }
}
