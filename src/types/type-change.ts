import type {SqlType} from './sql-type.ts';

/** ALTER TYPE can change what values of this type look like without touching a row that holds them. */
export function canChange(type: SqlType): boolean {
  switch (type.kind) {
    case 'enum':
    case 'composite':
      return true;
    case 'array':
      return canChange(type.element);
    case 'domain':
      return canChange(type.base);
    case 'range':
      return canChange(type.subtype);
    case 'multirange':
      return canChange(type.range);
    case 'base':
      return false;
  }
}

/** Values that were written when the type was `before` look the same `now`: an enum may have got more labels. */
export function looksTheSame(before: SqlType, now: SqlType): boolean {
  if (before.oid !== now.oid) return false;
  if (before.kind === 'enum' && now.kind === 'enum') return isSubsequence(before.labels, now.labels);
  if (before.kind === 'composite' && now.kind === 'composite') {
    return (
      before.fields.length === now.fields.length &&
      before.fields.every(({name, type}, i) => name === now.fields[i].name && looksTheSame(type, now.fields[i].type))
    );
  }
  if (before.kind === 'array' && now.kind === 'array') return looksTheSame(before.element, now.element);
  if (before.kind === 'domain' && now.kind === 'domain') return looksTheSame(before.base, now.base);
  if (before.kind === 'range' && now.kind === 'range') return looksTheSame(before.subtype, now.subtype);
  if (before.kind === 'multirange' && now.kind === 'multirange') return looksTheSame(before.range, now.range);
  return before.kind === now.kind;
}

function isSubsequence(part: readonly string[], whole: readonly string[]): boolean {
  let at = 0;
  for (const label of whole) if (label === part[at]) at++;
  return at === part.length;
}
