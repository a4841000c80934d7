import {SqlError} from '../base/sql-error.ts';
import type {LexicalOptions} from '../sql/lexer.ts';
import {withoutRoleCalls} from '../sql/role-calls.ts';
import {findSecretStatement, mayHoldSecret} from '../sql/secret-text.ts';
import {splitStatements} from '../sql/split.ts';
import type {Plan, PlanStatement} from '../statements/statement.ts';
import {copiesOnServer} from './server-copy.ts';

/** One statement of a query string. `start`, `end`: UTF-16 offsets. Without a plan it goes to the server as it is. */
export interface Step {
  readonly start: number;
  readonly end: number;
  readonly plan: Plan | undefined;
}

/** What stands in a query string. `refused`: one of ours is wrong; `at` is where that statement begins, `steps` are those before it. */
export type QueryString =
  | {readonly kind: 'plain'}
  | {readonly kind: 'steps'; readonly steps: readonly Step[]}
  | {readonly kind: 'refused'; readonly error: unknown; readonly at: number; readonly steps: readonly Step[]};

const PLAIN: QueryString = {kind: 'plain'};

/**
 * Finds our statements. Text that PostgreSQL cannot even cut into tokens is plain: it refuses all of it. Only what may hold the value of
 * a secret is refused here, because PostgreSQL would repeat it, in its answer and in its log.
 */
export function readQueryString(text: string, planStatement: PlanStatement, options: LexicalOptions): QueryString {
  const {statements, broken} = splitStatements(text, options);
  if (broken !== undefined) {
    if (!mayHoldSecret(text)) return PLAIN;
    return {kind: 'refused', error: new SqlError('42601', broken.problem, {position: broken.start}), at: 0, steps: []};
  }
  const steps: Step[] = [];
  for (const {start, end} of statements) {
    try {
      const statement = text.slice(start, end);
      const plan = planStatement(statement, options) ?? guard(statement, options) ?? respelled(statement, options);
      steps.push({start, end, plan});
    } catch (error) {
      return {kind: 'refused', error, at: start, steps};
    }
  }
  return steps.some(({plan}) => plan !== undefined) ? {kind: 'steps', steps} : PLAIN;
}

/** What is not ours, and PostgreSQL shall not get all the same. */
function guard(statement: string, options: LexicalOptions): Plan | undefined {
  // No client has business on the engine's machine, whatever its privileges.
  if (copiesOnServer(statement, options)) {
    return refusal(
      'COPY',
      new SqlError('0A000', 'COPY cannot use files or programs of the server', {
        hint: 'Use COPY ... FROM STDIN or COPY ... TO STDOUT; with psql, \\copy.',
      }),
    );
  }
  const position = findSecretStatement(statement, options);
  if (position === -1) return undefined;
  return refusal(
    'SECRET',
    new SqlError('42601', 'CREATE SECRET and ALTER SECRET cannot be part of another statement', {
      hint: 'Begin the statement with CREATE SECRET or ALTER SECRET.',
      position,
    }),
  );
}

function respelled(statement: string, options: LexicalOptions): Plan | undefined {
  const sql = withoutRoleCalls(statement, options);
  return sql === undefined ? undefined : {kind: 'rewrite', sql, keepsPlaces: true};
}

const refusal = (tag: string, error: SqlError): Plan => ({kind: 'run', tag, run: () => Promise.reject(error)});

/** Characters, as PostgreSQL counts them in error positions, between two UTF-16 offsets. */
export function characters(text: string, start: number, end: number): number {
  let count = end - start;
  for (let at = start; at < end; at++) {
    // The second half of a pair follows its first.
    if ((text.charCodeAt(at) & 0xfc00) === 0xd800 && at + 1 < end) count--;
  }
  return count;
}

/**
 * The text with other statements in the places of ours, and how the server's error positions in it become positions in the
 * client's text: undefined within a statement that the client has not written.
 */
export class ReplacedText {
  readonly text: string;
  /** In characters: where each replacement lies in the new text, and how much longer it is than what it stands for. */
  readonly #replacements: {readonly start: number; readonly end: number; readonly growth: number}[] = [];

  constructor(text: string, steps: readonly Step[], replacement: (step: Step) => string | undefined) {
    let built = '';
    let builtCharacters = 0;
    let at = 0;
    for (const step of steps) {
      const sql = replacement(step);
      if (sql === undefined) continue;
      built += text.slice(at, step.start) + sql;
      if (step.plan?.kind === 'rewrite' && step.plan.keepsPlaces) {
        builtCharacters += characters(text, at, step.end);
        at = step.end;
        continue;
      }
      builtCharacters += characters(text, at, step.start);
      const end = builtCharacters + characters(sql, 0, sql.length);
      this.#replacements.push({
        start: builtCharacters,
        end,
        growth: end - builtCharacters - characters(text, step.start, step.end),
      });
      builtCharacters = end;
      at = step.end;
    }
    this.text = built + text.slice(at);
  }

  /** Both 1-based. */
  originalPosition(position: number): number | undefined {
    let growth = 0;
    for (const replaced of this.#replacements) {
      if (position - 1 < replaced.start) break;
      if (position - 1 < replaced.end) return undefined;
      growth += replaced.growth;
    }
    return position - growth;
  }
}
