import {readFileSync} from 'node:fs';
import {join} from 'node:path';
import {Child} from '../../scripts/process/child.ts';
import {poll} from '../../scripts/process/poll.ts';
import {SLUICE} from '../setup/program.ts';

/** A process of the command line; its output goes to a file. */
export class SluiceCommand implements AsyncDisposable {
  readonly logFile: string;
  readonly #child: Child;

  private constructor(logFile: string, child: Child) {
    this.logFile = logFile;
    this.#child = child;
  }

  static async run(
    args: readonly string[],
    options: {readonly logFile: string; readonly environment?: Readonly<Record<string, string>>},
  ): Promise<SluiceCommand> {
    const child = await Child.spawn({
      command: process.execPath,
      args: [SLUICE, ...args],
      logFile: options.logFile,
      env: {...process.env, ...options.environment},
    });
    return new SluiceCommand(options.logFile, child);
  }

  get pid(): number {
    return this.#child.pid;
  }

  get output(): string {
    return readFileSync(this.logFile, 'utf8');
  }

  /** The URL that `sluice start` gives when clients can connect. */
  async ready(): Promise<URL> {
    return new URL(
      await poll('the start of sluice', 120_000, () => {
        if (!this.#child.running) throw new Error(`sluice ended with ${this.#child.ending}:\n${this.output}`);
        return /^sluice is ready: (\S+)$/m.exec(this.output)?.[1];
      }),
    );
  }

  /** How it ended, when it has: "code 0". */
  async ended(): Promise<string> {
    await poll('the end of the command', 120_000, () => !this.#child.running);
    return this.#child.ending;
  }

  signal(name: NodeJS.Signals): void {
    this.#child.signal(name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#child.end('SIGTERM');
  }
}

/** The process and everything below it that still runs. */
export function processTree(pid: number): number[] {
  const children = readProc(join(String(pid), 'task', String(pid), 'children'))
    .split(' ')
    .filter(Boolean)
    .map(Number);
  return [pid, ...children.flatMap(processTree)];
}

/** A file of /proc; empty if the process is gone. */
export function readProc(path: string): string {
  try {
    return readFileSync(join('/proc', path), 'latin1');
  } catch {
    return '';
  }
}
