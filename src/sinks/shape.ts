import type {SinkColumn} from '../catalog/definitions.ts';
import type {StreamRelation} from '../changes/stream-listener.ts';
import type {Column, RowShape} from '../types/relation.ts';
import {Stall} from './errors.ts';

/** How the stream's tuples become rows of the sink. */
export interface ShapeMatch {
  readonly shape: RowShape;
  /** Which fields of the tuple are the sink's columns, in order; undefined when the tuple has exactly these. */
  readonly pick: Int32Array | undefined;
}

/** What the catalog says today, to tell a renamed column from one that was dropped and added again. */
export type CurrentColumnNames = ReadonlyMap<number, string>;

const VARCHAR = 1043;
const VARBIT = 1562;

/** A typmod that changed without touching a stored row. Everything else rewrites rows, and the log does not send those. */
function sameValues(column: Column, typeOid: number, typmod: number): boolean {
  if (column.type.oid !== typeOid) return false;
  if (column.typmod === typmod) return true;
  if (typeOid !== VARCHAR && typeOid !== VARBIT) return false;
  return typmod === -1 || (column.typmod !== -1 && typmod > column.typmod);
}

/**
 * A sink writes the columns that its relation had when the sink was created, under the names of that day. So added
 * columns are ignored and renamed ones keep their field; a dropped or retyped column changes rows that the log never
 * sends, and then the sink stalls rather than guesses.
 */
export function matchShape(
  sink: {readonly relation: number; readonly columns: readonly SinkColumn[]},
  relation: StreamRelation,
  current: CurrentColumnNames,
): ShapeMatch {
  const pick = new Int32Array(sink.columns.length);
  let after = -1;
  for (const [i, column] of sink.columns.entries()) {
    const at = findColumn(column, relation, current);
    if (at === -1) {
      throw new Stall('SL001', `column "${column.name}" of "${relation.schema}.${relation.name}" is gone`, {
        hint: 'Drop the sink and create it again: rows that changed together with the column were not sent by the log.',
      });
    }
    const found = relation.columns[at];
    if (!sameValues(column, found.typeOid, found.typmod)) {
      throw new Stall(
        'SL002',
        `column "${column.name}" of "${relation.schema}.${relation.name}" has changed its type`,
        {
          hint: 'Drop the sink and create it again: rows that were rewritten for the new type were not sent by the log.',
        },
      );
    }
    if (at <= after) {
      throw new Stall(
        'SL001',
        `column "${column.name}" of "${relation.schema}.${relation.name}" was dropped and added again`,
        {
          hint: 'Drop the sink and create it again: rows that changed together with the column were not sent by the log.',
        },
      );
    }
    after = at;
    pick[i] = at;
  }
  const exact = relation.columns.length === sink.columns.length;
  return {
    shape: {
      relation: sink.relation,
      schema: relation.schema,
      name: relation.name,
      columns: sink.columns,
      framing: 'pgoutput',
    },
    pick: exact ? undefined : pick,
  };
}

/**
 * By the name of the day the sink was created or by today's name of the same attribute number, because the stream may be
 * at either side of a rename. Where both names are in the message they are two columns and nothing tells which is ours.
 */
function findColumn(column: SinkColumn, relation: StreamRelation, current: CurrentColumnNames): number {
  const byOldName = relation.columns.findIndex(candidate => candidate.name === column.name);
  const today = current.get(column.attnum);
  if (today === undefined || today === column.name) return byOldName;
  const byNewName = relation.columns.findIndex(candidate => candidate.name === today);
  if (byOldName !== -1 && byNewName !== -1) {
    throw new Stall(
      'SL003',
      `columns "${column.name}" and "${today}" of "${relation.schema}.${relation.name}" cannot be told apart in the log`,
      {
        hint: 'A column was renamed while another one took its name. Drop the sink and create it again.',
      },
    );
  }
  return byOldName === -1 ? byNewName : byOldName;
}
