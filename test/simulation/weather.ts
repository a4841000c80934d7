import type {Life} from './life.ts';
import type {RequestFault, RequestKind, Weather} from './network.ts';
import type {EarlyCut} from './scenario.ts';

interface Armed {
  readonly on: RequestKind;
  /** What becomes of the request; or something that happens beside it. */
  readonly what: RequestFault | ((life: Life) => void);
}

/** Latencies and faults of a simulated network. Clients that make no request of a kind keep its faults waiting. */
export class SimulatedWeather implements Weather {
  readonly #random: () => number;
  readonly #now: () => number;
  readonly #armed: Armed[] = [];
  #downUntil = 0;
  #slowMarkers = 0;
  #fullUntil = 0;
  #refusals = 0;
  readonly #earlyCuts: EarlyCut[] = [];
  /** Faults that have had their effect. */
  fired = 0;

  constructor(now: () => number, random: () => number) {
    this.#now = now;
    this.#random = random;
  }

  arm(on: RequestKind, what: Armed['what']): void {
    this.#armed.push({on, what});
  }

  takeDown(ms: number): void {
    this.#downUntil = Math.max(this.#downUntil, this.#now() + ms);
    this.fired++;
  }

  slowMarkers(ms: number): void {
    this.#slowMarkers = ms;
  }

  fillQueues(ms: number): void {
    this.#fullUntil = this.#now() + ms;
    this.fired++;
  }

  refuseBatch(): void {
    this.#refusals++;
  }

  readonly latency = (): number => {
    const r = this.#random();
    return r < 0.97 ? 0.1 + 2 * r : 20 * this.#random();
  };

  readonly markerDelay = (): number => {
    const slow = this.#slowMarkers;
    if (slow === 0) return this.#random() * 3;
    this.fired++;
    this.#slowMarkers = 0;
    return slow;
  };

  get queuesAreFull(): boolean {
    return this.#now() < this.#fullUntil;
  }

  /** True once for every refusal that was ordered. */
  takeRefusal(): boolean {
    if (this.#refusals === 0) return false;
    this.#refusals--;
    this.fired++;
    return true;
  }

  cutEarly(cut: EarlyCut): void {
    this.#earlyCuts.push(cut);
  }

  /** For a stream that begins, and that re-reads so many transactions within which it can be lost. */
  takeEarlyCut(known: number): EarlyCut | undefined {
    const at = this.#earlyCuts.findIndex(cut => cut.known !== true || known > cut.after + 1);
    if (at === -1) return undefined;
    this.fired++;
    return this.#earlyCuts.splice(at, 1)[0];
  }

  fault(kind: RequestKind, life: Life): RequestFault | undefined {
    if (kind !== 'postgres' && this.#now() < this.#downUntil) return {kind: 'loseRequest', cut: true};
    const at = this.#armed.findIndex(({on}) => on === kind);
    if (at === -1) return undefined;
    const [{what}] = this.#armed.splice(at, 1);
    this.fired++;
    if (typeof what !== 'function') return what;
    what(life);
    return undefined;
  }
}
