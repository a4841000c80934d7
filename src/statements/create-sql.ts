import type {SqlPart} from '../catalog/commands.ts';
import type {Name, Statement} from '../sql/ast.ts';
import {printName, printPieces} from '../sql/print.ts';

/**
 * A statement's canonical text for SHOW CREATE. `references` says what the names in it stand for, so that renames show; a name
 * that is not in there stays as it was written.
 */
export function createSqlParts(statement: Statement, references: ReadonlyMap<Name, SqlPart>): SqlPart[] {
  const parts: SqlPart[] = [];
  const add = (part: SqlPart) => {
    const last = parts.at(-1);
    if (typeof part === 'string' && typeof last === 'string') parts[parts.length - 1] = last + part;
    else parts.push(part);
  };
  for (const piece of printPieces(statement)) {
    if (typeof piece === 'string' || 'value' in piece) add(piece);
    else add(references.get(piece.name) ?? printName(piece.name));
  }
  return parts;
}
