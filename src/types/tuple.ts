import type {Framing} from './relation.ts';

/** `lengths[i]` of a NULL. */
export const NULL_FIELD = -1;
/** `lengths[i]` of a TOASTed value that the change did not touch and the log did not repeat (pgoutput kind `u`). */
export const UNCHANGED_FIELD = -2;

/**
 * Finds the fields of the tuple that begins at `at` (at its int16 field count): the value of field i is
 * `buf[starts[i] … starts[i] + lengths[i])`, or `lengths[i]` is one of the constants above. Returns the offset behind the tuple.
 * Both arrays must hold at least as many elements as the tuple has fields.
 */
export type LocateFields = (buf: Buffer, at: number, starts: Int32Array, lengths: Int32Array) => number;

export const locatePgoutput: LocateFields = (buf, at, starts, lengths) => {
  const count = (buf[at] << 8) | buf[at + 1];
  at += 2;
  for (let i = 0; i < count; i++) {
    const kind = buf[at++];
    if (kind === 0x62 /* b */ || kind === 0x74 /* t */) {
      const length = (buf[at] << 24) | (buf[at + 1] << 16) | (buf[at + 2] << 8) | buf[at + 3];
      at += 4;
      starts[i] = at;
      lengths[i] = length;
      at += length;
    } else if (kind === 0x6e /* n */) {
      starts[i] = at;
      lengths[i] = NULL_FIELD;
    } else if (kind === 0x75 /* u */) {
      starts[i] = at;
      lengths[i] = UNCHANGED_FIELD;
    } else {
      throw new Error(`unknown kind ${kind} of field ${i} in a tuple of the replication stream`);
    }
  }
  return at;
};

export const locateCopy: LocateFields = (buf, at, starts, lengths) => {
  const count = (buf[at] << 8) | buf[at + 1];
  at += 2;
  for (let i = 0; i < count; i++) {
    const length = (buf[at] << 24) | (buf[at + 1] << 16) | (buf[at + 2] << 8) | buf[at + 3];
    at += 4;
    starts[i] = at;
    lengths[i] = length;
    if (length > 0) at += length;
  }
  return at;
};

export function locatorFor(framing: Framing): LocateFields {
  return framing === 'copy' ? locateCopy : locatePgoutput;
}
