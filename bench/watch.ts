import {CpuTime} from './cpu-time.ts';
import {cpuSecondsOfFamily} from './proc.ts';
import {Usage, type ThreadsUse} from './usage.ts';

/** First processes of the servers that a measured program works between. */
export interface Servers {
  readonly postgres: number;
  readonly broker: number;
}

/** What a program has used between two moments, and what the servers around it have. */
export interface Used {
  /** All threads of all its processes. */
  readonly cpuSeconds: number;
  /** The sum of its processes' peaks. */
  readonly peakRssMib: number;
  /** Of the first process. */
  readonly threads: ThreadsUse;
  /** All processes of the server. */
  readonly postgresCpuSeconds: number;
  readonly brokerCpuSeconds: number;
}

/** Of a whole server, whose processes are many. */
const SERVER_SAMPLE_MS = 250;

export class Watch {
  readonly #processes: readonly Usage[];
  readonly #postgres: CpuTime;
  readonly #broker: CpuTime;

  /** `processes`: of the measured program, the one that does the work first. */
  constructor(processes: readonly number[], servers: Servers) {
    this.#processes = processes.map(pid => new Usage(pid));
    this.#postgres = new CpuTime(() => cpuSecondsOfFamily(servers.postgres), SERVER_SAMPLE_MS);
    this.#broker = new CpuTime(() => cpuSecondsOfFamily(servers.broker), SERVER_SAMPLE_MS);
  }

  stop(): void {
    for (const watch of [...this.#processes, this.#postgres, this.#broker]) watch.stop();
  }

  /** Moments as Date.now() tells them. */
  used(from: number, to: number): Used {
    return {
      ...this.#ours(from, to),
      postgresCpuSeconds: this.#postgres.seconds(from, to),
      brokerCpuSeconds: this.#broker.seconds(from, to),
    };
  }

  /** As `used`, of a program and a PostgreSQL that began at `from`: what they did before they were watched counts too. */
  usedSinceBirth(from: number, to: number): Used {
    return {
      ...this.#ours(undefined, to),
      postgresCpuSeconds: this.#postgres.seconds(undefined, to),
      brokerCpuSeconds: this.#broker.seconds(from, to),
    };
  }

  #ours(from: number | undefined, to: number): Omit<Used, 'postgresCpuSeconds' | 'brokerCpuSeconds'> {
    return {
      cpuSeconds: this.#processes.reduce((sum, usage) => sum + usage.cpuSeconds(from, to), 0),
      peakRssMib: this.#processes.reduce((sum, usage) => sum + usage.peakRssMib, 0),
      threads: this.#processes[0].threads(from, to),
    };
  }
}
