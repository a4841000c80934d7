import {spawn, type ChildProcess} from 'node:child_process';
import {createInterface} from 'node:readline';
import {poll} from '../scripts/process/poll.ts';

export interface SeenProgress {
  /** When a reader of committed records had it: Date.now(). */
  readonly at: number;
  readonly sink: string;
  readonly lsn: bigint;
  readonly snapshotDone: boolean;
}

/**
 * Follows the progress topic with kcat. Its records are committed together with the data before them, so a record that is
 * visible says that the data is.
 */
export class ProgressWatch {
  readonly #kcat: ChildProcess;
  readonly #seen: SeenProgress[] = [];

  /** The topic must be there. */
  constructor(broker: string, topic: string) {
    const args = ['-C', '-b', broker, '-t', topic, '-o', 'beginning', '-q', '-u', '-f', '%k\t%s\n'];
    args.push('-X', 'isolation.level=read_committed');
    this.#kcat = spawn('kcat', args, {stdio: ['ignore', 'pipe', 'inherit']});
    createInterface({input: this.#kcat.stdout!}).on('line', line => this.#hear(line));
  }

  /** The first record of the sink that satisfies `wanted`. */
  async until(sink: string, limitMs: number, wanted: (progress: SeenProgress) => boolean): Promise<SeenProgress> {
    return poll(`the progress of sink ${sink}`, limitMs, () => this.#seen.find(p => p.sink === sink && wanted(p)));
  }

  commits(sink: string): number {
    return this.#seen.filter(p => p.sink === sink).length;
  }

  close(): void {
    this.#kcat.kill();
  }

  #hear(line: string): void {
    const at = Date.now();
    const [key, value] = line.split('\t');
    const {sluice} = JSON.parse(value) as {sluice: {lsn: string; snapshot?: unknown}};
    this.#seen.push({
      at,
      sink: key.replace(/^mz-sink-/, ''),
      lsn: parseLsn(sluice.lsn),
      snapshotDone: sluice.snapshot === undefined,
    });
  }
}

export function parseLsn(text: string): bigint {
  const [high, low] = text.split('/');
  return (BigInt(`0x${high}`) << 32n) | BigInt(`0x${low}`);
}
