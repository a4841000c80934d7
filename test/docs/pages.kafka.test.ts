import {execFile} from 'node:child_process';
import {chmod, mkdtemp, readFile, rm} from 'node:fs/promises';
import {tmpdir} from 'node:os';
import {join} from 'node:path';
import {promisify} from 'node:util';
import {afterAll, beforeAll, describe, expect, test} from 'vitest';
import {Child} from '../../scripts/process/child.ts';
import {freePorts} from '../../scripts/process/free-port.ts';
import {poll} from '../../scripts/process/poll.ts';
import {freshTopicName, kafkaAddress} from '../setup/kafka.ts';
import {showsTheSame, stepsOf, type Step} from './page.ts';

const ROOT = join(import.meta.dirname, '../..');
const LIMIT_MS = 60_000;
const run = promisify(execFile);

/** In the order in which somebody reads them: each goes on where the one before has ended. */
const PAGES = ['first-sink.md', 'operations.md', 'consumers.md', 'backup.md'];

/** Where the pages are tried: a directory, and addresses and topics of its own instead of those that they name. */
class Desk {
  readonly #directory: string;
  readonly #replaced: readonly (readonly [string, string])[];
  #sluice: Child | undefined;
  #start = '';

  constructor(directory: string, ports: readonly number[]) {
    this.#directory = directory;
    const topic = freshTopicName('orders');
    this.#replaced = [
      ['127.0.0.1:6875', `127.0.0.1:${ports[0]}`],
      ['127.0.0.1:9464', `127.0.0.1:${ports[1]}`],
      ['localhost:9092', kafkaAddress()],
      ["TOPIC 'orders", `TOPIC '${topic}`],
      ['-t orders', `-t ${topic}`],
    ];
  }

  async do({kind, text, shown}: Step): Promise<void> {
    const typed = this.#replaced.reduce((line, [there, here]) => line.replaceAll(there, here), text);
    if (kind === 'by hand') await (text === 'stop' ? this.stop() : this.#startSluice(this.#start));
    else if (kind === 'sql')
      await this.#try(() => this.#psql(typed), shown, /^\s*(SELECT|SHOW)\b[^;]*;\s*$/.test(typed));
    else if (typed.startsWith('psql ')) await this.#shell(`${typed.trim()} -c 'SELECT 1'`);
    else if (typed.startsWith('bin/sluice start')) {
      this.#start = typed;
      const line = await this.#startSluice(typed);
      expect(shown).toBeDefined();
      expect(showsTheSame(shown!, this.#asWritten(line))).toBe(true);
    } else await this.#try(() => this.#shell(typed), shown, true);
  }

  async stop(): Promise<void> {
    await this.#sluice?.end('SIGTERM');
    this.#sluice = undefined;
  }

  /** What only looks is repeated until it shows what the page shows: sinks and consumers work on their own. */
  async #try(act: () => Promise<string>, shown: string | undefined, looksOnly: boolean): Promise<void> {
    let last: unknown;
    const attempt = async () => {
      last = await act();
      return shown === undefined || showsTheSame(shown, this.#asWritten(last as string));
    };
    const deadline = performance.now() + (looksOnly ? LIMIT_MS : 0);
    for (;;) {
      try {
        if (await attempt()) return;
      } catch (error) {
        last = error;
      }
      if (performance.now() > deadline) break;
    }
    if (last instanceof Error) throw last;
    expect(this.#asWritten(last as string)).toBe(shown);
  }

  async #startSluice(command: string): Promise<string> {
    const logFile = join(this.#directory, 'sluice.log');
    const before = (await readFile(logFile, 'utf8').catch(() => '')).length;
    const [, ...args] = command.trim().replaceAll('\\\n', ' ').split(/\s+/);
    const sluice = await Child.spawn({
      command: process.execPath,
      args: [join(ROOT, 'bin/sluice'), ...args],
      logFile,
      cwd: this.#directory,
    });
    this.#sluice = sluice;
    return await poll('the start of sluice', LIMIT_MS, async () => {
      const log = (await readFile(logFile, 'utf8')).slice(before);
      if (!sluice.running) throw new Error(log);
      return /^sluice is ready: .*$/m.exec(log)?.[0];
    });
  }

  #psql(text: string): Promise<string> {
    const url = `postgres://materialize@${this.#replaced[0][1]}/materialize`;
    return this.#shell(`psql -X -v ON_ERROR_STOP=1 ${url} <<'END_OF_SQL'\n${text}\nEND_OF_SQL\n`);
  }

  async #shell(script: string): Promise<string> {
    const options = {cwd: this.#directory, env: {...process.env, LANG: 'C.UTF-8'}};
    const {stdout} = await run('bash', ['-eu', '-o', 'pipefail', '-c', script], options);
    return stdout;
  }

  #asWritten(text: string): string {
    return this.#replaced.reduce((line, [there, here]) => line.replaceAll(here, there), text);
  }
}

let directory: string;
let desk: Desk;
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'sluice-docs-'));
  // The embedded server's user must get to its files.
  await chmod(directory, 0o711);
  desk = new Desk(directory, await freePorts(2));
});
afterAll(async () => {
  await desk.stop();
  await rm(directory, {recursive: true, force: true});
});

describe.each(PAGES)('docs/%s does what it says', page => {
  test('step by step', {timeout: 300_000}, async () => {
    const steps = stepsOf(await readFile(join(ROOT, 'docs', page), 'utf8'));
    expect(steps).not.toEqual([]);
    for (const step of steps) {
      try {
        await desk.do(step);
      } catch (error) {
        throw new Error(`docs/${page} does not do this: ${step.text}`, {cause: error});
      }
    }
  });
});
