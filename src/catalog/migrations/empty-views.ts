/** Domains of mz_catalog, which the lists of columns name without their schema. */
const DOMAINS = /\b(uint[248]|mz_timestamp|mz_aclitem)\b/g;

/** Views without rows, each as a list of `name type` with commas between. Names without a schema are in mz_catalog. */
export function emptyViews(views: Readonly<Record<string, string>>): string {
  return Object.entries(views)
    .map(([name, columns]) => {
      const list = columns.split(', ').map(column => {
        const at = column.indexOf(' ');
        return `NULL::${column.slice(at + 1).replace(DOMAINS, 'mz_catalog.$1')} AS ${column.slice(0, at)}`;
      });
      return `CREATE VIEW ${name.includes('.') ? name : `mz_catalog.${name}`} AS SELECT ${list.join(', ')} WHERE false;`;
    })
    .join('\n');
}
