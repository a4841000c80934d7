import {poll} from '../scripts/process/poll.ts';
import {followTopic} from './follow-topic.ts';

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
  readonly #reader: {kill(): void};
  readonly #seen: SeenProgress[] = [];

  /** The topic must be there. */
  constructor(broker: string, topic: string) {
    this.#reader = followTopic(broker, topic, '%k\t%s', (line, at) => this.#hear(line, at));
  }

  /** The first record of the sink that satisfies `wanted`. */
  async until(sink: string, limitMs: number, wanted: (progress: SeenProgress) => boolean): Promise<SeenProgress> {
    return poll(`the progress of sink ${sink}`, limitMs, () => this.#seen.find(p => p.sink === sink && wanted(p)));
  }

  commits(sink: string): number {
    return this.#seen.filter(p => p.sink === sink).length;
  }

  close(): void {
    this.#reader.kill();
  }

  #hear(line: string, at: number): void {
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
