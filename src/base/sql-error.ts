/** What an error tells the user besides its message; the wire protocol's fields D, H, P and the constraint-like details. */
export interface SqlErrorFields {
  readonly detail?: string | undefined;
  readonly hint?: string | undefined;
  /** 0-based offset, in UTF-16 units of the statement's text, of the token to blame. */
  readonly position?: number | undefined;
  readonly cause?: unknown;
}

/**
 * An error as PostgreSQL would print it: short lower-case message without a full stop, whole sentences in detail and hint.
 * `code` is a SQLSTATE.
 */
export class SqlError extends Error {
  override readonly name = 'SqlError';
  readonly code: string;
  readonly detail: string | undefined;
  readonly hint: string | undefined;
  readonly position: number | undefined;

  constructor(code: string, message: string, fields: SqlErrorFields = {}) {
    super(message, {cause: fields.cause});
    this.code = code;
    this.detail = fields.detail;
    this.hint = fields.hint;
    this.position = fields.position;
  }
}
