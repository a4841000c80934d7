import pino from 'pino';
import type {Logger} from 'pino';
import {SqlError} from './sql-error.ts';

export const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export const LOG_FORMATS = ['auto', 'text', 'json'] as const;
/** `auto`: text where standard error is a terminal, JSON elsewhere. */
export type LogFormat = (typeof LOG_FORMATS)[number];

export interface LogOptions {
  readonly level: string;
  /** Which process speaks: `sluice`, `worker`. */
  readonly name: string;
  /** Fields of every line besides: `cluster`. */
  readonly fields?: Readonly<Record<string, string>> | undefined;
  /** Where lines go instead of standard error. */
  readonly destination?: pino.DestinationStream | undefined;
  /** Default: `auto`. */
  readonly format?: LogFormat | undefined;
}

const HIDDEN = '[hidden]';
/** Fields of these names are hidden wherever a caller may put them by mistake: at the top or inside one object. */
const SECRET_FIELDS = ['password', 'passphrase', 'token'];

/** One line a message on standard error, JSON or for a person. No values of rows, no secrets. */
export function createLogger(options: LogOptions): Logger {
  const {format = 'auto'} = options;
  const readable = format === 'text' || (format === 'auto' && process.stderr.isTTY);
  const destination = options.destination ?? pino.destination({dest: 2, sync: true});
  return pino(
    {
      name: options.name,
      level: options.level,
      base: {pid: process.pid, ...options.fields},
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: {level: label => ({level: label})},
      serializers: {err: describeError},
      redact: {paths: SECRET_FIELDS.flatMap(field => [field, `*.${field}`]), censor: HIDDEN},
    },
    readable ? {write: (line: string) => destination.write(forPerson(line))} : destination,
  );
}

interface LoggedError {
  readonly type: string;
  readonly message: string;
  readonly code?: unknown;
  readonly detail?: string | undefined;
  readonly hint?: string | undefined;
  readonly stack?: string | undefined;
  readonly cause?: LoggedError | undefined;
}

/** Of the server's errors only message and code: their detail quotes rows. */
function describeError(error: unknown): LoggedError {
  if (!(error instanceof Error)) return {type: typeof error, message: withoutPassword(String(error))};
  const ours = error instanceof SqlError ? {detail: error.detail, hint: error.hint} : {};
  return {
    type: error.name,
    message: withoutPassword(error.message),
    ...('code' in error ? {code: error.code} : {}),
    ...ours,
    stack: error.stack === undefined ? undefined : withoutPassword(error.stack),
    cause: error.cause === undefined ? undefined : describeError(error.cause),
  };
}

/** `postgres://user:password@host` anywhere in a text. */
export function withoutPassword(text: string): string {
  return text.replace(/(\w:\/\/[^\s/:@]*):[^\s/@]+@/g, `$1:${HIDDEN}@`);
}

/** `08:31:02.123 WARN  sink is behind sink=u3 lagBytes=1200` */
function forPerson(line: string): string {
  const {level, time, msg, name, pid, err, ...fields} = JSON.parse(line) as Record<string, unknown>;
  const words = [String(time).slice(11, 23), String(level).toUpperCase().padEnd(5), `${String(name)}[${String(pid)}]`];
  if (typeof msg === 'string') words.push(msg);
  for (const [field, value] of Object.entries(fields)) words.push(`${field}=${plain(value)}`);
  const failure = err as LoggedError | undefined;
  if (failure !== undefined) words.push(`\n  ${(failure.stack ?? failure.message).replaceAll('\n', '\n  ')}`);
  return `${words.join(' ')}\n`;
}

function plain(value: unknown): string {
  return typeof value === 'string' && /^\S+$/.test(value) ? value : JSON.stringify(value);
}
