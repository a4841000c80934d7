/** So many ReadyForQuery a session waits at most. */
const LONGEST_PAUSE = 1024;

/**
 * When to lend a session to the relay again. To and fro costs more than it saves, so a session that keeps being recalled
 * after little traffic has to wait for more and more ReadyForQuery; one that was worth it starts afresh.
 */
export class LendingPace {
  #pause = 1;
  #seen = 0;
  readonly #longest: number;

  constructor(longest = LONGEST_PAUSE) {
    this.#longest = longest;
  }

  get permits(): boolean {
    return this.#seen >= this.#pause;
  }

  /** A ReadyForQuery has come while the session was not lent. */
  ready(): void {
    this.#seen++;
  }

  /** `batches`: how much the relay has carried meanwhile. */
  recalled(batches: number): void {
    this.#seen = 0;
    this.#pause = batches >= 4 * this.#pause ? 1 : Math.min(2 * this.#pause, this.#longest);
  }
}
