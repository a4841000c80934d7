import {SqlError} from '../base/sql-error.ts';
import type {RelationDescription} from '../catalog/commands.ts';
import type {CreateSink} from '../sql/ast.ts';
import type {Notice} from './statement.ts';

export const UPSERT_KEY_HINT =
  'An upsert sink needs a key that is unique: declare a PRIMARY KEY or a UNIQUE constraint on NOT NULL columns, name its columns in KEY (…), or write KEY (…) NOT ENFORCED if you know better.';

/** Column names in the order of the KEY clause. Throws 42701 for one that stands there twice and 42703 for one that is not there. */
export function keyColumns(
  key: NonNullable<CreateSink['key']>,
  columns: readonly {readonly name: string}[],
): readonly string[] {
  const names = key.columns.map(({parts}) => parts.join('.'));
  names.forEach((name, i) => {
    const position = key.columns[i].at;
    if (names.indexOf(name) !== i) {
      throw new SqlError('42701', `duplicate column referenced in KEY: ${name}`, {position});
    }
  });
  names.forEach((name, i) => {
    if (columns.some(column => column.name === name)) return;
    throw new SqlError('42703', `column referenced in KEY does not exist: ${name}`, {
      hint: `Columns are ${columns.map(column => column.name).join(', ')}.`,
      position: key.columns[i].at,
    });
  });
  return names;
}

/** A key is unique if it contains all columns of one that is: columns more do no harm, columns less do. */
export function isProvedUnique(key: readonly string[], known: RelationDescription['keys']): boolean {
  return known.some(columns => columns.every(column => key.includes(column)));
}

export function keyNotProved(key: readonly string[], known: RelationDescription['keys'], at?: number): SqlError {
  return new SqlError('42P10', 'upsert key could not be validated as unique', {
    detail: whyNotProved(key, known),
    hint: UPSERT_KEY_HINT,
    position: at,
  });
}

export function keyNotEnforced(key: readonly string[], known: RelationDescription['keys']): Notice {
  return {
    severity: 'NOTICE',
    code: '01000',
    message: 'upsert key not validated to be unique',
    detail: whyNotProved(key, known),
    hint: 'Rows that share a key overwrite each other in the topic.',
  };
}

function whyNotProved(key: readonly string[], known: RelationDescription['keys']): string {
  const given = `Sluice could not prove that the specified upsert envelope key ${listed(key)} is a unique key of the relation.`;
  if (known.length === 0) return `${given} There are no known unique keys.`;
  return `${given} Known unique keys are:\n${known.map(columns => `  ${listed(columns)}`).join('\n')}`;
}

const listed = (columns: readonly string[]): string => `(${columns.map(column => `"${column}"`).join(', ')})`;
