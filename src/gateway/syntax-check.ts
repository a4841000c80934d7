import {BACKEND, writeReport} from './backend-messages.ts';
import type {ReportFields} from './backend-messages.ts';
import type {BackendCalls} from './backend-calls.ts';
import {withoutInternals} from './backend-calls.ts';
import {BackendGone} from './exchange.ts';
import {characters} from './query-string.ts';

/** What the first statement of the checked string raises: no class of PostgreSQL's begins with SL. */
const PARSED = 'SL000';

/**
 * Whether PostgreSQL can parse a query string, without running any of it. Dynamic SQL is parsed as a whole before its first statement is
 * run, and here the first statement raises an error which the block catches; a syntax error escapes.
 * Returns it as the client gets it, with the position in `text`. Needs the language plpgsql, which every database has unless somebody dropped it.
 */
export async function checkSyntax(text: string, calls: BackendCalls): Promise<Buffer | undefined> {
  if (text.trim() === '') return undefined;
  const first = `DO ${quoted(`BEGIN RAISE EXCEPTION USING ERRCODE = '${PARSED}'; END`)};\n`;
  const block = `BEGIN EXECUTE ${quoted(first + text)}; EXCEPTION WHEN SQLSTATE '${PARSED}' THEN NULL; END`;
  const toOuter = (fields: ReportFields): ReportFields => {
    const outer = new Map(withoutInternals(fields));
    const position = Number(fields.get('p') ?? 0) - characters(first, 0, first.length);
    if (position > 0) outer.set('P', String(position));
    return outer;
  };
  try {
    await calls.query(`DO ${quoted(block)}`, [], toOuter);
    return undefined;
  } catch (error) {
    if (error instanceof BackendGone || calls.failure === undefined) throw error;
    return writeReport(BACKEND.error, toOuter(calls.failure.fields));
  }
}

/** E'' means the same whatever standard_conforming_strings says. */
const quoted = (text: string): string => `E'${text.replaceAll('\\', '\\\\').replaceAll("'", "\\'")}'`;
