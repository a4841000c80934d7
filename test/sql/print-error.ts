import type {SqlError} from '../../src/base/sql-error.ts';

/** An error as psql shows it, with the code, and a caret below the token to blame. */
export function printError(text: string, error: SqlError): string {
  const lines = [`ERROR ${error.code}: ${error.message}`];
  if (error.position !== undefined) {
    const before = text.slice(0, error.position).split('\n');
    const source = text.split('\n')[before.length - 1];
    const prefix = `LINE ${before.length}: `;
    lines.push(prefix + source, ' '.repeat(prefix.length + before[before.length - 1].length) + '^');
  }
  if (error.detail !== undefined) lines.push(`DETAIL: ${error.detail}`);
  if (error.hint !== undefined) lines.push(`HINT: ${error.hint}`);
  return lines.join('\n').replaceAll('\n\n', '\n(empty line)\n');
}
