import {NULL_FIELD, UNCHANGED_FIELD, locatePgoutput} from '../types/tuple.ts';

/** More columns than a PostgreSQL table can have. */
const MAX_FIELDS = 2048;

/** The offset behind the pgoutput tuple at `at`, or its complement (`~end`) when a field of it is an unchanged TOAST value. */
export function skipTuple(buf: Buffer, at: number): number {
  let left = (buf[at] << 8) | buf[at + 1];
  let unchanged = false;
  at += 2;
  for (; left > 0; left--) {
    const kind = buf[at];
    if (kind === 0x62 /* b */ || kind === 0x74 /* t */) {
      at += 5 + ((buf[at + 1] << 24) | (buf[at + 2] << 16) | (buf[at + 3] << 8) | buf[at + 4]);
    } else {
      if (kind === 0x75 /* u */) unchanged = true;
      else if (kind !== 0x6e /* n */)
        throw new Error(`unknown kind ${kind} of a field in a tuple of the replication stream`);
      at++;
    }
  }
  return unchanged ? ~at : at;
}

/** Where the fields of one pgoutput tuple lie. Reused for all tuples. */
export class TuplePlaces {
  readonly #starts = new Int32Array(MAX_FIELDS);
  readonly #lengths = new Int32Array(MAX_FIELDS);

  /** Returns the offset behind the tuple. */
  locate(buf: Buffer, at: number): number {
    return locatePgoutput(buf, at, this.#starts, this.#lengths);
  }

  /** The first byte of a field with its kind byte and length. */
  from(field: number): number {
    return this.#starts[field] - (this.#lengths[field] < 0 ? 1 : 5);
  }

  /** The offset behind a field. */
  to(field: number): number {
    const length = this.#lengths[field];
    return length < 0 ? this.#starts[field] : this.#starts[field] + length;
  }

  isUnchanged(field: number): boolean {
    return this.#lengths[field] === UNCHANGED_FIELD;
  }

  isNull(field: number): boolean {
    return this.#lengths[field] === NULL_FIELD;
  }
}

/** Where a tuple of chosen fields is put together, one run of bytes after the other. */
export interface TupleSink {
  uint16(value: number): void;
  bytes(buf: Buffer, start: number, end: number): void;
}

/**
 * Copies a tuple field by field: only those of `pick`, and unchanged TOAST values from the old tuple.
 * Returns false when a value is neither here nor there; what has been written then is of no use.
 */
export class TupleRebuilder {
  readonly #new = new TuplePlaces();
  readonly #old = new TuplePlaces();

  /** `oldAt` is -1 where there is no old tuple; `pick` undefined = all fields. */
  rebuild(buf: Buffer, oldAt: number, newAt: number, pick: Int32Array | undefined, out: TupleSink): boolean {
    this.#new.locate(buf, newAt);
    if (oldAt !== -1) this.#old.locate(buf, oldAt);
    const count = pick === undefined ? (buf[newAt] << 8) | buf[newAt + 1] : pick.length;
    out.uint16(count);
    // Neighbours are copied in one go.
    let from = 0;
    let to = 0;
    for (let i = 0; i < count; i++) {
      const field = pick === undefined ? i : pick[i];
      let places = this.#new;
      if (places.isUnchanged(field)) {
        if (oldAt === -1 || this.#old.isUnchanged(field)) return false;
        places = this.#old;
      }
      const start = places.from(field);
      if (start !== to) {
        if (to > from) out.bytes(buf, from, to);
        from = start;
      }
      to = places.to(field);
    }
    if (to > from) out.bytes(buf, from, to);
    return true;
  }
}
