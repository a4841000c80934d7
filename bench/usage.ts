import {readFileSync} from 'node:fs';

/** `getconf CLK_TCK`; 100 on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;
const SAMPLE_MS = 20;

interface Sample {
  /** Milliseconds since the Unix epoch. */
  readonly at: number;
  readonly cpuSeconds: number;
}

/** What a process uses, all its threads included, from /proc. */
export class Usage {
  readonly #pid: number;
  readonly #samples: Sample[] = [];
  readonly #timer: NodeJS.Timeout;
  #peakRssMib = 0;

  constructor(pid: number) {
    this.#pid = pid;
    this.#timer = setInterval(() => this.#take(), SAMPLE_MS);
    this.#take();
  }

  /** CPU seconds between two moments, as Date.now() tells them; each is taken from the sample that is nearest. */
  cpuSeconds(from: number, to: number): number {
    return this.#nearest(to).cpuSeconds - this.#nearest(from).cpuSeconds;
  }

  /** Since the process began. */
  get peakRssMib(): number {
    return this.#peakRssMib;
  }

  stop(): void {
    this.#take();
    clearInterval(this.#timer);
  }

  #nearest(at: number): Sample {
    return this.#samples.reduce((a, b) => (Math.abs(b.at - at) < Math.abs(a.at - at) ? b : a));
  }

  #take(): void {
    const stat = readFileSync(`/proc/${this.#pid}/stat`, 'utf8');
    // Behind the name of the command, which may hold anything; utime and stime are the 14th and 15th field.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    this.#samples.push({at: Date.now(), cpuSeconds: (Number(fields[11]) + Number(fields[12])) / TICKS_PER_SECOND});
    const peak = /^VmHWM:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${this.#pid}/status`, 'utf8'));
    if (peak !== null) this.#peakRssMib = Math.round(Number(peak[1]) / 1024);
  }
}
