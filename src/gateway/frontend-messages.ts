import type {Request} from './ledger.ts';

/** Type bytes of what a client sends (protocol 3, PostgreSQL 18 section 54.7). */
export const FRONTEND = {
  query: 0x51, // Q
  parse: 0x50, // P
  bind: 0x42, // B
  describe: 0x44, // D
  execute: 0x45, // E
  close: 0x43, // C
  flush: 0x48, // H
  sync: 0x53, // S
  call: 0x46, // F
  copyData: 0x64, // d
  copyDone: 0x63, // c
  copyFail: 0x66, // f
  password: 0x70, // p
  terminate: 0x58, // X
} as const;

/** What the backend reads into memory at once; longer messages end the connection there (pqcomm.c). */
export const LONGEST_MESSAGE = 0x3fffffff;
/** The same for messages that carry names at most. */
export const LONGEST_SMALL_MESSAGE = 10_001;

/** What answers an AuthenticationRequest (PG_MAX_AUTH_TOKEN_LENGTH). */
export const LONGEST_PASSWORD = 65_536;

/** What a message makes the server answer; a type that is neither here nor in `UNANSWERED` ends the connection. */
export const REQUESTS: ReadonlyMap<number, Request> = new Map([
  [FRONTEND.query, 'query'],
  [FRONTEND.call, 'query'],
  [FRONTEND.parse, 'parse'],
  [FRONTEND.bind, 'bind'],
  [FRONTEND.describe, 'describe'],
  [FRONTEND.execute, 'execute'],
  [FRONTEND.close, 'close'],
  [FRONTEND.sync, 'sync'],
  [FRONTEND.copyData, 'copyData'],
  [FRONTEND.copyDone, 'copyDone'],
  [FRONTEND.copyFail, 'copyDone'],
]);
export const UNANSWERED: ReadonlySet<number> = new Set([FRONTEND.flush, FRONTEND.password, FRONTEND.terminate]);
/** All that makes sense before the login is complete, and during COPY FROM STDIN. */
export const DURING_LOGIN: ReadonlySet<number> = new Set([FRONTEND.password, FRONTEND.terminate]);
export const DURING_COPY: ReadonlySet<number> = new Set([
  FRONTEND.copyData,
  FRONTEND.copyDone,
  FRONTEND.copyFail,
  FRONTEND.flush,
  FRONTEND.sync,
]);

const message = (type: number, body: Buffer): Buffer => {
  const frame = Buffer.allocUnsafe(5 + body.length);
  frame[0] = type;
  frame.writeUInt32BE(4 + body.length, 1);
  body.copy(frame, 5);
  return frame;
};

const NUL = Buffer.from([0]);

const cstring = (text: string | Buffer): Buffer => Buffer.concat([Buffer.from(text as string), NUL]);

export const query = (text: string | Buffer): Buffer => message(FRONTEND.query, cstring(text));

/** `types`: the rest of the message as the client sent it (count and OIDs); without it no parameter types are given. */
export const parse = (name: string | Buffer, text: string | Buffer, types?: Buffer): Buffer =>
  message(FRONTEND.parse, Buffer.concat([cstring(name), cstring(text), types ?? Buffer.from([0, 0])]));

/** Parameters and results as text. */
export function bind(portal: string, statement: string, values: readonly (Buffer | null)[]): Buffer {
  const parts = [cstring(portal), cstring(statement), Buffer.from([0, 0]), int16(values.length)];
  for (const value of values) {
    if (value === null) parts.push(int32(-1));
    else parts.push(int32(value.length), value);
  }
  parts.push(Buffer.from([0, 0]));
  return message(FRONTEND.bind, Buffer.concat(parts));
}

/** PasswordMessage, SASLInitialResponse and SASLResponse. */
export const password = (body: Buffer): Buffer => message(FRONTEND.password, body);

export const describePortal = (portal: string | Buffer): Buffer =>
  message(FRONTEND.describe, Buffer.concat([Buffer.from('P'), cstring(portal)]));

export const closeStatement = (name: string): Buffer =>
  message(FRONTEND.close, Buffer.concat([Buffer.from('S'), cstring(name)]));

export const closePortal = (name: string): Buffer =>
  message(FRONTEND.close, Buffer.concat([Buffer.from('P'), cstring(name)]));

/** All rows. */
export const execute = (portal: string): Buffer =>
  message(FRONTEND.execute, Buffer.concat([cstring(portal), int32(0)]));

/** Of a function without arguments. */
export const call = (oid: number): Buffer => message(FRONTEND.call, Buffer.concat([int32(oid), Buffer.alloc(6)]));

export const SYNC = Buffer.from([FRONTEND.sync, 0, 0, 0, 4]);
export const FLUSH = Buffer.from([FRONTEND.flush, 0, 0, 0, 4]);

function int16(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

function int32(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeInt32BE(value);
  return bytes;
}
