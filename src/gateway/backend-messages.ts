import type {SqlError} from '../base/sql-error.ts';
import type {Notice} from '../statements/statement.ts';

/** Type bytes of what the server sends (protocol 3, PostgreSQL 18 section 54.7). */
export const BACKEND = {
  authentication: 0x52, // R
  backendKeyData: 0x4b, // K
  parameterStatus: 0x53, // S
  readyForQuery: 0x5a, // Z
  rowDescription: 0x54, // T
  dataRow: 0x44, // D
  commandComplete: 0x43, // C
  emptyQuery: 0x49, // I
  portalSuspended: 0x73, // s
  parseComplete: 0x31,
  bindComplete: 0x32,
  closeComplete: 0x33,
  noData: 0x6e, // n
  parameterDescription: 0x74, // t
  error: 0x45, // E
  notice: 0x4e, // N
  notification: 0x41, // A
  copyIn: 0x47, // G
  copyOut: 0x48, // H
  copyBoth: 0x57, // W
  copyData: 0x64, // d
  copyDone: 0x63, // c
  functionResult: 0x56, // V
} as const;

/** Fields of an ErrorResponse or NoticeResponse by their letter (section 54.8), values as the bytes that came, read as latin1. */
export type ReportFields = ReadonlyMap<string, string>;

export function readReport(frame: Buffer): ReportFields {
  const fields = new Map<string, string>();
  for (let at = 5; at < frame.length && frame[at] !== 0;) {
    const end = frame.indexOf(0, at + 1);
    if (end === -1) break;
    fields.set(String.fromCharCode(frame[at]), frame.toString('latin1', at + 1, end));
    at = end + 1;
  }
  return fields;
}

export function writeReport(type: number, fields: ReportFields): Buffer {
  let body = '';
  for (const [letter, value] of fields) body += `${letter}${value}\0`;
  return frameOf(type, Buffer.from(`${body}\0`, 'latin1'));
}

export function frameOf(type: number, body: Buffer): Buffer {
  const frame = Buffer.allocUnsafe(5 + body.length);
  frame[0] = type;
  frame.writeUInt32BE(4 + body.length, 1);
  body.copy(frame, 5);
  return frame;
}

type Encode = (text: string) => Buffer;

const utf8: Encode = text => Buffer.from(text);

/** `severity`: FATAL means that the connection ends behind it. `position`: 1-based, in characters of the whole query string. */
export function errorResponse(
  error: Pick<SqlError, 'code' | 'message' | 'detail' | 'hint'>,
  options: {severity?: 'ERROR' | 'FATAL'; position?: number | undefined; encode?: Encode | undefined} = {},
): Buffer {
  const severity = options.severity ?? 'ERROR';
  return report(BACKEND.error, severity, error, options.position, options.encode ?? utf8);
}

export const noticeResponse = (notice: Notice, encode: Encode = utf8): Buffer =>
  report(BACKEND.notice, notice.severity, notice, undefined, encode);

function report(
  type: number,
  severity: string,
  from: {code: string; message: string; detail?: string | undefined; hint?: string | undefined},
  position: number | undefined,
  encode: Encode,
): Buffer {
  const fields = new Map([
    ['S', severity],
    ['V', severity],
    ['C', from.code],
    ['M', wireText(from.message, encode)],
  ]);
  if (from.detail !== undefined) fields.set('D', wireText(from.detail, encode));
  if (from.hint !== undefined) fields.set('H', wireText(from.hint, encode));
  if (position !== undefined) fields.set('P', String(position));
  return writeReport(type, fields);
}

/** A NUL would end the field early. */
const wireText = (text: string, encode: Encode): string => encode(text.replaceAll('\0', '')).toString('latin1');

/** An AuthenticationRequest: what it asks for, and the data of that. */
export function authentication(code: number, data: Buffer = Buffer.alloc(0)): Buffer {
  const body = Buffer.allocUnsafe(4 + data.length);
  body.writeUInt32BE(code, 0);
  data.copy(body, 4);
  return frameOf(BACKEND.authentication, body);
}

export const commandComplete = (tag: string): Buffer => frameOf(BACKEND.commandComplete, Buffer.from(`${tag}\0`));

/** Name and value of a ParameterStatus, as bytes read as latin1. */
export function readParameter(frame: Buffer): [name: string, value: string] {
  const nameEnd = frame.indexOf(0, 5);
  return [frame.toString('latin1', 5, nameEnd), frame.toString('latin1', nameEnd + 1, frame.length - 1)];
}

export const writeParameter = (name: string, value: string): Buffer =>
  frameOf(BACKEND.parameterStatus, Buffer.from(`${name}\0${value}\0`, 'latin1'));
