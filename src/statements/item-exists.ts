import type {Name} from '../sql/ast.ts';
import {dotted} from './ask.ts';
import type {StatementContext} from './statement.ts';

/** For IF EXISTS: the NOTICE is sent when the answer is no. */
export async function itemExists(
  context: StatementContext,
  kind: 'secret' | 'connection' | 'sink' | 'cluster',
  name: Name,
): Promise<boolean> {
  const object = name.parts.at(-1)!;
  const {rows} =
    kind === 'cluster'
      ? await context.query('SELECT 1 FROM mz_catalog.mz_clusters WHERE name = $1', [object])
      : await context.query(
          `SELECT 1 FROM mz_catalog.mz_objects o JOIN mz_catalog.mz_schemas s ON s.id = o.schema_id
           WHERE o.name = $1 AND o.type = $2 AND CASE WHEN $3::text IS NULL THEN s.name = ANY (pg_catalog.current_schemas(true)::text[]) ELSE s.name = $3 END
           LIMIT 1`,
          [object, kind, name.parts.at(-2) ?? null],
        );
  if (rows.length > 0) return true;
  context.notice({severity: 'NOTICE', code: '00000', message: `${kind} "${dotted(name)}" does not exist, skipping`});
  return false;
}
