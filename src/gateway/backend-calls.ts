import {SqlError} from '../base/sql-error.ts';
import {raiseError} from '../catalog/commands.ts';
import type {QueryResult} from '../statements/statement.ts';
import {BACKEND, readReport, writeReport} from './backend-messages.ts';
import type {ReportFields} from './backend-messages.ts';
import {BackendGone} from './exchange.ts';
import type {Exchange} from './exchange.ts';
import {FLUSH, bind, closePortal, closeStatement, describePortal, execute, parse} from './frontend-messages.ts';
import type {AnswerReader, Request, Use} from './ledger.ts';
import type {TextEncoding} from './text-encoding.ts';

/** Which fields of a server's report a client gets when the report came from a query of ours: nothing that speaks of our functions. */
const OUTER_FIELDS: ReadonlySet<string> = new Set(['S', 'V', 'C', 'M', 'D', 'H', 's', 't', 'c', 'd', 'n']);

export const withoutInternals = (fields: ReportFields): ReportFields =>
  new Map([...fields].filter(([letter]) => OUTER_FIELDS.has(letter)));

/**
 * Queries of ours in a session's backend, between the client's own messages and without a Sync, so that they belong to the
 * transaction, implicit or not, of the statement that they are made for. Only when nothing else is outstanding.
 */
export class BackendCalls {
  readonly #exchange: Exchange;
  /** '' in a simple query, which takes the unnamed ones anyway; the client's own unnamed portal must survive an Execute. */
  readonly #name: string;
  #failure: {readonly fields: ReportFields; readonly error: SqlError} | undefined;

  constructor(exchange: Exchange, name: '' | 'sluice') {
    this.#exchange = exchange;
    this.#name = name;
  }

  /** What the server reported; after that it takes nothing before Sync. */
  get failure(): {readonly fields: ReportFields; readonly error: SqlError} | undefined {
    return this.#failure;
  }

  /** `toOuter`: what the client gets of a notice. */
  async query(
    text: string,
    values: readonly (string | null)[] = [],
    toOuter: (fields: ReportFields) => ReportFields = withoutInternals,
  ): Promise<QueryResult> {
    if (this.#failure !== undefined) throw this.#failure.error;
    const {toBackend, encoding} = this.#exchange;
    const parameters = values.map(value => (value === null ? null : this.#encode(value)));
    const statement = this.#encode(text);
    const reader = new RowReader(encoding, toOuter);
    const name = this.#name;
    if (name !== '') {
      this.#send('close', closePortal(name), reader);
      this.#send('close', closeStatement(name), reader);
    }
    this.#send('parse', parse(name, statement), reader);
    this.#send('bind', bind(name, name, parameters), reader);
    this.#send('describe', describePortal(name), reader);
    this.#send('execute', execute(name), reader);
    if (name !== '') {
      this.#send('close', closePortal(name), reader);
      this.#send('close', closeStatement(name), reader);
    }
    toBackend.send(FLUSH);
    await this.#settled();
    const {fields} = reader;
    if (fields === undefined) {
      if (reader.undecodable) throw encoding.problem();
      return reader;
    }
    if (fields.get('V') !== 'ERROR') throw new BackendGone();
    const decode = (letter: string) => {
      const value = fields.get(letter);
      return value === undefined ? undefined : (encoding.decode(Buffer.from(value, 'latin1')) ?? value);
    };
    const error = new SqlError(decode('C') ?? 'XX000', decode('M') ?? '', {detail: decode('D'), hint: decode('H')});
    this.#failure = {fields, error};
    throw error;
  }

  /** Makes the server fail here as it would in a statement of its own; its log then shows our error. */
  async fail(error: SqlError): Promise<void> {
    const raise = raiseError(error.code, error.message, error);
    await this.#try(raise.text, raise.values);
    // Where that function is missing it has failed all the same; this is for text that the session's encoding cannot carry.
    await this.#try('sluice failed here', []);
  }

  async #try(text: string, parameters: readonly (string | null)[]): Promise<void> {
    if (this.#failure !== undefined) return;
    try {
      await this.query(text, parameters);
    } catch (error) {
      if (!(error instanceof SqlError)) throw error;
    }
  }

  #encode(text: string): Buffer {
    const {encoding} = this.#exchange;
    const bytes = encoding.encode(text);
    if (bytes === undefined) throw encoding.problem();
    return bytes;
  }

  #send(request: Request, frame: Buffer, reader: AnswerReader): void {
    this.#exchange.ledger.sent(request, reader);
    this.#exchange.toBackend.send(frame);
  }

  #settled(): Promise<unknown> {
    this.#exchange.flush();
    return this.#exchange.whileConnected(this.#exchange.ledger.settled());
  }
}

class RowReader implements AnswerReader, QueryResult {
  columns: readonly string[] = [];
  readonly rows: (readonly (string | null)[])[] = [];
  fields: ReportFields | undefined;
  undecodable = false;
  readonly #encoding: TextEncoding;
  readonly #toOuter: (fields: ReportFields) => ReportFields;

  constructor(encoding: TextEncoding, toOuter: (fields: ReportFields) => ReportFields) {
    this.#encoding = encoding;
    this.#toOuter = toOuter;
  }

  use(type: number): Use {
    switch (type) {
      case BACKEND.rowDescription:
      case BACKEND.dataRow:
      case BACKEND.error:
      case BACKEND.notice:
        return 'read';
      default:
        return 'drop';
    }
  }

  read(type: number, frame: Buffer): Buffer | undefined {
    switch (type) {
      case BACKEND.rowDescription:
        this.columns = columnNames(frame).map(name => this.#decode(name));
        return undefined;
      case BACKEND.dataRow:
        this.rows.push(values(frame).map(value => (value === null ? null : this.#decode(value))));
        return undefined;
      case BACKEND.notice:
        return writeReport(BACKEND.notice, this.#toOuter(readReport(frame)));
      default: {
        this.fields = readReport(frame);
        // The connection ends behind a FATAL error, and nobody else will tell the client.
        return this.fields.get('V') === 'ERROR' ? undefined : frame;
      }
    }
  }

  #decode(bytes: Buffer): string {
    const text = this.#encoding.decode(bytes);
    if (text === undefined) this.undecodable = true;
    return text ?? '';
  }
}

function columnNames(frame: Buffer): Buffer[] {
  const names: Buffer[] = [];
  let at = 7;
  for (let count = frame.readUInt16BE(5); count > 0; count--) {
    const end = frame.indexOf(0, at);
    names.push(frame.subarray(at, end));
    at = end + 19;
  }
  return names;
}

function values(frame: Buffer): (Buffer | null)[] {
  const fields: (Buffer | null)[] = [];
  let at = 7;
  for (let count = frame.readUInt16BE(5); count > 0; count--) {
    const length = frame.readInt32BE(at);
    at += 4;
    fields.push(length < 0 ? null : frame.subarray(at, at + length));
    if (length > 0) at += length;
  }
  return fields;
}
