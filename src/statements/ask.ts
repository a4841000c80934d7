import {SqlError} from '../base/sql-error.ts';
import type {Command, ObjectName} from '../catalog/commands.ts';
import type {Name} from '../sql/ast.ts';
import type {Plan, StatementContext} from './statement.ts';

/**
 * Runs a command of the catalog; the only value of its only row. `at`: where the name stands that the command is about, for the
 * errors that are the name's fault.
 */
export async function ask(context: StatementContext, {text, values}: Command, at?: number): Promise<string | null> {
  try {
    const {rows} = await context.query(text, values);
    return rows[0]?.[0] ?? null;
  } catch (error) {
    throw at === undefined ? error : withPosition(error, at);
  }
}

/** Unknown, misused, taken; but no missing privilege, as in PostgreSQL. */
function withPosition(error: unknown, position: number): unknown {
  if (!(error instanceof SqlError) || error.position !== undefined) return error;
  const {code, message, detail, hint} = error;
  if (code === '42501' || !/^(42|3F|0A)/.test(code)) return error;
  return new SqlError(code, message, {detail, hint, position, cause: error});
}

/** The same for a command that answers with JSON. */
export async function describe<T>(context: StatementContext, command: Command, at?: number): Promise<T> {
  const json = await ask(context, command, at);
  if (json === null) throw new Error(`no answer to ${command.text}`);
  return JSON.parse(json) as T;
}

export const objectName = (name: Name): ObjectName => name.parts;

/** Names of clusters, columns and roles have one part. */
export function singleName(name: Name, what: string): string {
  if (name.parts.length === 1) return name.parts[0];
  throw new SqlError('42601', `${what} name must not be qualified: "${name.parts.join('.')}"`, {position: name.at});
}

/** `what` with its verb: `sources are`. */
export function notYet(what: string, at?: number, hint?: string): SqlError {
  return new SqlError('0A000', `${what} not yet supported`, {position: at, hint});
}

/** A statement that is refused in its turn, not while the text around it is read. */
export function refuse(tag: string, error: SqlError): Plan {
  return {kind: 'run', tag, run: () => Promise.reject(error)};
}

/** What `plan` returns; an `SqlError` that it throws becomes a refusal. */
export function orRefuse(tag: string, plan: () => Plan): Plan {
  try {
    return plan();
  } catch (error) {
    if (error instanceof SqlError) return refuse(tag, error);
    throw error;
  }
}

/** `"a"` in messages about one name, dotted without quotes around the parts. */
export const dotted = (name: Name): string => name.parts.join('.');
