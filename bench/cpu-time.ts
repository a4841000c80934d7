interface CpuSample {
  /** Milliseconds since the Unix epoch. */
  readonly at: number;
  readonly cpuSeconds: number;
}

/** A sum of CPU seconds over time, asked for again and again. */
export class CpuTime {
  readonly #read: () => number | undefined;
  readonly #samples: CpuSample[] = [];
  readonly #timer: NodeJS.Timeout;

  /** `read` answers undefined when there is nobody to ask any more. */
  constructor(read: () => number | undefined, everyMs: number) {
    this.#read = read;
    this.#timer = setInterval(() => this.#take(), everyMs);
    this.#take();
  }

  /** Between two moments, as Date.now() tells them, each from the sample that is nearest. Without `from`: since there is anything to count. */
  seconds(from: number | undefined, to: number): number {
    return nearest(this.#samples, to).cpuSeconds - (from === undefined ? 0 : nearest(this.#samples, from).cpuSeconds);
  }

  stop(): void {
    this.#take();
    clearInterval(this.#timer);
  }

  #take(): void {
    const cpuSeconds = this.#read();
    if (cpuSeconds !== undefined) this.#samples.push({at: Date.now(), cpuSeconds});
  }
}

/** Of at least one. */
export function nearest<T extends {readonly at: number}>(samples: readonly T[], at: number): T {
  return samples.reduce((a, b) => (Math.abs(b.at - at) < Math.abs(a.at - at) ? b : a));
}
