import {execFile} from 'node:child_process';
import {chmod, mkdtemp, open, rm, type FileHandle} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {promisify} from 'node:util';

/** A wall clock for one program and its children, which can be set while they run; the machine's own stays as it is. */
export class FalseClock implements AsyncDisposable {
  readonly #directory: string;
  readonly #file: FileHandle;

  private constructor(directory: string, file: FileHandle) {
    this.#directory = directory;
    this.#file = file;
  }

  static async make(): Promise<FalseClock> {
    const directory = await mkdtemp(join(tmpdir(), 'sluice-clock-'));
    // Programs of other users read it too.
    await chmod(directory, 0o755);
    const source = join(import.meta.dirname, 'false-clock.c');
    const library = join(directory, 'clock.so');
    await promisify(execFile)('cc', ['-O2', '-std=gnu11', '-shared', '-fPIC', source, '-o', library]);
    const clock = new FalseClock(directory, await open(join(directory, 'offset'), 'w', 0o644));
    await clock.set(0);
    return clock;
  }

  /** For the program whose clock it is to be. */
  get environment(): Readonly<Record<string, string>> {
    return {LD_PRELOAD: join(this.#directory, 'clock.so'), FALSE_CLOCK: join(this.#directory, 'offset')};
  }

  /** How far the clock is ahead of the true one from now on. */
  async set(seconds: number): Promise<void> {
    await this.#file.write(Buffer.from(BigInt64Array.of(BigInt(seconds) * 1_000_000_000n).buffer), 0, 8, 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#file.close();
    await rm(this.#directory, {recursive: true, force: true});
  }
}
