import {setImmediate as realTurn} from 'node:timers/promises';

/** Time as the models see it: virtual in a simulation, real where a model stands in for a server in an ordinary test. */
export interface Time {
  readonly now: () => number;
  /** Runs `act` once, `ms` later. The answer takes it back. */
  after(ms: number, act: () => void): () => void;
  /** Promises of the simulated code are about to settle: it must have had its say before the next event. */
  touch(): void;
}

export class RealTime implements Time {
  readonly now = (): number => performance.now();

  after(ms: number, act: () => void): () => void {
    const timer = setTimeout(act, ms);
    return () => clearTimeout(timer);
  }

  touch(): void {}
}

interface Entry {
  readonly at: number;
  readonly order: number;
  act: (() => void) | undefined;
}

/** Events in the order of their virtual times; between two of them everything that they have set going runs to its end. */
export class VirtualTime implements Time {
  readonly #heap: Entry[] = [];
  #now = 0;
  #order = 0;
  #touched = false;

  readonly now = (): number => this.#now;

  touch(): void {
    this.#touched = true;
  }

  after(ms: number, act: () => void): () => void {
    const entry: Entry = {at: this.#now + Math.max(0, ms), order: this.#order++, act};
    this.#push(entry);
    return () => {
      entry.act = undefined;
    };
  }

  /** Until `isOver`, or until nothing can happen any more. */
  async run(isOver: () => boolean): Promise<void> {
    while (!isOver()) {
      const entry = this.#pop();
      if (entry === undefined) return;
      if (entry.act === undefined) continue;
      this.#now = entry.at;
      entry.act();
      if (!this.#touched) continue;
      this.#touched = false;
      // A turn of the real event loop comes only when no promise has anything left to do.
      await realTurn();
    }
  }

  #push(entry: Entry): void {
    const heap = this.#heap;
    let at = heap.length;
    heap.push(entry);
    while (at > 0) {
      const parent = (at - 1) >> 1;
      if (!isBefore(entry, heap[parent])) break;
      heap[at] = heap[parent];
      at = parent;
    }
    heap[at] = entry;
  }

  #pop(): Entry | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (last === undefined || heap.length === 0) return first;
    let at = 0;
    for (;;) {
      let child = 2 * at + 1;
      if (child >= heap.length) break;
      if (child + 1 < heap.length && isBefore(heap[child + 1], heap[child])) child++;
      if (!isBefore(heap[child], last)) break;
      heap[at] = heap[child];
      at = child;
    }
    heap[at] = last;
    return first;
  }
}

function isBefore(a: Entry, b: Entry): boolean {
  return a.at < b.at || (a.at === b.at && a.order < b.order);
}
