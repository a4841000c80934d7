/**
 * SQL, a table expression with one column `relid`: the relation whose OID the expression `root` gives, and its partitions on every
 * level. Unlike `pg_partition_tree` it locks none of them: who holds such locks, however weak, and then asks for one on the root
 * deadlocks with a TRUNCATE of the whole tree.
 */
export function partitionTree(root: string): string {
  return `(WITH RECURSIVE tree (relid) AS (
    SELECT ${root}::oid
    UNION ALL
    SELECT tree_link.inhrelid FROM tree JOIN pg_catalog.pg_inherits tree_link ON tree_link.inhparent = tree.relid
      JOIN pg_catalog.pg_class tree_part ON tree_part.oid = tree_link.inhrelid
    WHERE tree_part.relispartition AND NOT tree_link.inhdetachpending
  ) SELECT relid FROM tree)`;
}
