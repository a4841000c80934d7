/**
 * Names of the fields of a message: a column without a name is `columnN`, counted from 1; a name that
 * was there before gets `1`, `2` … appended (after `_` when it ends in a digit), whichever is free first.
 */
export function uniqueNames(names: readonly string[]): string[] {
  const given = names.map((name, i) => (name === '' ? `column${i + 1}` : name));
  const taken = new Set<string>();
  return given.map(name => {
    let unique = name;
    for (let n = 1; taken.has(unique) || (unique !== name && given.includes(unique)); n++) {
      unique = `${name}${/\d$/.test(name) ? '_' : ''}${n}`;
    }
    taken.add(unique);
    return unique;
  });
}
