import type {Logger} from 'pino';
import type {SecretBox} from '../catalog/secret-box.ts';
import type {LexicalOptions} from '../sql/lexer.ts';

export interface Notice {
  readonly severity: 'NOTICE' | 'WARNING' | 'INFO';
  readonly code: string;
  readonly message: string;
  readonly detail?: string | undefined;
  readonly hint?: string | undefined;
}

export interface QueryResult {
  readonly columns: readonly string[];
  /** Text form, in the session's own settings; null = NULL. */
  readonly rows: readonly (readonly (string | null)[])[];
}

/** What a statement of ours may do while it runs. Everything in PostgreSQL happens in the session's own backend and transaction. */
export interface StatementContext {
  /** One query in the session's backend, parameters as text, without ending the transaction. Throws what the backend reported as `SqlError`. */
  query(text: string, values?: readonly (string | null)[]): Promise<QueryResult>;
  /**
   * I/O outside of PostgreSQL (a broker, a registry). Meanwhile the backend waits on a lock, so that a cancel request,
   * `pg_cancel_backend` and `statement_timeout` end it: then `signal` is aborted and this throws the backend's error.
   */
  outside<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T>;
  notice(notice: Notice): void;
  readonly secrets: SecretBox;
  readonly log: Logger;
}

/**
 * What becomes of a statement of ours. `rewrite`: the backend runs another text in its place, and its answer is the answer
 * (SHOW lists become SELECTs). `keepsPlaces`: every character that both texts have is at the same place. `run`: we act, and the client sees `tag` and no rows.
 */
export type Plan =
  | {readonly kind: 'rewrite'; readonly sql: string; readonly keepsPlaces?: true | undefined}
  | {readonly kind: 'run'; readonly tag: string; readonly run: (context: StatementContext) => Promise<void>};

/**
 * Turns the text of one statement into a plan; undefined = not ours, send it on unchanged. Throws `SqlError` for a syntax error in a
 * statement of ours. `options`: how the session reads string constants.
 */
export type PlanStatement = (text: string, options?: LexicalOptions) => Plan | undefined;
