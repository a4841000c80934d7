import {SqlError} from '../base/sql-error.ts';
import {errorCode, isConnectionError} from '../engine/connection-errors.ts';

/** Reads the body of an ErrorResponse, `buf[start … end)`: fields of a type byte and a string, ended by a zero byte. */
export function parseServerError(buf: Buffer, start: number, end: number): SqlError {
  const fields = new Map<string, string>();
  let at = start;
  while (at < end && buf[at] !== 0) {
    const stop = buf.indexOf(0, at + 1);
    fields.set(String.fromCharCode(buf[at]), buf.toString('utf8', at + 1, stop));
    at = stop + 1;
  }
  return new SqlError(fields.get('C') ?? 'XX000', fields.get('M') ?? 'the server reported an error', {
    detail: fields.get('D'),
    hint: fields.get('H'),
  });
}

/**
 * Out of resources, a slot or an object that somebody else still uses, a cancelled or conflicting transaction: what goes by
 * itself. 53100 is a full disk, 55006 a slot whose former walsender has not ended yet.
 */
const PASSING: ReadonlySet<string> = new Set([
  '53000',
  '53100',
  '53200',
  '53300',
  '53400',
  '55006',
  '55P03',
  '40001',
  '40P01',
  '57014',
]);

/** Whether the change stream may simply be opened again, later; otherwise a person has to look. */
export function streamErrorPasses(error: unknown): boolean {
  return isConnectionError(error) || PASSING.has(errorCode(error) ?? '');
}
