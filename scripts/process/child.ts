import {spawn, type ChildProcess} from 'node:child_process';
import {closeSync, openSync} from 'node:fs';
import {once} from 'node:events';

export interface ChildOptions {
  readonly command: string;
  readonly args: readonly string[];
  /** Standard output and error are appended here. */
  readonly logFile: string;
  readonly cwd?: string | undefined;
  readonly env?: NodeJS.ProcessEnv | undefined;
  readonly uid?: number | undefined;
  readonly gid?: number | undefined;
}

/** A server process that never outlives us: when we die in whatever way, even by SIGKILL, it is killed too. */
export class Child {
  readonly pid: number;
  readonly #process: ChildProcess;
  readonly #leash: ChildProcess;
  readonly #exited: Promise<void>;

  private constructor(process: ChildProcess, pid: number) {
    this.pid = pid;
    this.#process = process;
    // The pipe to its standard input closes with us; then `cat` ends and the server is killed.
    this.#leash = spawn('sh', ['-c', 'cat; kill -KILL "$1"', 'leash', String(pid)], {
      stdio: ['pipe', 'ignore', 'ignore'],
      detached: true,
    });
    this.#leash.unref();
    (this.#leash.stdin as unknown as {unref(): void}).unref();
    this.#exited = once(process, 'exit').then(() => {
      // Before anything else can get the number of the process that is gone.
      this.#leash.kill('SIGKILL');
    });
  }

  static async spawn(options: ChildOptions): Promise<Child> {
    const log = openSync(options.logFile, 'a', 0o600);
    try {
      const process = spawn(options.command, options.args, {
        stdio: ['ignore', log, log],
        cwd: options.cwd,
        env: options.env,
        uid: options.uid,
        gid: options.gid,
        // A group of its own: Ctrl-C in the terminal reaches us, and we stop it in order.
        detached: true,
      });
      await once(process, 'spawn');
      process.unref();
      return new Child(process, process.pid!);
    } finally {
      closeSync(log);
    }
  }

  get running(): boolean {
    return this.#process.exitCode === null && this.#process.signalCode === null;
  }

  /** How it ended, for messages: "code 1" or "signal SIGKILL". */
  get ending(): string {
    return this.#process.signalCode === null ? `code ${this.#process.exitCode}` : `signal ${this.#process.signalCode}`;
  }

  signal(name: NodeJS.Signals): void {
    if (this.running) this.#process.kill(name);
  }

  /** Sends the signal and resolves when the process is gone; after `patienceMs` it is killed. */
  async end(name: NodeJS.Signals, patienceMs = 30_000): Promise<void> {
    this.signal(name);
    const killer = setTimeout(() => {
      this.signal('SIGKILL');
    }, patienceMs);
    this.#process.ref();
    await this.#exited;
    clearTimeout(killer);
  }
}
