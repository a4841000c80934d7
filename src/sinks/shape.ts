import type {SinkColumn} from '../catalog/definitions.ts';
import type {ColumnType, StreamRelation} from '../changes/stream-listener.ts';
import type {Column} from '../types/relation.ts';
import {columnDropped, columnRetyped, columnsMixedUp} from './stalls.ts';

/** How the stream's tuples become rows of the sink. */
export interface ShapeMatch {
  /** Which fields of the tuple are the sink's columns, in order; undefined when the tuple has exactly these. */
  readonly pick: Int32Array | undefined;
}

/** What the catalog says today, to tell a renamed column from one that was dropped and added again. */
export type CurrentColumnNames = ReadonlyMap<number, string>;

const VARCHAR = 1043;
const VARBIT = 1562;

/** False where rows were rewritten, which the log does not send. A typmod can change without touching a stored row. */
export function hasSameValues(column: Column, {typeOid, typmod}: ColumnType): boolean {
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
  sink: {readonly columns: readonly SinkColumn[]},
  relation: StreamRelation,
  current: CurrentColumnNames,
): ShapeMatch {
  const name = nameOf(relation);
  const pick = new Int32Array(sink.columns.length);
  let after = -1;
  for (const [i, column] of sink.columns.entries()) {
    const at = findColumn(column, relation, current);
    if (at === -1) throw columnDropped(name, column.name);
    if (!hasSameValues(column, relation.columns[at])) throw columnRetyped(name, column.name);
    // Attribute numbers only rise, so what stands before its predecessor has a new one, or the predecessor has.
    if (at <= after) {
      const dropped = sink.columns.find(({attnum}) => !current.has(attnum)) ?? sink.columns[i - 1];
      throw columnDropped(name, dropped.name);
    }
    after = at;
    pick[i] = at;
  }
  return {pick: relation.columns.length === sink.columns.length ? undefined : pick};
}

/** For people. */
export function nameOf({schema, name}: StreamRelation): string {
  return `${schema}.${name}`;
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
  if (byOldName !== -1 && byNewName !== -1) throw columnsMixedUp(nameOf(relation), column.name, today);
  return byOldName === -1 ? byNewName : byOldName;
}
