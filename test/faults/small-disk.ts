import {execFile} from 'node:child_process';
import {mkdir, rm, statfs} from 'node:fs/promises';
import {promisify} from 'node:util';

const MIB = 1024 * 1024;

/** To mount needs root, or sudo without a password. */
async function asRoot(program: string, args: readonly string[]): Promise<void> {
  const [command, ...rest] = process.getuid?.() === 0 ? [program, ...args] : ['sudo', '-n', program, ...args];
  await promisify(execFile)(command, rest);
}

/** A file system of a few megabytes in a folder, which can be made smaller and larger. */
export class SmallDisk implements AsyncDisposable {
  readonly path: string;

  private constructor(path: string) {
    this.path = path;
  }

  static async mount(path: string, mebibytes: number): Promise<SmallDisk> {
    await mkdir(path, {recursive: true});
    await asRoot('mount', ['-t', 'tmpfs', '-o', `size=${mebibytes}m,mode=1777`, 'sluice-test', path]);
    return new SmallDisk(path);
  }

  /** So much is free afterwards, whatever there is. */
  async leave(mebibytes: number): Promise<void> {
    const {blocks, bfree, bsize} = await statfs(this.path);
    const size = (blocks - bfree) * bsize + mebibytes * MIB;
    await asRoot('mount', ['-o', `remount,size=${size}`, this.path]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await asRoot('umount', ['--lazy', this.path]);
    await rm(this.path, {recursive: true, force: true});
  }
}

/** False in containers that may not mount anything. */
export async function canMount(path: string): Promise<boolean> {
  try {
    const disk = await SmallDisk.mount(path, 1);
    await disk[Symbol.asyncDispose]();
    return true;
  } catch {
    return false;
  }
}
