/*
 * Why a sink that was well can no longer follow its relation: one maker for each reason, so that it has the same code, words and
 * hint whoever notices it first (the stream, a look at PostgreSQL's catalog, a snapshot). `relation` and `table` are names for people.
 */
import {Stall} from './errors.ts';

const AGAIN = 'Drop the sink and create it again';
const AGAIN_EMPTY = 'Drop the sink, empty the target, and create the sink again.';

/** Also when another column has taken its name since. */
export function columnDropped(relation: string, column: string): Stall {
  return new Stall('SL001', `column "${column}" of "${relation}" was dropped`, {
    hint: `${AGAIN}: rows that changed together with the column were not sent by the log.`,
  });
}

export function columnRetyped(relation: string, column: string): Stall {
  return new Stall('SL002', `column "${column}" of "${relation}" has changed its type`, {
    hint: `${AGAIN}: rows that were rewritten for the new type were not sent by the log.`,
  });
}

/** By ALTER TYPE: a label was renamed, or a field of a composite type came, went or changed. */
export function typeChanged(relation: string, column: string, type: string): Stall {
  return new Stall('SL002', `type "${type}" of column "${column}" of "${relation}" has changed`, {
    hint: `Rows that hold such values look different now and were not sent by the log. ${AGAIN_EMPTY}`,
  });
}

export function columnsMixedUp(relation: string, column: string, other: string): Stall {
  return new Stall('SL003', `columns "${column}" and "${other}" of "${relation}" cannot be told apart in the log`, {
    hint: `A column was renamed while another one took its name. ${AGAIN}.`,
  });
}

/** `table`: the relation itself or a partition of it. */
export function identityChanged(table: string): Stall {
  return new Stall('SL004', `"${table}" no longer has REPLICA IDENTITY FULL`, {
    hint: `Old rows are missing from the log. Run ALTER TABLE … REPLICA IDENTITY FULL on "${table}", then drop the sink and create it again.`,
  });
}

export function truncated(relation: string): Stall {
  return new Stall('SL005', `"${relation}" was truncated and the log does not say which rows that were`, {
    hint: `The trigger that turns TRUNCATE into DELETE was disabled or bypassed. ${AGAIN_EMPTY}`,
  });
}

export function notPublished(relation: string, publication: string): Stall {
  return new Stall('SL006', `"${relation}" was taken out of publication "${publication}"`, {
    hint: `What was written since then is not in the log of the sink. ${AGAIN_EMPTY}`,
  });
}

export function publishedInPart(relation: string, publication: string): Stall {
  return new Stall('SL006', `"${relation}" is published with a row filter or a column list in "${publication}"`, {
    hint: `What was left out is not in the log of the sink. ${AGAIN_EMPTY}`,
  });
}

export function publicationChanged(publication: string): Stall {
  return new Stall('SL006', `publication "${publication}" no longer sends every change`, {
    hint: 'Somebody has changed its options or tables, and nothing says which changes are missing. Drop all sinks of the cluster, empty their targets, and create the sinks again when mz_internal.mz_sluice_slots does not list the cluster any more.',
  });
}

/** It may be as it was by now. */
export function publicationTouched(publication: string): Stall {
  return new Stall('SL006', `publication "${publication}" was changed`, {
    hint: `Somebody has changed its options, name, owner or tables since the sink began, perhaps back again, and nothing says which changes are missing. ${AGAIN_EMPTY}`,
  });
}

const PARTITION = {
  attach: 'a partition with rows was attached to',
  detach: 'a partition with rows was detached from',
  drop: 'a partition was dropped from',
} as const;

export function partitionsChanged(relation: string, how: keyof typeof PARTITION): Stall {
  return new Stall('SL007', `${PARTITION[how]} "${relation}"`, {
    hint: `The log does not say which rows came or went with it. ${AGAIN_EMPTY}`,
  });
}

/** By ALTER TABLE, which has left the column's type as it was. */
export function valuesRewritten(relation: string, column: string): Stall {
  return new Stall('SL007', `ALTER TABLE has rewritten the values of column "${column}" of "${relation}"`, {
    hint: `${AGAIN}: rows that were rewritten were not sent by the log.`,
  });
}

/** An unlogged or foreign partition, or a child table. `table` is undefined where only the stream has told. */
export function notInLog(relation: string, table?: string): Stall {
  const which = table === undefined ? `a table that belongs to "${relation}"` : `"${table}" of "${relation}"`;
  return new Stall('SL007', `changes of ${which} are not in the log`, {
    hint: `It is unlogged, a foreign table, or a child by inheritance. Make it an ordinary table or take it away, then drop the sink, empty the target, and create the sink again.`,
  });
}

/** Without event triggers nothing tells VACUUM FULL beside another ALTER TABLE from a rewrite. */
export function maybeRewritten(relation: string, column: string): Stall {
  return new Stall('SL007', `ALTER TABLE may have rewritten column "${column}" of "${relation}"`, {
    hint: `Without event triggers Sluice cannot tell which rows have changed. ${AGAIN_EMPTY}`,
  });
}

export function partitionsUnwatched(relation: string): Stall {
  return new Stall(
    'SL007',
    `partitions of "${relation}" may have changed unseen: event triggers of Sluice are missing`,
    {
      hint: `Run "sluice doctor" for the statements that create them. ${AGAIN_EMPTY}`,
    },
  );
}
