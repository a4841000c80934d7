import {readdirSync, readFileSync} from 'node:fs';

/** `getconf CLK_TCK`; 100 on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100;
const SAMPLE_MS = 20;
/** Of the threads one by one, which costs more to read. */
const THREADS_MS = 250;

interface Sample {
  /** Milliseconds since the Unix epoch. */
  readonly at: number;
  readonly cpuSeconds: number;
}

interface ThreadTimes {
  readonly ranMs: number;
  readonly waitedMs: number;
}

interface ThreadsSample {
  readonly at: number;
  /** `main`, `kafka client` (librdkafka's), `others` (compiler, garbage collector, thread pool). */
  readonly groups: Readonly<Record<string, ThreadTimes>>;
}

/** Where a process's CPU time went, and whether its main thread was what everything waited for. */
export interface ThreadsUse {
  /** CPU seconds of each group of threads. */
  readonly cpuSeconds: Readonly<Record<string, number>>;
  /** Parts of the time in which the main thread ran, and in which it could have run but all cores were taken. */
  readonly mainRan: number;
  readonly mainWaited: number;
}

/** What a process uses, all its threads included, from /proc. */
export class Usage {
  readonly #pid: number;
  readonly #samples: Sample[] = [];
  readonly #threads: ThreadsSample[] = [];
  readonly #timers: readonly NodeJS.Timeout[];
  #peakRssMib = 0;

  constructor(pid: number) {
    this.#pid = pid;
    this.#timers = [setInterval(() => this.#take(), SAMPLE_MS), setInterval(() => this.#takeThreads(), THREADS_MS)];
    this.#take();
    this.#takeThreads();
  }

  /** CPU seconds between two moments, as Date.now() tells them; each is taken from the sample that is nearest. */
  cpuSeconds(from: number, to: number): number {
    return nearest(this.#samples, to).cpuSeconds - nearest(this.#samples, from).cpuSeconds;
  }

  /** As `cpuSeconds`, from fewer samples. */
  threads(from: number, to: number): ThreadsUse {
    const [first, last] = [nearest(this.#threads, from), nearest(this.#threads, to)];
    const since = (name: string, what: keyof ThreadTimes) =>
      last.groups[name][what] - (first.groups[name]?.[what] ?? 0);
    const passed = Math.max(1, last.at - first.at);
    return {
      cpuSeconds: Object.fromEntries(Object.keys(last.groups).map(name => [name, since(name, 'ranMs') / 1000])),
      mainRan: since('main', 'ranMs') / passed,
      mainWaited: since('main', 'waitedMs') / passed,
    };
  }

  /** Since the process began. */
  get peakRssMib(): number {
    return this.#peakRssMib;
  }

  stop(): void {
    this.#take();
    this.#takeThreads();
    for (const timer of this.#timers) clearInterval(timer);
  }

  #takeThreads(): void {
    const groups: Record<string, ThreadTimes> = {};
    for (const thread of readdirSync(`/proc/${this.#pid}/task`)) {
      const directory = `/proc/${this.#pid}/task/${thread}`;
      try {
        const name = readFileSync(`${directory}/comm`, 'utf8');
        const [ran, waited] = readFileSync(`${directory}/schedstat`, 'utf8').split(' ').map(Number);
        const group = thread === String(this.#pid) ? 'main' : name.startsWith('rdk:') ? 'kafka client' : 'others';
        const before = groups[group] ?? {ranMs: 0, waitedMs: 0};
        groups[group] = {ranMs: before.ranMs + ran / 1e6, waitedMs: before.waitedMs + waited / 1e6};
      } catch {
        // It has just ended.
      }
    }
    this.#threads.push({at: Date.now(), groups});
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

function nearest<T extends {readonly at: number}>(samples: readonly T[], at: number): T {
  return samples.reduce((a, b) => (Math.abs(b.at - at) < Math.abs(a.at - at) ? b : a));
}
