import type {ObjectId} from '../catalog/definitions.ts';
import type {StallReport} from './engine-report.ts';

/** How often each sink has stalled while this process watched, by code. What the history had before it came does not count. */
export class StallCounts {
  readonly #known = new Map<ObjectId, number>();
  readonly #counts = new Map<ObjectId, Map<string, number>>();
  #watching = false;

  /** The number of the last stall of each sink. */
  get known(): ReadonlyMap<ObjectId, number> {
    return this.#known;
  }

  add(stalls: readonly StallReport[]): void {
    for (const {number, sink, code} of stalls) {
      if (number <= (this.#known.get(sink) ?? 0)) continue;
      this.#known.set(sink, number);
      if (!this.#watching) continue;
      const counts = this.#counts.get(sink) ?? new Map<string, number>();
      counts.set(code ?? '', (counts.get(code ?? '') ?? 0) + 1);
      this.#counts.set(sink, counts);
    }
    this.#watching = true;
  }

  /** Pairs of code (empty for a stall without one) and count. */
  of(sink: ObjectId): readonly (readonly [string, number])[] {
    return [...(this.#counts.get(sink) ?? [])];
  }
}
