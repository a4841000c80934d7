import pg from 'pg';
import pino from 'pino';
import {SqlError} from '../../src/base/sql-error.ts';
import {AesSecretBox} from '../../src/catalog/aes-secret-box.ts';
import {secretKey} from '../../src/catalog/secret-key.ts';
import {splitStatements} from '../../src/sql/split.ts';
import {planStatement} from '../../src/statements/plan.ts';
import type {Notice, Plan, QueryResult, StatementContext} from '../../src/statements/statement.ts';
import {printError} from '../sql/print-error.ts';

/** What a session shows for one statement. */
interface Answer {
  readonly tag: string;
  readonly columns: readonly string[];
  readonly rows: readonly (readonly (string | null)[])[];
}

/**
 * Runs statements of ours, and PostgreSQL's, in one session of a real PostgreSQL, each in a transaction of its own, and writes down what a
 * person at psql would see. In place of the gateway: no wire, no lock to wait on.
 */
export class StatementSession {
  readonly client: pg.Client;
  readonly secrets = new AesSecretBox(() => [secretKey(Buffer.alloc(32, 7))]);
  #heard: string[] = [];

  constructor(client: pg.Client) {
    this.client = client;
    client.on('notice', notice => this.#hear(notice as Notice));
  }

  /** What is shown for all statements of the text; what comes after an error is not run. */
  async transcript(text: string): Promise<string> {
    const lines: string[] = [];
    for (const {start, end} of splitStatements(text).statements) {
      const statement = text.slice(start, end);
      try {
        const answer = await this.run(statement);
        lines.push(...this.#takeNotices(), ...shown(answer));
      } catch (error) {
        lines.push(...this.#takeNotices(), printError(statement, asSqlError(error)));
        break;
      }
    }
    return lines.join('\n');
  }

  async run(text: string): Promise<Answer> {
    const plan = planStatement(text);
    await this.client.query('BEGIN');
    try {
      const answer = await this.#inTransaction(text, plan);
      await this.client.query('COMMIT');
      return answer;
    } catch (error) {
      await this.client.query('ROLLBACK');
      throw error;
    }
  }

  async #inTransaction(text: string, plan: Plan | undefined): Promise<Answer> {
    if (plan?.kind === 'run') {
      await plan.run(this.context());
      return {tag: plan.tag, columns: [], rows: []};
    }
    const {command, fields, rows} = await this.client.query<(string | null)[]>({
      text: plan?.sql ?? text,
      rowMode: 'array',
      types: {getTypeParser: () => (value: string) => value},
    });
    return {tag: command, columns: fields.map(field => field.name), rows};
  }

  context(): StatementContext {
    return {
      query: async (text, values): Promise<QueryResult> => {
        try {
          const {fields, rows} = await this.client.query<(string | null)[]>({
            text,
            values: values ? [...values] : [],
            rowMode: 'array',
            types: {getTypeParser: () => (value: string) => value},
          });
          return {columns: fields.map(field => field.name), rows};
        } catch (error) {
          throw asSqlError(error);
        }
      },
      outside: work => work(new AbortController().signal),
      notice: notice => this.#hear(notice),
      secrets: this.secrets,
      log: pino({level: 'silent'}),
    };
  }

  #hear({severity, code, message, detail, hint}: Notice): void {
    this.#heard.push(`${severity} ${code}: ${message}`);
    if (detail !== undefined) this.#heard.push(`DETAIL: ${detail}`);
    if (hint !== undefined) this.#heard.push(`HINT: ${hint}`);
  }

  #takeNotices(): string[] {
    const heard = this.#heard;
    this.#heard = [];
    return heard;
  }
}

function shown({tag, columns, rows}: Answer): string[] {
  if (columns.length === 0) return [tag];
  const line = (values: readonly (string | null)[]) => values.map(value => value ?? 'NULL').join(' | ');
  return [line(columns), ...rows.map(line), `(${rows.length} rows)`];
}

export function asSqlError(error: unknown): SqlError {
  if (error instanceof SqlError) return error;
  if (error instanceof pg.DatabaseError) {
    const {code, message, detail, hint} = error;
    return new SqlError(code ?? 'XX000', message, {detail, hint});
  }
  throw error;
}
