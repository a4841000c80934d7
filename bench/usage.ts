import {readdirSync} from 'node:fs';
import {CpuTime, nearest} from './cpu-time.ts';
import {cpuSecondsOf, ifThere, readProc} from './proc.ts';

/** Reading /proc more often took a thirtieth of two cores away from those who are watched. */
const SAMPLE_MS = 50;
/** Of the threads one by one, and of the peak, which the kernel keeps by itself. */
const SELDOM_MS = 250;

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

/** What a process uses, all its threads included, from /proc; what it used last when it has ended. */
export class Usage {
  readonly #pid: number;
  readonly #cpu: CpuTime;
  readonly #threads: ThreadsSample[] = [];
  /** Of each thread when it was seen last; those that have ended count on. */
  readonly #times = new Map<string, ThreadTimes & {readonly group: string}>();
  readonly #timer: NodeJS.Timeout;
  #peakRssMib = 0;

  constructor(pid: number) {
    this.#pid = pid;
    this.#cpu = new CpuTime(() => cpuSecondsOf(pid), SAMPLE_MS);
    this.#timer = setInterval(() => this.#take(), SELDOM_MS);
    this.#take();
  }

  /** Between two moments, as Date.now() tells them. Without `from`: since the process began. */
  cpuSeconds(from: number | undefined, to: number): number {
    return this.#cpu.seconds(from, to);
  }

  /** As `cpuSeconds`, from fewer samples. */
  threads(from: number | undefined, to: number): ThreadsUse {
    const first = from === undefined ? {at: this.#threads[0].at, groups: {}} : nearest(this.#threads, from);
    const last = nearest(this.#threads, to);
    const since = (name: string, what: keyof ThreadTimes) =>
      (last.groups[name]?.[what] ?? 0) - (first.groups[name]?.[what] ?? 0);
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
    this.#cpu.stop();
    this.#take();
    clearInterval(this.#timer);
  }

  #take(): void {
    this.#takePeak();
    this.#takeThreads();
  }

  #takeThreads(): void {
    for (const thread of ifThere(() => readdirSync(`/proc/${this.#pid}/task`)) ?? []) {
      const name = readProc(`${this.#pid}/task/${thread}/comm`);
      const times = readProc(`${this.#pid}/task/${thread}/schedstat`);
      if (name === undefined || times === undefined) continue;
      const [ran, waited] = times.split(' ').map(Number);
      const group = thread === String(this.#pid) ? 'main' : name.startsWith('rdk:') ? 'kafka client' : 'others';
      // The name, too: numbers of threads are used again.
      this.#times.set(`${thread} ${name}`, {group, ranMs: ran / 1e6, waitedMs: waited / 1e6});
    }
    const groups: Record<string, ThreadTimes> = {};
    for (const {group, ranMs, waitedMs} of this.#times.values()) {
      const before = groups[group] ?? {ranMs: 0, waitedMs: 0};
      groups[group] = {ranMs: before.ranMs + ranMs, waitedMs: before.waitedMs + waitedMs};
    }
    if (Object.hasOwn(groups, 'main')) this.#threads.push({at: Date.now(), groups});
  }

  #takePeak(): void {
    const peak = /^VmHWM:\s+(\d+) kB$/m.exec(readProc(`${this.#pid}/status`) ?? '');
    if (peak !== null) this.#peakRssMib = Math.round(Number(peak[1]) / 1024);
  }
}
