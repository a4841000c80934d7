import assert from 'node:assert';
import type {Lsn} from '../base/lsn.ts';

export type SinkId = string;

/** An end LSN of the stream and what the logical clock said there: both are needed to begin again at it. */
export interface StreamPosition {
  readonly endLsn: Lsn;
  readonly clock: bigint;
}

/** `position`: what may be confirmed on this sink's account, if the clock's value there is known. */
interface Claim {
  readonly endLsn: Lsn;
  readonly position: StreamPosition | undefined;
}

/**
 * The slot may forget what every sink has proved. No I/O here: it is told positions and says what is safe.
 * Every sink of the cluster has a claim from before its hand-over begins until it is dropped, also while it is stalled
 * or paused.
 */
export class AckGate {
  readonly #claims = new Map<SinkId, Claim>();
  #confirmed: Lsn;

  /** `confirmed`: the slot's confirmed position, or where the stream was started if that is later. */
  constructor(confirmed: Lsn) {
    this.#confirmed = confirmed;
  }

  /** Everything before this may already be gone from the log. */
  get confirmed(): Lsn {
    return this.#confirmed;
  }

  /**
   * From now on nothing behind the returned position is confirmed until the sink has proved something: the stream can be
   * read again from there. No effect on a sink that has a claim.
   */
  hold(sink: SinkId): Lsn {
    const claim = this.#claims.get(sink);
    if (claim !== undefined) return claim.endLsn;
    this.#claims.set(sink, {endLsn: this.#confirmed, position: undefined});
    return this.#confirmed;
  }

  /**
   * The sink's target has everything up to `endLsn`. `clock` is undefined while the stream has not been there in this
   * process: then the position holds, but cannot itself be confirmed.
   */
  prove(sink: SinkId, endLsn: Lsn, clock: bigint | undefined): void {
    const before = this.#claims.get(sink);
    assert(before !== undefined, `sink ${sink} proves progress without a hold`);
    assert(endLsn >= before.endLsn, `progress of sink ${sink} went backwards`);
    this.#claims.set(sink, {endLsn, position: clock === undefined ? undefined : {endLsn, clock}});
  }

  /** The sink has been dropped. */
  release(sink: SinkId): void {
    this.#claims.delete(sink);
  }

  /**
   * The furthest position that may be confirmed now, undefined if that is nothing new. Without sinks it is `received`,
   * the last transaction end that the stream has delivered.
   */
  safe(received: StreamPosition | undefined): StreamPosition | undefined {
    let low: Claim | undefined;
    for (const claim of this.#claims.values()) {
      // Among equal ones, one that knows the clock: they are the same position.
      if (
        low === undefined ||
        claim.endLsn < low.endLsn ||
        (claim.endLsn === low.endLsn && low.position === undefined)
      ) {
        low = claim;
      }
    }
    const position = low === undefined ? received : low.position;
    return position !== undefined && position.endLsn > this.#confirmed ? position : undefined;
  }

  /** Must be told before the server is: afterwards no hold can be granted below. */
  confirm(endLsn: Lsn): void {
    for (const [sink, claim] of this.#claims)
      assert(endLsn <= claim.endLsn, `confirmed beyond the progress of sink ${sink}`);
    if (endLsn > this.#confirmed) this.#confirmed = endLsn;
  }
}
